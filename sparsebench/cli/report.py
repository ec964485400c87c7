"""`sparsebench report`: one static site over the stored results."""

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import click
import pandas as pd
import pyarrow as pa

from sparsebench.analysis.history import explained
from sparsebench.analysis.history import since as rows_since
from sparsebench.analysis.units import counted
from sparsebench.cli import options
from sparsebench.cli.history import only_at
from sparsebench.cli.progress import progress
from sparsebench.cli.searching import searched
from sparsebench.errors import SparsebenchError
from sparsebench.project.commit_url import commit_url, is_web_address
from sparsebench.report.site import (
    CommitLinks,
    SiteContent,
    build,
    collect_rows,
    read_history,
    runs_of,
)
from sparsebench.results import read

HELP = """Render one static site: what changed, every benchmark, devices, break-even, machines.

It needs no server: open index.html, or put the folder on any web host (GitHub Pages, say). Every
picture has its data as CSV and its command line beside it. Only pictures whose data changed are
drawn again. Commits are linked as asv.conf.json (show_commit_url) or the git remote has it.

\b
  sparsebench report
  sparsebench report --benchmark Long --since 2026-06-01 --into site
  sparsebench report --dataset ../numpy --commit-url https://github.com/numpy/numpy/commit/

Prints the path of the first page. Exit code 2 when there is nothing to show.
"""


@dataclass(frozen=True)
class Rows:
    """The rows that a site is made of, read as they are needed; it can go to other processes."""

    dataset: str
    machine: tuple[str, ...] | None
    commits: frozenset[str] | None = None

    def sizes(self, benchmark: str | None) -> dict[str, int]:
        """Return how many rows each benchmark has whose name matches, in the order of the names."""
        names = read(self.dataset, columns=["benchmark"], benchmark=benchmark, machine=self.machine)
        counts = names["benchmark"].value_counts().sort_index()
        return {str(name): int(count) for name, count in counts.items()}

    def __call__(
        self,
        columns: list[str],
        benchmarks: Collection[str],
        commits: Collection[str] | None = None,
    ) -> pd.DataFrame:
        """Return the rows of these benchmarks, and commits where given."""
        names = f"^({'|'.join(map(re.escape, benchmarks))})$"
        rows = read(
            self.dataset, columns=columns, benchmark=names, machine=self.machine,
            commit=sorted(commits) if commits else None,
        )  # fmt: skip
        pa.default_memory_pool().release_unused()  # or what was read keeps its place for long
        return rows if self.commits is None else rows[rows["commit_hash"].isin(self.commits)]


@click.command(help=HELP, short_help="Render one static site over the results.")
@options.dataset
@click.option(
    "--into",
    type=click.Path(path_type=Path),
    default=Path("results/site"),
    show_default=True,
    help="The folder for the site: empty, or an earlier site.",
)
@options.benchmark
@options.machine
@click.option("--since", metavar="DATE|HASH", help="Only commits from then on.")
@click.option(
    "--commit-url", "url", metavar="URL", help="Where commits are shown; the hash follows."
)
def command(
    dataset: Path,
    into: Path,
    benchmark: str | None,
    machine: tuple[str, ...],
    since: str | None,
    url: str | None,
) -> None:
    """Write the site and print where it begins."""
    links = _links(url)
    rows = Rows(str(dataset), machine or None)
    sizes = rows.sizes(benchmark)
    with progress("reading rows") as tell:
        history = read_history(rows, sizes, tell)
    runs = runs_of(rows, history)
    found = searched(history)
    found = replace(found, shifts=explained(found.shifts, runs))
    if since:
        history = rows_since(history, since)
        commits = frozenset(map(str, history["commit_hash"].unique()))
        rows, found = replace(rows, commits=commits), only_at(found, set(commits))
        runs = runs[runs["commit_hash"].isin(commits)]
    if history["status"].eq("skipped").all():
        raise SparsebenchError(f"{dataset}: no rows match; `sparsebench show` lists what there is")
    content = SiteContent(
        rows, sizes, collect_rows(rows, history), runs, found, str(dataset), links
    )
    del history  # millions of rows, while the pages need the memory
    with progress("rendering pages") as tell:
        built = build(content, into, tell)
    drawn = f"{counted(built.drawn, 'picture')} drawn, {built.reused} kept"
    click.echo(f"{counted(built.pages, 'page')}, {drawn}", err=True)
    click.echo(built.index)


def _links(url: str | None) -> CommitLinks:
    if url is None:
        found = commit_url(Path.cwd())
        return CommitLinks(found[1] if found else None)
    if not is_web_address(url):
        raise SparsebenchError(
            f"--commit-url: must begin with https:// or http:// and hold no blanks, got {url!r}"
        )
    return CommitLinks(url)
