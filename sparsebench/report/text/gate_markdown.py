"""A gate's findings as Markdown: the comment on a pull request, and the summary of a CI step."""

import bisect
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final

from sparsebench.analysis.units import counted
from sparsebench.gate.findings import DEFAULT_FAIL_ON, GateResult, Verdict
from sparsebench.report.text.footnotes import Footnotes
from sparsebench.report.text.gate_sections import (
    Row,
    Section,
    Summary,
    notable,
    sections,
    summaries,
    used_numbers,
)
from sparsebench.report.text.gate_table import legend, summary_cells
from sparsebench.report.text.gate_words import about, notes_of, one_line, outcome, side

MARKER: Final = "<!-- sparsebench gate -->"  # the first line, by which CI finds its comment again
LIMIT: Final = 65_536  # characters, of one comment on GitHub
ROOM: Final = 1_000  # of these left for what CI adds: links to the run and its files
OPEN: Final = 12  # rows that are seen before anything is unfolded

_SIGNS: Final = ("✅", "❌", "⚠️", "❔")
_LOUD: Final = frozenset({Verdict.CHANGED_RESULT, Verdict.REGRESSED, Verdict.FAILED})


def markdown(result: GateResult, fail_on: Collection[Verdict] = DEFAULT_FAIL_ON) -> str:
    """Return the comment: outcome first, worst cases next, more than twelve folded.

    All text from outside stands in code spans, so that no name or error can format, link or mention
    anything. Unchanged cases are counted, not listed. What would pass GitHub's limit is left out,
    the least important first, and a line says how much.
    """
    found, total = notable(sections(result.findings)), summaries(result.findings)
    most = max((len(s) for s in (result.findings, result.notes)), default=0)
    fitting = bisect.bisect_right(
        range(1, most + 1),
        LIMIT - ROOM,
        key=lambda lines: len(_render(result, found, total, fail_on, lines)),
    )
    return _render(result, found, total, fail_on, fitting)


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
    rule = [":--" if place < left else "--:" for place in range(len(titles))]
    return "\n".join(f"| {' | '.join(row)} |" for row in [titles, rule, *rows])


def _render(
    result: GateResult,
    found: Sequence[Section],
    total: Sequence[Summary],
    fail_on: Collection[Verdict],
    most: int,
) -> str:
    """Return the comment with at most so many cases, lines of the summary, and notes."""
    footnotes = Footnotes()
    kept, left = _split(found, most)
    opened, folded = _split(kept, OPEN)
    omitted = {
        "cases": sum(len(section.rows) for section in left),
        "lines of the summary": max(len(total) - most, 0),
        "notes": max(len(result.notes) - most, 0),
    }
    parts = [
        *_head(result, fail_on, most),
        *(_section(section, result, footnotes) for section in opened),
        *_folded(folded, result, footnotes),
        _summary(total[:most]),
        _footnotes(footnotes),
        "\n".join(f"<sub>{line}</sub><br>" for line in legend(kept, total)),
        _omitted(omitted),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(result: GateResult, fail_on: Collection[Verdict], most: int) -> Iterator[str]:
    said = outcome(result, fail_on)
    yield f"{MARKER}\n### {_SIGNS[said.code]} {said}"
    yield f"base {code(side(result.base))}<br>\nhead {code(side(result.head))}"
    yield f"{code(result.project)} on {'<br>'.join(map(code, about(result)))}"
    yield "<br>\n".join(f"> {code(note)}" for note in result.notes[:most])


def _split(found: Sequence[Section], most: int) -> tuple[list[Section], list[Section]]:
    """Return the first ``most`` rows and the others, both in their sections."""
    first, rest = [], []
    for section in found:
        first.append(section.only(section.rows[:most]))
        rest.append(section.only(section.rows[max(most, 0) :]))
        most = max(most - len(section.rows), 0)
    return [s for s in first if s.rows], [s for s in rest if s.rows]


def _section(section: Section, result: GateResult, footnotes: Footnotes) -> str:
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


def _verdict(row: Row, footnotes: Footnotes) -> str:
    verdict = row.finding.verdict
    word = f"**{verdict.value}**" if verdict in _LOUD else verdict.value
    numbers = footnotes.numbers(notes_of(row.finding))
    return f"{word} <sup>{','.join(map(str, numbers))}</sup>" if numbers else word


def _folded(found: list[Section], result: GateResult, footnotes: Footnotes) -> list[str]:
    if not found:
        return []
    count = counted(sum(len(section.rows) for section in found), "more case")
    body = "\n\n".join(_section(section, result, footnotes) for section in found)
    return [_details(count, body)]


def _summary(lines: Sequence[Summary]) -> str:
    if not lines:
        return ""
    titles = ["benchmark", "unchanged", "MDE median", "worst", "geometric mean"]
    rows = [[_cell(name), *cells] for name, *cells in map(summary_cells, lines)]
    text = table(titles, rows, left=1)
    return text if len(lines) <= OPEN else _details(f"summary of {len(lines)} benchmarks", text)


def _footnotes(footnotes: Footnotes) -> str:
    lines = [f"{number}. {code(text)}" for number, text in footnotes.listed()]
    text = "\n".join(lines)
    return text if len(lines) <= OPEN else _details(f"{len(lines)} footnotes", text)


def _omitted(omitted: dict[str, int]) -> str:
    what = ", ".join(f"{count:,} {noun}" for noun, count in omitted.items() if count)
    if not what:
        return ""
    return f"**Left out, because a comment holds {LIMIT:,} characters: {what}. The JSON has all.**"


def _details(summary: str, body: str) -> str:
    return f"<details><summary>{summary}</summary>\n\n{body}\n\n</details>"


def _cell(text: str) -> str:
    """Return ``text`` as a code span inside a table, where a bar would end the cell."""
    return code(text).replace("|", r"\|")


def _number(text: str) -> str:
    """Return a number as it is, unless its unit, a word from outside, holds more than letters."""
    return text if re.fullmatch(r"[\w .,+~%-]*", text) else _cell(text)
