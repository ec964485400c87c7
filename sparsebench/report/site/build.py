"""A whole site: which pages there are, made on all cores, and what was there before replaced."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import pandas as pd

from sparsebench import __version__
from sparsebench.analysis.break_even import break_evens
from sparsebench.analysis.copy_floor import COPY
from sparsebench.analysis.history import History, Step, commit_order
from sparsebench.report.figures import canvas
from sparsebench.report.figures.regression_data import twins
from sparsebench.report.site import break_even_page, machines, output, overview
from sparsebench.report.site.benchmark_page import BenchmarkTask, Made, make_benchmark_pages
from sparsebench.report.site.commits import CommitLinks
from sparsebench.report.site.device_page import (
    DeviceTask,
    MadePair,
    make_device_pages,
    pair_table,
    pairs_to_compare,
)
from sparsebench.report.site.gathering import Gathered, Reader, batches
from sparsebench.report.site.html import page
from sparsebench.report.site.output import Output
from sparsebench.report.site.page_cache import Kept, Page
from sparsebench.report.site.pool import Job, run
from sparsebench.report.site.site_context import About

DEVICES: Final = "devices.html"
STATIC: Final = ("site.css", "site.js", "icon.svg")

MOST_ROWS: Final = 100_000  # that a process holds at once

Progress = Callable[[int, int], None]
_Job = Job[Sequence[Page[Any]]]


@dataclass(frozen=True)
class Content:
    """What a site is made of.

    Attributes:
        read: the rows of some benchmarks; called in other processes.
        sizes: how many rows each benchmark has.
        rows: what is known of all of them.
        runs: a row each, as `runs_of` has them.
        found: what changed over the history.
        dataset: as the command line named it.
        links: where commits can be seen.
    """

    read: Reader
    sizes: dict[str, int]
    rows: Gathered
    runs: pd.DataFrame
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
    Of that site's pages those stay as they are whose data are the same. ``progress(done, total)``
    is called as pages are done.

    Raises:
        SparsebenchError: ``into`` holds something else, or cannot be written.
    """
    output.check(into)
    output.claim(into)
    out = Output(into)
    found = break_evens(content.rows.newest)
    about = _about(content, has_break_even=bool(found))
    tasks = _benchmark_tasks(content)
    pairs, left_out = _device_tasks(content.rows.newest)
    made, compared = _make(tasks, pairs, content, about, out, progress)
    _static(out)
    _devices([one.told for one in compared], left_out, about, out)
    _machines(content, about, out)
    shown = break_even_page.make_break_even_page(found, about, out) if found else []
    drawn = sum(picture.drawn for picture in shown)
    told = [one.told for one in made]
    overview.make_overview(told, content.found, content.runs, _pages(tasks), about, out)
    pages: list[Page[Any]] = [*made, *compared]
    written = out.written.union(*(one.files for one in pages))
    output.finish(into, written, {one.path: one.plain() for one in pages})
    return Built(
        into / overview.PATH,
        sum(path.endswith(".html") for path in written),
        drawn + sum(one.drawn for one in pages),
        len(shown) - drawn + sum(one.reused for one in pages),
    )


def _about(content: Content, has_break_even: bool) -> About:
    projects = sorted(content.rows.listed["project"].astype(str).unique())
    menu = [(overview.PATH, "Overview"), (DEVICES, "Devices")]
    if has_break_even:
        menu.append((break_even_page.PATH, "Break-even"))
    menu.append((machines.PATH, "Machines"))
    return About(", ".join(projects), content.dataset, content.links, tuple(menu), __version__)


def _benchmark_tasks(content: Content) -> list[BenchmarkTask]:
    """Return a task a benchmark, its twins of other implementations with it, as `plot` has them."""
    found = [
        (str(project), name, tuple(members))
        for project, listed in content.rows.listed.groupby("project", sort=True, observed=True)
        for name, members in twins(listed).items()
    ]
    several = len({project for project, *_ in found}) > 1
    titles = [f"{project}: {name}" if several else name for project, name, _ in found]
    names = canvas.safe_names(titles)
    commits = {str(own): commit_order(runs) for own, runs in content.runs.groupby("project")}
    return [
        BenchmarkTask(
            title, names[title], project, benchmarks, commits[project],
            tuple(_steps_of(content, project, benchmarks)),
            sum(content.rows.digests[project, name] for name in benchmarks),
        )
        for title, (project, _, benchmarks) in zip(titles, found, strict=True)
    ]  # fmt: skip


def _steps_of(content: Content, project: str, benchmarks: Sequence[str]) -> Iterator[Step]:
    return (s for s in content.found.steps if s.project == project and s.benchmark in benchmarks)


def _device_tasks(newest: pd.DataFrame) -> tuple[list[DeviceTask], list[str]]:
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
    content: Content,
    about: About,
    out: Output,
    progress: Progress,
) -> tuple[list[Page[Made]], list[Page[MadePair]]]:
    """Return all pages, in order: the earlier site's where they are the same, else made anew."""
    noted = output.manifest(out.root)["pages"]
    kept = Kept(noted if isinstance(noted, dict) else {})
    found: dict[str, Page[Any]] = {}
    for task in tasks:
        if old := kept.page(task.path, task.key(about), Made.of, out):
            found[task.path] = old
    for pair in pairs:
        if same := kept.page(pair.path, pair.key(about), MadePair.of, out):
            found[pair.path] = same
    jobs = [
        *_device_jobs([pair for pair in pairs if pair.path not in found], about, out),
        *_benchmark_jobs([task for task in tasks if task.path not in found], content, about, out),
    ]
    found |= {one.path: one for made in run(jobs, progress) for one in made}
    return [found[task.path] for task in tasks], [found[pair.path] for pair in pairs]


def _device_jobs(pairs: list[DeviceTask], about: About, out: Output) -> Iterator[_Job]:
    """Yield a job a comparison: the longest there are, so that they come first."""
    for pair in pairs:
        yield Job(partial(make_device_pages, [pair], about, out), 1)


def _benchmark_jobs(
    tasks: list[BenchmarkTask], content: Content, about: About, out: Output
) -> Iterator[_Job]:
    """Yield jobs of as many benchmarks as are read at once."""
    by_path = {task.path: task for task in tasks}
    sizes = {task.path: sum(map(content.sizes.__getitem__, task.benchmarks)) for task in tasks}
    for paths in batches(sizes, MOST_ROWS):
        some = [by_path[path] for path in paths]
        yield Job(partial(make_benchmark_pages, some, content.read, about, out), len(some))


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
    found = machines.machines(content.runs)
    out.write(
        machines.PATH, page("machines.html", about, machines.PATH, title="Machines", machines=found)
    )


def _pages(tasks: list[BenchmarkTask]) -> dict[tuple[str, str], str]:
    """Return the page of each benchmark of each project."""
    return {(task.project, name): task.path for task in tasks for name in task.benchmarks}
