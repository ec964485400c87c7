"""A whole site: which pages there are, made on all cores, and what was there before replaced."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Final

import pandas as pd

from sparsebench import __version__
from sparsebench.report import canvas
from sparsebench.report.break_even import break_evens
from sparsebench.report.copy_floor import COPY
from sparsebench.report.history import History, Step, commit_order
from sparsebench.report.site import break_even_page, machines, output, overview
from sparsebench.report.site.about import About
from sparsebench.report.site.benchmark_page import BenchmarkTask, Made, make_benchmark_page
from sparsebench.report.site.commits import CommitLinks
from sparsebench.report.site.device_page import (
    DeviceTask,
    MadePair,
    make_device_page,
    pair_table,
    pairs_to_compare,
)
from sparsebench.report.site.html import page
from sparsebench.report.site.output import Output
from sparsebench.report.site.pool import run
from sparsebench.report.story import figures

DEVICES: Final = "devices.html"
STATIC: Final = ("site.css", "site.js", "icon.svg")

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Content:
    """What a site is made of.

    Attributes:
        history: rows of the dataset in the columns of its schema, of every commit.
        newest: the newest row of each case in each environment.
        found: what changed over it.
        dataset: as the command line named it.
        links: where commits can be seen.
    """

    history: pd.DataFrame
    newest: pd.DataFrame
    found: History
    dataset: str
    links: CommitLinks


@dataclass(frozen=True)
class Built:
    """What was made: the first page, how many pages, and how many pictures were drawn or kept."""

    index: Path
    pages: int
    drawn: int
    reused: int


def build(content: Content, into: Path, progress: Progress) -> Built:
    """Write the site into the folder ``into`` and return what was made.

    What an earlier site left there and this one does not have is removed; nothing else is touched.
    ``progress(done, total)`` is called as pages are done.

    Raises:
        SparsebenchError: ``into`` holds something else, or cannot be written.
    """
    output.check(into)
    output.claim(into)
    out = Output(into)
    found = break_evens(content.newest)
    about = _about(content, has_break_even=bool(found))
    tasks = _benchmark_tasks(content)
    pairs, left_out = _device_tasks(content)
    results = _make(tasks, pairs, about, out, progress)
    made = [one for one in results if isinstance(one, Made)]
    compared = [one for one in results if isinstance(one, MadePair)]
    _static(out)
    _devices(compared, left_out, about, out)
    _machines(content, about, out)
    shown = break_even_page.make_break_even_page(found, about, out) if found else []
    drawn = sum(picture.drawn for picture in shown)
    overview.make_overview(made, content.found, content.history, _pages(tasks), about, out)
    written = out.written.union(*(one.written for one in results))
    output.finish(into, written)
    return Built(
        into / overview.PATH,
        sum(path.endswith(".html") for path in written),
        drawn + sum(one.drawn for one in results),
        len(shown) - drawn + sum(one.reused for one in results),
    )


def _about(content: Content, has_break_even: bool) -> About:
    projects = sorted(content.history["project"].unique())
    menu = [(overview.PATH, "Overview"), (DEVICES, "Devices")]
    if has_break_even:
        menu.append((break_even_page.PATH, "Break-even"))
    menu.append((machines.PATH, "Machines"))
    return About(", ".join(projects), content.dataset, content.links, tuple(menu), __version__)


def _benchmark_tasks(content: Content) -> list[BenchmarkTask]:
    """Return a task a benchmark, its twins of other implementations with it, as `plot` has them."""
    found = [
        (str(project), name, rows, commit_order(group))
        for project, group in content.history.groupby("project", sort=True)
        for name, rows in figures(group).items()
    ]
    several = len({project for project, *_ in found}) > 1
    titles = [f"{project}: {name}" if several else name for project, name, *_ in found]
    names = canvas.safe_names(titles)
    return [
        BenchmarkTask(title, names[title], rows, commits, _steps_of(content, project, rows))
        for title, (project, _, rows, commits) in zip(titles, found, strict=True)
    ]


def _steps_of(content: Content, project: str, rows: pd.DataFrame) -> tuple[Step, ...]:
    here = {(project, str(benchmark)) for benchmark in rows["benchmark"].unique()}
    return tuple(step for step in content.found.steps if (step.project, step.benchmark) in here)


def _device_tasks(content: Content) -> tuple[list[DeviceTask], list[str]]:
    newest = content.newest
    pairs, left_out = pairs_to_compare(newest)
    titles = [f"{sides.by}.{sides.a}-{sides.b}" for sides in pairs]
    names = canvas.safe_names(titles)
    copies = newest["benchmark"].str.endswith(f".{COPY}")
    tasks = [
        DeviceTask(sides, names[title], newest[newest[sides.by].isin([sides.a, sides.b]) | copies])
        for title, sides in zip(titles, pairs, strict=True)
    ]
    return tasks, left_out


def _make(
    tasks: list[BenchmarkTask],
    pairs: list[DeviceTask],
    about: About,
    out: Output,
    progress: Progress,
) -> list[Made | MadePair]:
    jobs: list[Callable[[], Made | MadePair]] = [
        *(partial(make_benchmark_page, task, about, out) for task in tasks),
        *(partial(make_device_page, task, about, out) for task in pairs),
    ]
    return run(jobs, progress)


def _static(out: Output) -> None:
    folder = files("sparsebench.report.site") / "static"
    for name in STATIC:
        out.write(f"static/{name}", (folder / name).read_text(encoding="utf-8"))


def _devices(compared: list[MadePair], left_out: list[str], about: About, out: Output) -> None:
    content = page(
        "devices.html",
        about,
        DEVICES,
        title="Devices",
        pairs=pair_table(compared),
        left_out=left_out,
    )
    out.write(DEVICES, content)


def _machines(content: Content, about: About, out: Output) -> None:
    found = machines.machines(content.history)
    out.write(
        machines.PATH, page("machines.html", about, machines.PATH, title="Machines", machines=found)
    )


def _pages(tasks: list[BenchmarkTask]) -> dict[tuple[str, str], str]:
    """Return the page of each benchmark of each project."""
    return {
        (str(project), str(benchmark)): task.path
        for task in tasks
        for project, benchmark in task.rows[["project", "benchmark"]]
        .drop_duplicates()
        .itertuples(index=False)
    }
