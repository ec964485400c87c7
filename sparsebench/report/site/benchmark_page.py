"""The page of a benchmark: its pictures, its changes and its newest value per case."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from sparsebench.analysis.history import Step, short_hash
from sparsebench.analysis.points import BenchmarkHistory, benchmark_history
from sparsebench.analysis.units import counted, human
from sparsebench.report.figures.plots import history_figure
from sparsebench.report.site.benchmark_pictures import (
    HistoryPicture,
    ParameterPicture,
    parameter_axis,
)
from sparsebench.report.site.changes import change_table
from sparsebench.report.site.newest import NewestSummary, case_names, facts, newest
from sparsebench.report.site.output import Output
from sparsebench.report.site.page import SiteContext, page
from sparsebench.report.site.page_cache import WrittenPage, page_key
from sparsebench.report.site.pictures import PageImage, show
from sparsebench.report.site.site_data import PAGE, SiteReader
from sparsebench.report.site.table import Cell, Column, Table
from sparsebench.results import latest

MOST_ROWS: Final = 1000  # of the table
MOST_ERRORS: Final = 5  # different error texts


@dataclass(frozen=True)
class BenchmarkTask:
    """A benchmark to make a page of, together with the same one of other implementations.

    Attributes:
        title: of the page.
        file: name of its file, without suffix.
        project: the project's name.
        benchmarks: asv's names of the benchmarks on the page.
        commits: the project's commits, oldest first.
        steps: the benchmarks' changes, most important first.
        digest: hash over their rows.
    """

    title: str
    file: str
    project: str
    benchmarks: tuple[str, ...]
    commits: list[str]
    steps: tuple[Step, ...]
    digest: int

    @property
    def path(self) -> str:
        """The page's path, relative to the site."""
        return f"benchmarks/{self.file}.html"

    def key(self, site: SiteContext) -> str:
        """Return the hash of what the page is made from, which includes the first commit."""
        first = self.commits[0]
        return page_key(
            site, self.title, self.file, first, self.benchmarks, self.steps, self.digest
        )


@dataclass(frozen=True)
class BenchmarkEntry:
    """What the overview shows of a benchmark."""

    title: str
    path: str
    unit: str | None
    facts: NewestSummary

    @classmethod
    def of(cls, plain: dict[str, Any]) -> "BenchmarkEntry":
        """Return the summary from plain values, as a manifest has them."""
        return cls(plain["title"], plain["path"], plain["unit"], NewestSummary.of(plain["facts"]))


def make_benchmark_pages(
    tasks: Sequence[BenchmarkTask], read: SiteReader, site: SiteContext, output: Output
) -> list[WrittenPage[BenchmarkEntry]]:
    """Write several pages, whose rows are read together."""
    rows = read(PAGE, [name for task in tasks for name in task.benchmarks])
    return [make_benchmark_page(task, _rows_of(task, rows), site, output) for task in tasks]


def make_benchmark_page(
    task: BenchmarkTask, rows: pd.DataFrame, site: SiteContext, output: Output
) -> WrittenPage[BenchmarkEntry]:
    """Write one page with its pictures and data; ``rows`` are the task's with columns `PAGE`."""
    output = Output(output.root)
    history = benchmark_history(task.title, rows, task.commits, task.steps)
    pictures = _pictures(history, task, site, output)
    content = page(
        "benchmark.html",
        site,
        task.path,
        title=task.title,
        summary=_summary(history),
        pictures=pictures,
        steps=change_table(task.steps, site.links, {}),
        errors=_errors(rows),
        newest=newest_table(history, site),
        every_value=site.command("show", task.benchmarks, "--format", "csv"),
        code=sorted(task.benchmarks),
    )
    output.write(task.path, content)
    drawn = sum(picture.drawn for picture in pictures)
    summary = BenchmarkEntry(task.title, task.path, history.unit, facts(history))
    files = frozenset(output.written)
    reused = len(pictures) - drawn
    return WrittenPage(task.path, task.key(site), summary, files, drawn, reused)


def _rows_of(task: BenchmarkTask, rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["project"].eq(task.project) & rows["benchmark"].isin(task.benchmarks)]


def newest_table(history: BenchmarkHistory, site: SiteContext) -> Table:
    """Return a table of the newest value per case, in the order of the cases."""
    rows = newest(history)
    cases = case_names(history, rows)
    has_intervals = bool((rows["low"] <= rows["high"]).any())
    intervals = [Column("95 %")] if has_intervals else []
    titles = [*(Column(str(name)) for name in cases), Column("value", numeric=True), *intervals]
    lines = tuple(
        (*map(Cell, map(str, case)), *_value_cells(row, history, site, has_intervals=has_intervals))
        for case, row in zip(
            cases.head(MOST_ROWS).itertuples(index=False, name=None),
            rows.head(MOST_ROWS).to_dict("records"),
            strict=True,
        )
    )
    cut = f"{MOST_ROWS} of {len(rows)} cases"
    return Table(
        "Newest values",
        (*titles, Column("vs before", numeric=True), Column("commit")),
        lines,
        (cut,) if len(rows) > MOST_ROWS else (),
    )


def _pictures(
    history: BenchmarkHistory, task: BenchmarkTask, site: SiteContext, output: Output
) -> list[PageImage]:
    command = site.command("plot", task.benchmarks)
    file = f"benchmark.{task.file}"
    images = [
        show(HistoryPicture(history_figure(history)), output, file, "Value against commit", command)
    ]
    if x := parameter_axis(history):
        title, picture = f"Newest values over {x}", ParameterPicture(history, x)
        command = site.command("show", task.benchmarks)
        images.append(show(picture, output, f"{file}.over", title, command))
    return images


def _summary(history: BenchmarkHistory) -> str:
    """Return a line with the number of cases, commits and machines, and the unit."""
    parts = [
        counted(len(newest(history)), "case"),
        f"{counted(len(history.commits), 'commit')}, "
        f"{short_hash(history.commits[0])} to {short_hash(history.commits[-1])}",
        counted(int(history.dims["machine"].nunique()), "machine"),
        f"in {history.unit}" if history.unit else "without a unit",
        {"lower": "lower is better", "higher": "higher is better"}.get(
            history.direction, "compared exactly"
        ),
    ]
    return " · ".join(parts)


def _value_cells(
    row: Mapping[Hashable, object],
    history: BenchmarkHistory,
    site: SiteContext,
    *,
    has_intervals: bool,
) -> tuple[Cell, ...]:
    value, before = float(str(row["value"])), float(str(row["before"]))
    low, high = float(str(row["low"])), float(str(row["high"]))
    commit = site.links.cell(history.commits[int(str(row["x"]))])
    spans = [Cell(_span(low, high, history))] if has_intervals else []
    if value != value:
        return Cell(str(row["status"]), kind="worse"), *spans, Cell("-"), commit
    return Cell(_value(value, history), value), *spans, _ratio(value, before, history), commit


def _span(low: float, high: float, history: BenchmarkHistory) -> str:
    return f"{human(low, history.unit)} to {human(high, history.unit)}" if low <= high else "-"


def _value(value: float, history: BenchmarkHistory) -> str:
    """Return the value scaled for reading; a digest as hexadecimal digits."""
    if (history.unit or "").startswith("sha256"):
        return f"{int(value):012x}"
    return human(value, history.unit)


def _ratio(value: float, before: float, history: BenchmarkHistory) -> Cell:
    if before != before:
        return Cell("-")
    if history.direction == "exact":
        return Cell("same") if value == before else Cell("changed", kind="worse")
    if before <= 0:
        return Cell("-")
    return Cell(human(value / before, "ratio"), value / before)


def _errors(rows: pd.DataFrame) -> list[str]:
    """Return the errors of the cases whose newest run failed, most frequent first."""
    newest_rows = latest(rows[rows["status"] != "skipped"], ["machine", "benchmark", "case"])
    failed = newest_rows[newest_rows["status"].isin(["failed", "timeout"])]
    counts = failed["error"].fillna(failed["status"]).value_counts().head(MOST_ERRORS)
    return [f"{counted(int(count), 'case')}: {text}" for text, count in counts.items()]
