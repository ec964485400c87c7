"""`sparsebench report`: one static site over the stored results."""

from dataclasses import replace
from pathlib import Path

import click

from sparsebench.cli import options
from sparsebench.cli.history import only_at
from sparsebench.cli.progress import progress
from sparsebench.cli.searching import searched
from sparsebench.errors import SparsebenchError
from sparsebench.project.commit_url import commit_url, is_web_address
from sparsebench.report.history import explained
from sparsebench.report.history import since as rows_since
from sparsebench.report.site import CommitLinks, Content, build
from sparsebench.report.units import counted
from sparsebench.results import latest, read

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

COLUMNS = [
    "project", "machine", "commit_hash", "commit_date", "env_name", "benchmark", "param_names",
    "params", "case", "arch", "os", "cpu", "num_cpu", "ram", "gpu", "cuda", "python", "torch",
    "asv_runner", "driver", "requirements", "env_vars", "shape", "level", "block", "zeros",
    "device", "dtype", "weights", "implementation", "type", "value", "unit", "direction", "status",
    "error", "samples", "benchmark_version", "fingerprint", "started_at",
]  # fmt: skip


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
    frame = read(dataset, columns=COLUMNS, benchmark=benchmark, machine=machine or None)
    found = searched(frame)
    found = replace(found, shifts=explained(found.shifts, frame))
    if since:
        frame = rows_since(frame, since)
        found = only_at(found, set(frame["commit_hash"]))
    measured = frame[frame["status"] != "skipped"]
    if measured.empty:
        raise SparsebenchError(f"{dataset}: no rows match; `sparsebench show` lists what there is")
    content = Content(frame, latest(measured), found, str(dataset), links)
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
