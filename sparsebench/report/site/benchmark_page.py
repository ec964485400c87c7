"""The page of one benchmark: its pictures, its changes, its newest values case by case."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from sparsebench.analysis.history import Step, short_hash
from sparsebench.analysis.units import counted, human
from sparsebench.report.figures.regression_data import Story, tell
from sparsebench.report.site.changes import change_table
from sparsebench.report.site.gathering import PAGE, Reader
from sparsebench.report.site.histories import History, Parameters, parameter_axis
from sparsebench.report.site.html import page
from sparsebench.report.site.newest import Facts, case_names, facts, newest
from sparsebench.report.site.output import Output
from sparsebench.report.site.page_cache import Page, page_key
from sparsebench.report.site.pictures import Shown, show
from sparsebench.report.site.site_context import About
from sparsebench.report.site.table import Cell, Column, Table

MOST_ROWS: Final = 1000  # of one page
MOST_ERRORS: Final = 5  # different ones


@dataclass(frozen=True)
class BenchmarkTask:
    """One benchmark (and its twins of other implementations) to make a page of.

    Attributes:
        title: what the page is called; ``file``: its file's name, without suffix.
        project: whose; ``benchmarks``: its names.
        commits: the project's, oldest first.
        steps: what changed in it, most important first.
        digest: of its rows.
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
        """Where the page stands in the site."""
        return f"benchmarks/{self.file}.html"

    def key(self, about: About) -> str:
        """Return the name of the page's content, which begins at the first of the commits."""
        begin = self.commits[0]
        return page_key(
            about, self.title, self.file, begin, self.benchmarks, self.steps, self.digest
        )


@dataclass(frozen=True)
class Made:
    """What the overview says of a benchmark."""

    title: str
    path: str
    unit: str | None
    facts: Facts

    @classmethod
    def of(cls, plain: dict[str, Any]) -> "Made":
        """Return it from plain values, as a manifest has them."""
        return cls(plain["title"], plain["path"], plain["unit"], Facts.of(plain["facts"]))


def make_benchmark_pages(
    tasks: Sequence[BenchmarkTask], read: Reader, about: About, output: Output
) -> list[Page[Made]]:
    """Write some pages of rows that are read together, one page after the other."""
    rows = read(PAGE, [name for task in tasks for name in task.benchmarks])
    return [make_benchmark_page(task, _rows_of(task, rows), about, output) for task in tasks]


def make_benchmark_page(
    task: BenchmarkTask, rows: pd.DataFrame, about: About, output: Output
) -> Page[Made]:
    """Write one page with its pictures and data; ``rows`` are the task's, in full."""
    output = Output(output.root)
    story = tell(task.title, rows, task.commits, task.steps)
    pictures = _pictures(story, task, about, output)
    content = page(
        "benchmark.html",
        about,
        task.path,
        title=task.title,
        summary=_summary(story),
        pictures=pictures,
        steps=change_table(task.steps, about.links, {}),
        errors=_errors(rows),
        newest=newest_table(story, about),
        every_value=about.command("show", task.benchmarks, "--format", "csv"),
        code=sorted(task.benchmarks),
    )
    output.write(task.path, content)
    drawn = sum(picture.drawn for picture in pictures)
    made = Made(task.title, task.path, story.unit, facts(story))
    files = frozenset(output.written)
    return Page(task.path, task.key(about), made, files, drawn, len(pictures) - drawn)


def _rows_of(task: BenchmarkTask, rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["project"].eq(task.project) & rows["benchmark"].isin(task.benchmarks)]


def newest_table(story: Story, about: About) -> Table:
    """Return the newest value of each case, in the order of the cases."""
    rows = newest(story)
    cases = case_names(rows)
    sure = bool((rows["low"] <= rows["high"]).any())
    spans = [Column("95 %")] if sure else []
    titles = [*(Column(str(name)) for name in cases), Column("value", numeric=True), *spans]
    lines = tuple(
        (*map(Cell, map(str, case)), *_value_cells(row, story, about, sure=sure))
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


def _pictures(story: Story, task: BenchmarkTask, about: About, output: Output) -> list[Shown]:
    command = about.command("plot", task.benchmarks)
    file = f"benchmark.{task.file}"
    found = [show(History(story), output, file, "Value against commit", command)]
    if x := parameter_axis(story):
        title, picture = f"Newest values over {x}", Parameters(story, x)
        command = about.command("show", task.benchmarks)
        found.append(show(picture, output, f"{file}.over", title, command))
    return found


def _summary(story: Story) -> str:
    """Return one line: how many cases, commits and machines, and in which unit."""
    table = story.table
    parts = [
        counted(len(newest(story)), "case"),
        f"{counted(len(story.commits), 'commit')}, "
        f"{short_hash(story.commits[0])} to {short_hash(story.commits[-1])}",
        counted(int(table["dim:machine"].nunique()), "machine"),
        f"in {story.unit}" if story.unit else "without a unit",
        {"lower": "lower is better", "higher": "higher is better"}.get(
            story.direction, "compared exactly"
        ),
    ]
    return " · ".join(parts)


def _value_cells(
    row: Mapping[Hashable, object], story: Story, about: About, *, sure: bool
) -> tuple[Cell, ...]:
    value, before = float(str(row["value"])), float(str(row["before"]))
    low, high = float(str(row["low"])), float(str(row["high"]))
    commit = about.links.cell(story.commits[int(str(row["x"]))])
    spans = [Cell(_span(low, high, story))] if sure else []
    if value != value:
        return Cell(str(row["status"]), kind="worse"), *spans, Cell("-"), commit
    return Cell(_value(value, story), value), *spans, _ratio(value, before, story), commit


def _span(low: float, high: float, story: Story) -> str:
    return f"{human(low, story.unit)} to {human(high, story.unit)}" if low <= high else "-"


def _value(value: float, story: Story) -> str:
    """Return the value for people; a digest as its hexadecimal digits."""
    if (story.unit or "").startswith("sha256"):
        return f"{int(value):012x}"
    return human(value, story.unit)


def _ratio(value: float, before: float, story: Story) -> Cell:
    if before != before:
        return Cell("-")
    if story.direction == "exact":
        return Cell("same") if value == before else Cell("changed", kind="worse")
    if before <= 0:
        return Cell("-")
    return Cell(human(value / before, "ratio"), value / before)


def _errors(rows: pd.DataFrame) -> list[str]:
    """Return the errors of the cases whose newest run failed, the most frequent first."""
    run = rows[rows["status"] != "skipped"].sort_values(
        ["commit_date", "started_at"], na_position="first", kind="stable"
    )
    newest = run.drop_duplicates(["machine", "benchmark", "case"], keep="last")
    failed = newest[newest["status"].isin(["failed", "timeout"])]
    counts = failed["error"].fillna(failed["status"]).value_counts().head(MOST_ERRORS)
    return [f"{counted(int(count), 'case')}: {text}" for text, count in counts.items()]
