"""``sparsebench ingest``: read asv results into the Parquet dataset."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.progress import Progress

from sparsebench.cli import EXIT_BAD_INPUT
from sparsebench.project.settings import load_project
from sparsebench.results import Report, ingest
from sparsebench.results.dataset.storage import open_store

_MANY: Final = 100  # files: each one's footer is read by whoever opens the dataset

_EXAMPLES: Final = """\b
Examples:
  sparsebench ingest
  sparsebench ingest ../numpy/benchmarks/results --into /tmp/numpy
  sparsebench ingest results/asv/workstation --project sparsebench
  sparsebench ingest results/asv --into s3://bucket/benchmarks
"""


@click.command(name="ingest", epilog=_EXAMPLES)
@click.argument("sources", nargs=-1, type=click.Path(path_type=Path), metavar="[SOURCE]...")
@click.option(
    "--into",
    "dataset",
    default="results/parquet",
    show_default=True,
    metavar="DATASET",
    help="The dataset: a folder, made if need be, or a URI (s3://, gs://, ...).",
)
@click.option(
    "--project",
    metavar="NAME",
    help="The project's name. Otherwise that of the asv.conf.json above the results, or else the"
    " name of the folder that holds them.",
)
def command(sources: tuple[Path, ...], dataset: str, project: str | None) -> int:
    """Read asv results into the Parquet dataset.

    SOURCE is an asv results folder, a machine's folder in it, or one result file, of format version
    1 or 2 and of any asv project; if none is given, the results_dir of the asv.conf.json here or
    above, or else results/asv. What is stored already is left alone, so the command can be
    repeated, or cut off and continued; any number of machines may store into one dataset at once.
    Rows of one commit are merged case by case: a newer row replaces the stored one, unless it lost
    its value or its samples.

    A file that cannot be read is told by its path, the others land, and the exit code is 2.
    """
    with _progress() as tick:
        report = ingest(sources or [_own_results()], dataset, project=project, progress=tick)
    for problem in report.problems:
        click.echo(problem, err=True)
    click.echo(_summary(report, open_store(dataset).shown))
    return EXIT_BAD_INPUT if report.problems else 0


def _own_results() -> Path:
    """Where asv puts the results of the project that we are in."""
    here = Path.cwd()
    inside = any((folder / "asv.conf.json").is_file() for folder in (here, *here.parents))
    return load_project(here).results if inside else Path("results/asv")


def _summary(report: Report, dataset: str) -> str:
    stored, unchanged, bad = (report.count(state) for state in ("stored", "unchanged", "bad"))
    empty = [f"{o.source}: 0 rows" for o in report.outcomes if o.state == "stored" and not o.rows]
    merged = f" ({report.merged:,} merged with stored ones)" if report.merged else ""
    counts = f"stored {stored:,} files{merged}, {report.rows:,} rows"
    hint = (
        [f"{dataset}: {report.files:,} Parquet files; `sparsebench compact` makes them few"]
        if report.files > _MANY
        else []
    )
    return "\n".join([*empty, f"{dataset}: {counts}; {unchanged:,} unchanged; {bad:,} bad", *hint])


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A function to call with (done, total): a bar on a terminal's stderr, nothing elsewhere."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("Reading asv results", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
