"""A gate's findings as Markdown: the comment on a pull request, and the summary of a CI step."""

import bisect
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final

from sparsebench.analysis.units import counted
from sparsebench.gate.findings import DEFAULT_FAIL_ON, GateResult, Verdict
from sparsebench.report.text.gate_format import Footnotes, facts, notes_of, one_line, outcome, side
from sparsebench.report.text.gate_sections import (
    BenchmarkSection,
    CaseRow,
    VerdictSummary,
    notable,
    sections,
    summaries,
    used_numbers,
)
from sparsebench.report.text.gate_table import legend, summary_cells

MARKER: Final = "<!-- sparsebench gate -->"  # the first line, by which CI finds its earlier comment
LIMIT: Final = 65_536  # characters, of one comment on GitHub
RESERVED: Final = 1_000  # of these, for what CI adds: links to the run and its files
UNFOLDED: Final = 12  # rows that are visible without unfolding

_SIGNS: Final = ("✅", "❌", "⚠️", "❔")
_EMPHASISED: Final = frozenset({Verdict.CHANGED_RESULT, Verdict.REGRESSED, Verdict.FAILED})


def markdown(result: GateResult, fail_on: Collection[Verdict] = DEFAULT_FAIL_ON) -> str:
    """Return the comment: outcome first, then the worst cases; more than twelve are folded.

    All text from outside is in code spans, so that no name or error can format, link or mention
    anything. Unchanged cases are counted, not listed. Lines beyond GitHub's limit are left out,
    least important first; a line says how many.
    """
    changed, total = notable(sections(result.findings)), summaries(result.findings)
    most = max((len(s) for s in (result.findings, result.notes)), default=0)
    fitting = bisect.bisect_right(
        range(1, most + 1),
        LIMIT - RESERVED,
        key=lambda lines: len(_render(result, changed, total, fail_on, lines)),
    )
    return _render(result, changed, total, fail_on, fitting)


def code(text: str) -> str:
    """Return ``text`` as a code span that shows it literally, whatever it holds."""
    text = one_line(text)
    if not text:
        return ""
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    pad = " " if text[0] == "`" or text[-1] == "`" else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def table(titles: Sequence[str], rows: Iterable[Sequence[str]], left: int) -> str:
    """Return a table in GitHub's Markdown; the columns after the first ``left`` are numbers."""
    rule = [":--" if column < left else "--:" for column in range(len(titles))]
    return "\n".join(f"| {' | '.join(row)} |" for row in [titles, rule, *rows])


def _render(
    result: GateResult,
    changed: Sequence[BenchmarkSection],
    total: Sequence[VerdictSummary],
    fail_on: Collection[Verdict],
    most: int,
) -> str:
    """Return the comment with at most ``most`` cases, lines of the summary, and notes."""
    footnotes = Footnotes()
    shown, left = _split(changed, most)
    visible, folded = _split(shown, UNFOLDED)
    omitted = {
        "cases": sum(len(section.rows) for section in left),
        "lines of the summary": max(len(total) - most, 0),
        "notes": max(len(result.notes) - most, 0),
    }
    parts = [
        *_head(result, fail_on, most),
        *(_section(section, result, footnotes) for section in visible),
        *_folded(folded, result, footnotes),
        _summary(total[:most]),
        _footnotes(footnotes),
        "\n".join(f"<sub>{line}</sub><br>" for line in legend(shown, total)),
        _omitted(omitted),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(result: GateResult, fail_on: Collection[Verdict], most: int) -> Iterator[str]:
    verdict = outcome(result, fail_on)
    yield f"{MARKER}\n### {_SIGNS[verdict.code]} {verdict}"
    yield f"base {code(side(result.base))}<br>\nhead {code(side(result.head))}"
    yield f"{code(result.project)} on {'<br>'.join(map(code, facts(result)))}"
    yield "<br>\n".join(f"> {code(note)}" for note in result.notes[:most])


def _split(
    every: Sequence[BenchmarkSection], most: int
) -> tuple[list[BenchmarkSection], list[BenchmarkSection]]:
    """Return the first ``most`` rows and the others, both in their sections."""
    first, rest = [], []
    for section in every:
        first.append(section.only(section.rows[:most]))
        rest.append(section.only(section.rows[max(most, 0) :]))
        most = max(most - len(section.rows), 0)
    return [s for s in first if s.rows], [s for s in rest if s.rows]


def _section(section: BenchmarkSection, result: GateResult, footnotes: Footnotes) -> str:
    numbers, dims = used_numbers(section.rows), section.dims
    titles = {"interval": f"{100 * result.confidence_level:.3g} %"}
    head = f"**{code(section.benchmark)}** {code(section.shared_text)}".rstrip()
    rows = [
        [
            *(_cell(row.params.get(name, "")) for name in dims),
            _verdict(row, footnotes),
            *(_number(row.numbers[name]) for name in numbers),
        ]
        for row in section.rows
    ]
    names = [*map(_cell, dims), "verdict", *(titles.get(name, name) for name in numbers)]
    return f"{head}\n\n{table(names, rows, left=len(dims) + 1)}"


def _verdict(row: CaseRow, footnotes: Footnotes) -> str:
    verdict = row.finding.verdict
    word = f"**{verdict.value}**" if verdict in _EMPHASISED else verdict.value
    numbers = footnotes.numbers(notes_of(row.finding))
    return f"{word} <sup>{','.join(map(str, numbers))}</sup>" if numbers else word


def _folded(folded: list[BenchmarkSection], result: GateResult, footnotes: Footnotes) -> list[str]:
    if not folded:
        return []
    count = counted(sum(len(section.rows) for section in folded), "more case")
    body = "\n\n".join(_section(section, result, footnotes) for section in folded)
    return [_details(count, body)]


def _summary(lines: Sequence[VerdictSummary]) -> str:
    if not lines:
        return ""
    titles = ["benchmark", "unchanged", "MDE median", "worst", "geometric mean"]
    rows = [[_cell(name), *cells] for name, *cells in map(summary_cells, lines)]
    text = table(titles, rows, left=1)
    return text if len(lines) <= UNFOLDED else _details(f"summary of {len(lines)} benchmarks", text)


def _footnotes(footnotes: Footnotes) -> str:
    lines = [f"{number}. {code(text)}" for number, text in footnotes.listed()]
    text = "\n".join(lines)
    return text if len(lines) <= UNFOLDED else _details(f"{len(lines)} footnotes", text)


def _omitted(omitted: dict[str, int]) -> str:
    what = ", ".join(f"{count:,} {noun}" for noun, count in omitted.items() if count)
    if not what:
        return ""
    return f"**Left out, because a comment holds {LIMIT:,} characters: {what}. The JSON has all.**"


def _details(summary: str, body: str) -> str:
    return f"<details><summary>{summary}</summary>\n\n{body}\n\n</details>"


def _cell(text: str) -> str:
    """Return ``text`` as a code span for a table, with escaped bars."""
    return code(text).replace("|", r"\|")


def _number(text: str) -> str:
    """Return a number; as a code span if its unit, a text from outside, has other characters."""
    return text if re.fullmatch(r"[\w .,+~%-]*", text) else _cell(text)
