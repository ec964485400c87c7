"""The page of one benchmark: its pictures, its changes, its newest values case by case."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Final

import pandas as pd

from sparsebench.report.history import Step, short_hash
from sparsebench.report.site.about import About
from sparsebench.report.site.changes import change_table
from sparsebench.report.site.histories import History, Parameters, parameter_axis
from sparsebench.report.site.html import page
from sparsebench.report.site.newest import Facts, case_names, facts, newest
from sparsebench.report.site.output import Output
from sparsebench.report.site.pictures import Shown, show
from sparsebench.report.site.table import Cell, Column, Table
from sparsebench.report.story import Story, tell
from sparsebench.report.units import counted, human

MOST_ROWS: Final = 1000  # of one page; the CSV beside it has all


@dataclass(frozen=True)
class BenchmarkTask:
    """One benchmark (and its twins of other implementations) to make a page of.

    Attributes:
        title: what the page is called; ``file``: its file's name, without suffix.
        rows: of the dataset, samples among them.
        commits: the project's, oldest first.
        steps: what changed in it, most important first.
    """

    title: str
    file: str
    rows: pd.DataFrame
    commits: list[str]
    steps: tuple[Step, ...]

    @property
    def path(self) -> str:
        """Where the page stands in the site."""
        return f"benchmarks/{self.file}.html"


@dataclass(frozen=True)
class Made:
    """A benchmark's page, written: what the overview says of it, and the files that it wrote."""

    title: str
    path: str
    unit: str | None
    facts: Facts
    written: frozenset[str]
    drawn: int
    reused: int


def make_benchmark_page(task: BenchmarkTask, about: About, output: Output) -> Made:
    """Write one page with its pictures and data; return what the overview needs of it."""
    output = Output(output.root)
    story = tell(task.title, task.rows, task.commits, task.steps)
    pictures = _pictures(story, task, about, output)
    content = page(
        "benchmark.html",
        about,
        task.path,
        title=task.title,
        summary=_summary(story),
        pictures=pictures,
        steps=change_table(task.steps, about.links, {}),
        errors=_errors(task.rows),
        newest=newest_table(story, about),
        code=sorted(task.rows["benchmark"].unique()),
    )
    output.write(task.path, content)
    drawn = sum(picture.drawn for picture in pictures)
    written = frozenset(output.written)
    return Made(
        task.title, task.path, story.unit, facts(story), written, drawn, len(pictures) - drawn
    )


def newest_table(story: Story, about: About) -> Table:
    """Return the newest value of each case, in the order of the cases."""
    rows = newest(story)
    cases = case_names(rows)
    titles = [Column(str(name)) for name in cases]
    numbers = [Column("value", numeric=True), Column("95 %"), Column("vs before", numeric=True)]
    lines = tuple(
        (*map(Cell, map(str, case)), *_value_cells(row, story, about))
        for case, row in zip(
            cases.head(MOST_ROWS).itertuples(index=False, name=None),
            rows.head(MOST_ROWS).to_dict("records"),
            strict=True,
        )
    )
    cut = f"{MOST_ROWS} of {len(rows)} cases; the CSV of the history has all"
    return Table(
        "Newest values",
        (*titles, *numbers, Column("commit")),
        lines,
        (cut,) if len(rows) > MOST_ROWS else (),
    )


def _pictures(story: Story, task: BenchmarkTask, about: About, output: Output) -> list[Shown]:
    command = about.command("plot", task.rows["benchmark"])
    file = f"benchmark.{task.file}"
    found = [show(History(story), output, file, "Value against commit", command)]
    if x := parameter_axis(story):
        title, picture = f"Newest values over {x}", Parameters(story, x)
        command = about.command("show", task.rows["benchmark"])
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


def _value_cells(row: Mapping[Hashable, object], story: Story, about: About) -> tuple[Cell, ...]:
    value, before = float(str(row["value"])), float(str(row["before"]))
    low, high = float(str(row["low"])), float(str(row["high"]))
    commit = about.links.cell(story.commits[int(str(row["x"]))])
    if value != value:
        return Cell(str(row["status"]), kind="worse"), Cell("-"), Cell("-"), commit
    span = f"{human(low, story.unit)} to {human(high, story.unit)}" if low <= high else "-"
    return Cell(_value(value, story), value), Cell(span), _ratio(value, before, story), commit


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
    """Return the different errors of the newest commit's failures, the most frequent first."""
    failed = rows[rows["status"].isin(["failed", "timeout"])]
    told = failed["error"].dropna() if "error" in failed else failed["status"]
    counts = told.value_counts().head(5)
    return [f"{counted(int(count), 'row')}: {text}" for text, count in counts.items()]
