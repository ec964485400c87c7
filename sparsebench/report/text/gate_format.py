"""Texts and numbers that the gate's table, comment and figures share."""

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from sparsebench.analysis.units import counted, human
from sparsebench.gate.findings import DEFAULT_FAIL_ON, Finding, GateResult, Side, Verdict
from sparsebench.stats import Interval

LONGEST_TEXT: Final = 300  # of an error or a reason; complete in the JSON

_OUTCOMES: Final = {0: "PASS", 1: "FAIL", 2: "NOTHING MEASURED", 3: "UNDECIDED"}
_FAILED_AT_BOTH: Final = "failed at both commits"
_PLURALS: Final = {"changed result": "changed results"}  # the others have none
_SUPERSCRIPT: Final = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_UNPRINTABLE: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


@dataclass(frozen=True)
class GateOutcome:
    """A gate's outcome: exit code, a word for it, and the number of cases per verdict."""

    code: int
    word: str
    tally: str

    def __str__(self) -> str:
        """Return the last line of the terminal's table, which is the headline of the comment."""
        return f"{self.word}: {self.tally}"


def outcome(result: GateResult, fail_on: Collection[Verdict] = DEFAULT_FAIL_ON) -> GateOutcome:
    """Return the outcome, verdicts that fail the gate first."""
    code = result.exit_code(fail_on)
    failing = Counter(
        _verdict_word(f) for f in result.findings if f.verdict in fail_on and not f.on_both
    )
    others = Counter(_verdict_word(f) for f in result.findings)
    others.subtract(failing)
    parts = [text for counts in (failing, others) if (text := _counts(counts))]
    return GateOutcome(code, _OUTCOMES[code], "; besides: ".join(parts) or _no_cases(result))


def facts(result: GateResult) -> list[str]:
    """Return lines on what all cases share: machine, environment, tolerance, duration."""
    where = [one_line(result.machine), one_line(result.environment)]
    settings = [
        f"tolerance {100 * result.tolerance:.3g} %",
        f"intervals at {100 * result.confidence_level:.3g} %",
        f"measured for {human(result.seconds, 'seconds')}",
    ]
    skipped = f"{counted(result.skipped, 'case')} skipped at both commits"
    return [" · ".join(where), " · ".join(settings), *([skipped] if result.skipped else [])]


def side(commit: Side) -> str:
    """Return a commit in one line, with a note on uncommitted changes."""
    text = f"{commit.short} {one_line(commit.subject)}".rstrip()
    if not commit.uncommitted:
        return text
    return f"{text} (with uncommitted changes in {counted(commit.uncommitted, 'file')})"


def notes_of(finding: Finding) -> list[str]:
    """Return the notes on a case, each in one line."""
    notes = [one_line(note) for note in finding.notes]
    if finding.on_both:
        return [": ".join(["at both commits", *notes[:1]]), *notes[1:]]
    return notes


def percent(share: float, *, signed: bool = False) -> str:
    """Return "2.1 %", or "+2.1 %" with ``signed``; without decimals from 100 %."""
    return f"{_percentage(share, whole_from=100, signed=signed)} %"


def rough_percent(share: float) -> str:
    """Return "2.1 %" or "12 %": two digits, for numbers that are estimates."""
    return f"{_percentage(share, whole_from=10)} %"


def interval_text(interval: Interval | None) -> str:
    """Return "-0.4..+1.2" or "+12..+21" in percent, two digits; "" without an interval."""
    if interval is None:
        return ""
    ends = (interval.low, interval.high)
    return "..".join(_percentage(end, whole_from=10, signed=True) for end in ends)


def change_text(finding: Finding) -> str:
    """Return the change; "~" if its direction is unknown, "" if there is no change to show."""
    if finding.verdict in (Verdict.NEW, Verdict.GONE, Verdict.FAILED) or _is_digest(finding.unit):
        return ""
    change = finding.change
    if change is None or math.isnan(change):
        return "~" if finding.verdict is Verdict.UNDECIDED else ""
    if finding.interval is not None and 0.0 in finding.interval:
        return "~"
    return percent(change, signed=True)


def values(finding: Finding) -> tuple[str, str]:
    """Return base and head; with all digits if a changed result would look the same."""
    base, head = (_value(value, finding.unit) for value in (finding.base, finding.head))
    if base == head and finding.verdict is Verdict.CHANGED_RESULT:
        return repr(finding.base), repr(finding.head)
    return base, head


def one_line(text: str) -> str:
    """Return text from outside as one printable line without terminal codes, shortened if long."""
    line = _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", " ".join(text.split()))
    if len(line) <= LONGEST_TEXT:
        return line
    return f"{line[:LONGEST_TEXT]}... ({len(line) - LONGEST_TEXT:,} characters more in the JSON)"


class Footnotes:
    """Numbered footnotes: equal texts share a number."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def numbers(self, texts: Iterable[str]) -> list[int]:
        """Return the numbers of ``texts``; texts without a number get the next ones."""
        return [self._numbers.setdefault(text, len(self._numbers) + 1) for text in texts]

    def mark(self, texts: Iterable[str]) -> str:
        """Return the numbers of ``texts`` as superscripts, "" without texts."""
        return ",".join(superscript(number) for number in self.numbers(texts))

    def listed(self) -> list[tuple[int, str]]:
        """Return all numbers with their texts."""
        return [(number, text) for text, number in self._numbers.items()]


def superscript(number: int) -> str:
    """Return a number in superscript digits."""
    return str(number).translate(_SUPERSCRIPT)


def _verdict_word(finding: Finding) -> str:
    return _FAILED_AT_BOTH if finding.on_both else finding.verdict.value.lower()


def _counts(counts: Counter[str]) -> str:
    order = [*(verdict.value.lower() for verdict in Verdict), _FAILED_AT_BOTH]
    present = [(counts[word], word) for word in order if counts[word]]
    return ", ".join(
        f"{count:,} {_PLURALS.get(word, word) if count > 1 else word}" for count, word in present
    )


def _no_cases(result: GateResult) -> str:
    return "all cases were skipped" if result.skipped else "no case was selected"


def _percentage(share: float, *, whole_from: float, signed: bool = False) -> str:
    decimals = 1 if abs(100 * share) < whole_from - 0.05 else 0
    text = f"{100 * share:{'+' if signed else ''}.{decimals}f}"
    return "0.0" if float(text) == 0 else text


def _value(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    if not math.isfinite(value):
        return str(value)
    return f"{int(value):012x}" if _is_digest(unit) else one_line(human(value, unit))


def _is_digest(unit: str) -> bool:
    return unit.startswith("sha256")
