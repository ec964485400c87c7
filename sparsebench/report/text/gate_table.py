"""A gate's table for a terminal, like benchstat's: worst cases first, notes as footnotes."""

from collections.abc import Collection, Iterator, Sequence
from typing import Final

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from sparsebench.gate.findings import DEFAULT_FAIL_ON, GateResult, Verdict
from sparsebench.report.text.gate_format import (
    Footnotes,
    facts,
    interval_text,
    notes_of,
    one_line,
    outcome,
    percent,
    rough_percent,
    side,
    superscript,
)
from sparsebench.report.text.gate_sections import (
    BenchmarkSection,
    CaseRow,
    VerdictSummary,
    notable,
    sections,
    summaries,
    used_numbers,
)
from sparsebench.stats import Interval

STYLES: Final = {
    Verdict.CHANGED_RESULT: "bold red",
    Verdict.REGRESSED: "bold red",
    Verdict.FAILED: "red",
    Verdict.UNDECIDED: "yellow",
    Verdict.IMPROVED: "green",
}
_OUTCOME_STYLES: Final = ("bold green", "bold red", "bold red", "bold yellow")

LEGEND: Final = {
    "~": "~: the interval contains no change, so the direction is unknown",
    "MDE": "MDE: minimum detectable effect, a slow-down detected with probability 0.8",
    "spread": "geometric mean: of head/base; the interval covers the variation between cases",
}


def gate_text(
    result: GateResult,
    *,
    fail_on: Collection[Verdict] = DEFAULT_FAIL_ON,
    complete: bool = False,
) -> RenderableType:
    """Return the report for rich to print; ``complete`` lists unchanged cases too."""
    every = sections(result.findings)
    shown = every if complete else notable(every)
    footnotes, total = Footnotes(), summaries(result.findings)
    tables = [part for section in shown for part in _section(section, result, footnotes)]
    verdict = outcome(result, fail_on)
    explanations = [
        *_footnote_lines(footnotes),
        *(Text(line, style="dim") for line in legend(shown, total)),
    ]
    if not complete and any(line.unchanged for line in total):
        explanations.append(Text("--all lists unchanged cases too", style="dim"))
    parts: list[RenderableType] = [*_header(result), *tables]
    if total:
        parts += [Text(), _summary(total)]
    if explanations:
        parts += [Text(), *explanations]
    return Group(*parts, Text(), Text(str(verdict), style=_OUTCOME_STYLES[verdict.code]))


def _header(result: GateResult) -> Iterator[Text]:
    yield Text(f"gate of {one_line(result.project)}", style="bold")
    yield Text(f"base  {side(result.base)}")
    yield Text(f"head  {side(result.head)}")
    yield from map(Text, facts(result))
    yield from (Text(f"note: {one_line(note)}", style="yellow") for note in result.notes)


def _section(
    section: BenchmarkSection, result: GateResult, footnotes: Footnotes
) -> list[RenderableType]:
    head = Text.assemble("\n", (section.benchmark, "bold"), f"  {section.shared_text}".rstrip())
    marks = [footnotes.mark(notes_of(row.finding)) for row in section.rows]
    return [head, _CaseTable(section, marks, result.confidence_level)]


class _CaseTable:
    """The table of a section: one column per parameter if that fits, else one for the case."""

    def __init__(self, section: BenchmarkSection, marks: list[str], level: float) -> None:
        self._section = section
        self._marks = marks
        self._titles = {"interval": f"{100 * level:.3g} %"}

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide = self._table(
            self._section.dims, [list(_parameter_cells(self._section, r)) for r in self._rows]
        )
        natural = console.measure(wide, options=options.update(max_width=10_000)).maximum
        if natural <= options.max_width:
            yield wide
        else:
            yield self._table(["case"], [[row.label] for row in self._rows])

    @property
    def _rows(self) -> tuple[CaseRow, ...]:
        return self._section.rows

    def _table(self, titles: list[str], cases: list[list[str]]) -> Table:
        numbers = used_numbers(self._rows)
        table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
        for title in titles:
            table.add_column(Text(title), overflow="fold")
        for name in numbers:
            title = self._titles.get(name, name)
            table.add_column(title, justify="right", overflow="fold")
        table.add_column("verdict", overflow="fold")
        for row, case, mark in zip(self._rows, cases, self._marks, strict=True):
            shown = [row.numbers[name] for name in numbers]
            table.add_row(*map(Text, [*case, *shown]), _verdict(row.finding.verdict, mark))
        return table


def _parameter_cells(section: BenchmarkSection, row: CaseRow) -> Iterator[str]:
    return (row.params.get(name, "") for name in section.dims)


def _verdict(verdict: Verdict, mark: str) -> Text:
    return Text.assemble((verdict.value, STYLES.get(verdict, "")), f" {mark}".rstrip())


def _summary(lines: Sequence[VerdictSummary]) -> Table:
    """Return a table with one row per summary."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("benchmark", overflow="fold")
    for title in ("unchanged", "MDE median", "worst", "geometric mean"):
        table.add_column(title, justify="right", overflow="fold")
    for line in lines:
        table.add_row(*map(Text, summary_cells(line)))
    return table


def summary_cells(line: VerdictSummary) -> list[str]:
    """Return name, unchanged cases, median and largest minimum detectable effect, and mean."""
    if line.detectable:
        effects = [rough_percent(effect) for effect in line.detectable]
    else:
        effects = ["exact" if line.exact else "-", ""]
    doubtful = f", {line.doubtful} doubtful" if line.doubtful else ""
    return [line.name, f"{line.unchanged} of {line.cases}{doubtful}", *effects, mean_text(line)]


def mean_text(line: VerdictSummary) -> str:
    """Return "+0.3 % (-0.1..+0.6)"; "" without a mean."""
    if line.mean is None:
        return ""
    text = percent(line.mean.value - 1, signed=True)
    spread = line.mean.interval
    if spread is None:
        return text
    return f"{text} ({interval_text(Interval(spread.low - 1, spread.high - 1))})"


def legend(shown: Sequence[BenchmarkSection], total: Sequence[VerdictSummary]) -> list[str]:
    """Return the explanations of what is printed."""
    numbers = [row.numbers for section in shown for row in section.rows]
    used = {
        "~": any(cells["change"] == "~" for cells in numbers),
        "MDE": any(line.detectable for line in total),
        "spread": any(line.mean and line.mean.interval for line in total),
    }
    return [text for key, text in LEGEND.items() if used[key]]


def _footnote_lines(footnotes: Footnotes) -> list[Text]:
    return [Text(f"{superscript(number)} {text}") for number, text in footnotes.listed()]
