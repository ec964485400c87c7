"""The words and numbers of a gate that its table, comment and picture share."""

import math
import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from sparsebench.analysis.units import counted, human
from sparsebench.gate.findings import DEFAULT_FAIL_ON, Finding, GateResult, Side, Verdict
from sparsebench.stats import Interval

LONGEST_TEXT: Final = 300  # of an error or a reason; whole in the JSON

_OUTCOMES: Final = {0: "PASS", 1: "FAIL", 2: "NOTHING MEASURED", 3: "UNDECIDED"}
_ON_BOTH: Final = "failed at both commits"
_COUNTED: Final = {"changed result": "changed results"}  # the only plural among them
_UNPRINTABLE: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


@dataclass(frozen=True)
class Outcome:
    """What is said of the whole: a word for its exit code, and how many cases got which verdict."""

    code: int
    word: str
    tally: str

    def __str__(self) -> str:
        """The last line of the terminal's table, the headline of the comment."""
        return f"{self.word}: {self.tally}"


def outcome(result: GateResult, fail_on: Collection[Verdict] = DEFAULT_FAIL_ON) -> Outcome:
    """What the gate says in one line: first what decided it, then how many of the rest."""
    code = result.exit_code(fail_on)
    against = Counter(_word(f) for f in result.findings if f.verdict in fail_on and not f.on_both)
    rest = Counter(_word(f) for f in result.findings)
    rest.subtract(against)
    parts = [text for counts in (against, rest) if (text := _counts(counts))]
    return Outcome(code, _OUTCOMES[code], "; besides: ".join(parts) or _nothing(result))


def about(result: GateResult) -> list[str]:
    """The facts that hold for every case: which commits, where, how strictly, how long."""
    where = [one_line(result.machine), one_line(result.environment)]
    facts = [
        f"tolerance {100 * result.tolerance:.3g} %",
        f"intervals at {100 * result.confidence_level:.3g} %",
        f"measured for {human(result.seconds, 'seconds')}",
    ]
    skipped = f"{counted(result.skipped, 'case')} skipped at both commits"
    return [" · ".join(where), " · ".join(facts), *([skipped] if result.skipped else [])]


def side(commit: Side) -> str:
    """One commit in a line, its uncommitted changes said."""
    told = f"{commit.short} {one_line(commit.subject)}".rstrip()
    if not commit.uncommitted:
        return told
    return f"{told} (with uncommitted changes in {counted(commit.uncommitted, 'file')})"


def notes_of(finding: Finding) -> list[str]:
    """The reasons and doubts about one case, each in one line."""
    notes = [one_line(note) for note in finding.notes]
    if finding.on_both:
        return [": ".join(["at both commits", *notes[:1]]), *notes[1:]]
    return notes


def percent(share: float, *, signed: bool = False) -> str:
    """Return "2.1 %", or "+2.1 %" with ``signed``; from a hundred on without decimals."""
    return f"{_percentage(share, whole_from=100, signed=signed)} %"


def rough_percent(share: float) -> str:
    """Return "2.1 %" or "12 %": two digits, of what is an estimate itself."""
    return f"{_percentage(share, whole_from=10)} %"


def interval_text(interval: Interval | None) -> str:
    """Return "-0.4..+1.2" or "+12..+21", in percent and to two digits; "" for none."""
    if interval is None:
        return ""
    ends = (interval.low, interval.high)
    return "..".join(_percentage(end, whole_from=10, signed=True) for end in ends)


def change_text(finding: Finding) -> str:
    """Return the change; "~" where not even its direction can be said, "" where there is none."""
    if finding.verdict in (Verdict.NEW, Verdict.GONE, Verdict.FAILED) or _is_digest(finding.unit):
        return ""
    change = finding.change
    if change is None or math.isnan(change):
        return "~" if finding.verdict is Verdict.UNDECIDED else ""
    if finding.interval is not None and 0.0 in finding.interval:
        return "~"
    return percent(change, signed=True)


def values(finding: Finding) -> tuple[str, str]:
    """Base and head; with all digits where fewer would make a changed result look the same."""
    base, head = (_value(value, finding.unit) for value in (finding.base, finding.head))
    if base == head and finding.verdict is Verdict.CHANGED_RESULT:
        return repr(finding.base), repr(finding.head)
    return base, head


def one_line(text: str) -> str:
    """Text from outside as one printable line: no terminal codes, its length told when cut."""
    line = _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", " ".join(text.split()))
    if len(line) <= LONGEST_TEXT:
        return line
    return f"{line[:LONGEST_TEXT]}... ({len(line) - LONGEST_TEXT:,} characters more in the JSON)"


def _word(finding: Finding) -> str:
    return _ON_BOTH if finding.on_both else finding.verdict.value.lower()


def _counts(counts: Counter[str]) -> str:
    order = [*(verdict.value.lower() for verdict in Verdict), _ON_BOTH]
    found = [(counts[word], word) for word in order if counts[word]]
    return ", ".join(
        f"{count:,} {_COUNTED.get(word, word) if count > 1 else word}" for count, word in found
    )


def _nothing(result: GateResult) -> str:
    return "every case asked to be skipped" if result.skipped else "no case was selected"


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
