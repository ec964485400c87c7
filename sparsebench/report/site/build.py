"""Build a site: list its pages, write those that changed on all cores, remove stale files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import pandas as pd

from sparsebench import __version__
from sparsebench.analysis.break_even import break_evens
from sparsebench.analysis.copy_floor import COPY
from sparsebench.analysis.history import HistoryFindings, commit_order
from sparsebench.analysis.points import benchmark_groups
from sparsebench.analysis.sides import with_known_builds
from sparsebench.executor import available_cores, run_all
from sparsebench.report.figures import canvas
from sparsebench.report.site import break_even_page, machines, output, overview
from sparsebench.report.site.benchmark_page import (
    BenchmarkEntry,
    BenchmarkTask,
    make_benchmark_pages,
)
from sparsebench.report.site.device_page import (
    ComparisonSummary,
    DeviceTask,
    make_device_page,
    pair_table,
    pairs_to_compare,
)
from sparsebench.report.site.output import Output
from sparsebench.report.site.page import SiteContext, page
from sparsebench.report.site.page_cache import EarlierPages, WrittenPage
from sparsebench.report.site.site_data import SiteReader, SiteRows, batches
from sparsebench.report.site.table import CommitLinks

DEVICES: Final = "devices.html"
STATIC: Final = ("site.css", "site.js", "icon.svg")

MOST_ROWS: Final = 100_000  # in memory of one process
# A worker process imports pandas and seaborn first, which takes two seconds: fewer pages than this
# per process are quicker without it.
_LEAST_PAGES: Final = 8

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class SiteContent:
    """The data of a site.

    Attributes:
        read: reads the rows of some benchmarks; called in other processes.
        sizes: rows per benchmark.
        rows: what pages need of all benchmarks.
        runs: one row per run, see `runs_of`.
        history: the changes over all commits.
        dataset: as named on the command line.
        links: web addresses of commits.
    """

    read: SiteReader
    sizes: dict[str, int]
    rows: SiteRows
    runs: pd.DataFrame
    history: HistoryFindings
    dataset: str
    links: CommitLinks


@dataclass(frozen=True)
class BuiltSite:
    """What was written: the first page, the number of pages, and of pictures drawn and reused."""

    index: Path
    pages: int
    drawn: int
    reused: int


def build(content: SiteContent, into: Path, progress: Progress) -> BuiltSite:
    """Write the site into the folder ``into``.

    Files of an earlier site that this one does not have are removed; no other file is touched.
    Pages of the earlier site whose data did not change are reused. ``progress(done, total)`` is
    called as pages are done.

    Raises:
        SparsebenchError: ``into`` holds something else, or cannot be written.
    """
    output.check(into)
    output.claim(into)
    out = Output(into)
    break_even = break_evens(content.rows.newest)
    site = _context(content, has_break_even=bool(break_even))
    tasks = _benchmark_tasks(content)
    comparisons, left_out = _device_tasks(content.rows.newest)
    benchmark_pages, device_pages = _make_pages(tasks, comparisons, content, site, out, progress)

    for name in STATIC:
        text = (files("sparsebench.report.site") / "static" / name).read_text(encoding="utf-8")
        out.write(f"static/{name}", text)
    out.write(
        DEVICES,
        page(
            "devices.html",
            site,
            DEVICES,
            title="Devices",
            pairs=pair_table([written.summary for written in device_pages]),
            left_out=left_out,
        ),
    )
    sections = machines.machine_sections(content.runs)
    out.write(
        machines.PATH,
        page("machines.html", site, machines.PATH, title="Machines", machines=sections),
    )
    pictures = break_even_page.make_break_even_page(break_even, site, out) if break_even else []
    overview.make_overview(
        [written.summary for written in benchmark_pages],
        content.history,
        content.runs,
        {(task.project, name): task.path for task in tasks for name in task.benchmarks},
        site,
        out,
    )

    pages: list[WrittenPage[Any]] = [*benchmark_pages, *device_pages]
    paths = out.written.union(*(written.files for written in pages))
    output.finish(into, paths, {written.path: written.plain() for written in pages})
    drawn = sum(picture.drawn for picture in pictures)
    return BuiltSite(
        into / overview.PATH,
        sum(path.endswith(".html") for path in paths),
        drawn + sum(written.drawn for written in pages),
        len(pictures) - drawn + sum(written.reused for written in pages),
    )


def _context(content: SiteContent, has_break_even: bool) -> SiteContext:
    projects = sorted(content.rows.listed["project"].astype(str).unique())
    menu = [(overview.PATH, "Overview"), (DEVICES, "Devices")]
    if has_break_even:
        menu.append((break_even_page.PATH, "Break-even"))
    menu.append((machines.PATH, "Machines"))
    return SiteContext(
        ", ".join(projects), content.dataset, content.links, tuple(menu), __version__
    )


def _benchmark_tasks(content: SiteContent) -> list[BenchmarkTask]:
    """Return one task per benchmark; all implementations of a benchmark share a page."""
    groups = [
        (str(project), name, tuple(members))
        for project, listed in content.rows.listed.groupby("project", sort=True, observed=True)
        for name, members in benchmark_groups(listed).items()
    ]
    several = len({project for project, *_ in groups}) > 1
    titles = [f"{project}: {name}" if several else name for project, name, _ in groups]
    names = canvas.safe_names(titles)
    commits = {
        str(project): commit_order(runs) for project, runs in content.runs.groupby("project")
    }
    return [
        BenchmarkTask(
            title,
            names[title],
            project,
            benchmarks,
            commits[project],
            tuple(
                step
                for step in content.history.steps
                if step.project == project and step.benchmark in benchmarks
            ),
            sum(content.rows.digests[project, name] for name in benchmarks),
        )
        for title, (project, _, benchmarks) in zip(titles, groups, strict=True)
    ]


def _device_tasks(newest: pd.DataFrame) -> tuple[list[DeviceTask], list[str]]:
    """Return one task per comparison, and a line per column with more values than are compared."""
    newest = with_known_builds(newest)
    pairs, left_out = pairs_to_compare(newest)
    titles = [f"{sides.by}.{sides.a}-{sides.b}" for sides in pairs]
    names = canvas.safe_names(titles)
    copies = newest["benchmark"].str.endswith(f".{COPY}")
    tasks = [
        DeviceTask(sides, names[title], newest[newest[sides.by].isin([sides.a, sides.b]) | copies])
        for title, sides in zip(titles, pairs, strict=True)
    ]
    return tasks, left_out


def _make_pages(
    tasks: list[BenchmarkTask],
    comparisons: list[DeviceTask],
    content: SiteContent,
    site: SiteContext,
    out: Output,
    progress: Progress,
) -> tuple[list[WrittenPage[BenchmarkEntry]], list[WrittenPage[ComparisonSummary]]]:
    """Return all pages in order: reused ones of the earlier site, and newly written ones."""
    earlier = EarlierPages.read(out.root)
    pages: dict[str, WrittenPage[Any]] = {}
    for task in tasks:
        if reused := earlier.page(task.path, task.key(site), BenchmarkEntry.of, out):
            pages[task.path] = reused
    for comparison in comparisons:
        if same := earlier.page(comparison.path, comparison.key(site), ComparisonSummary.of, out):
            pages[comparison.path] = same

    # One job per comparison first, since they take longest; then as many benchmarks per job as are
    # read together.
    jobs: list[Callable[[], Sequence[WrittenPage[Any]]]] = []
    sizes: list[int] = []  # pages of each job
    for comparison in comparisons:
        if comparison.path not in pages:
            jobs.append(partial(_one_device_page, comparison, site, out))
            sizes.append(1)
    missing = {task.path: task for task in tasks if task.path not in pages}
    rows = {
        path: sum(content.sizes[name] for name in task.benchmarks) for path, task in missing.items()
    }
    for paths in batches(rows, MOST_ROWS):
        members = [missing[path] for path in paths]
        jobs.append(partial(make_benchmark_pages, members, content.read, site, out))
        sizes.append(len(members))

    ended: list[int] = []

    def count(index: int) -> None:
        ended.append(sizes[index])
        progress(sum(ended), sum(sizes))

    workers = min(available_cores(), sum(sizes) // _LEAST_PAGES)
    for written in run_all(jobs, workers, count):
        pages |= {one_page.path: one_page for one_page in written}
    return [pages[task.path] for task in tasks], [pages[pair.path] for pair in comparisons]


def _one_device_page(
    task: DeviceTask, site: SiteContext, out: Output
) -> list[WrittenPage[ComparisonSummary]]:
    return [make_device_page(task, site, out)]
