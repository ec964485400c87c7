"""`sparsebench report`: one static site over the stored results."""

from dataclasses import replace
from pathlib import Path

import click

from sparsebench.analysis import history
from sparsebench.analysis.units import counted
from sparsebench.cli import options
from sparsebench.cli.history import search_history
from sparsebench.cli.progress import progress
from sparsebench.errors import SparsebenchError
from sparsebench.project.commits import commit_url, is_web_address
from sparsebench.report.site import (
    CommitLinks,
    DatasetRows,
    SiteContent,
    build,
    collect_rows,
    read_history,
    runs_of,
)

HELP = """Render a static site: changes, all benchmarks, devices, break-even, machines.

It needs no server: open index.html, or copy the folder to any web host (GitHub Pages, say). Each
picture has its data as CSV and its command line beside it. Only pictures whose data changed are
drawn again. Commits are linked to the address in asv.conf.json (show_commit_url) or of the remote.

\b
  sparsebench report
  sparsebench report --benchmark Long --since 2026-06-01 --into site
  sparsebench report --dataset ../numpy --commit-url https://github.com/numpy/numpy/commit/

Prints the path of the first page. Exit code 2 if there is nothing to show.
"""


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
    dataset: str,
    into: Path,
    benchmark: str | None,
    machine: tuple[str, ...],
    since: str | None,
    url: str | None,
) -> None:
    """Write the site and print the path of its first page."""
    links = _links(url)
    rows = DatasetRows(dataset, machine or None)
    sizes = rows.sizes(benchmark)
    with progress("reading rows") as count:
        values = read_history(rows, sizes, count)
    runs = runs_of(rows, values)
    findings = search_history(values)
    findings = replace(findings, shifts=history.explained(findings.shifts, runs))
    if since:
        values = history.since(values, since)
        commits = frozenset(map(str, values["commit_hash"].unique()))
        rows, findings = replace(rows, commits=commits), findings.at(commits)
        runs = runs[runs["commit_hash"].isin(commits)]
    if values["status"].eq("skipped").all():
        raise SparsebenchError(f"{dataset}: no rows match; `sparsebench show` lists what there is")
    content = SiteContent(rows, sizes, collect_rows(rows, values), runs, findings, dataset, links)
    del values  # millions of rows, while the pages need the memory
    with progress("rendering pages") as count:
        built = build(content, into, count)
    drawn = f"{counted(built.drawn, 'picture')} drawn, {built.reused} reused"
    click.echo(f"{counted(built.pages, 'page')}, {drawn}", err=True)
    click.echo(built.index)


def _links(url: str | None) -> CommitLinks:
    if url is None:
        project_url = commit_url(Path.cwd())
        return CommitLinks(project_url[1] if project_url else None)
    if not is_web_address(url):
        raise SparsebenchError(
            f"--commit-url: must begin with https:// or http:// and hold no blanks, got {url!r}"
        )
    return CommitLinks(url)
