"""``sparsebench ingest``: read asv results into the Parquet dataset."""

from pathlib import Path
from typing import Final

import click

from sparsebench.cli import EXIT_BAD_INPUT
from sparsebench.cli.progress import progress
from sparsebench.project.settings import load_project
from sparsebench.results import Report, ingest
from sparsebench.results.asv.context import find_config
from sparsebench.results.dataset.storage import open_store

_MANY_FILES: Final = 100  # opening the dataset reads the footer of each

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
    1 or 2 and of any asv project. Without SOURCE it is the results_dir of the asv.conf.json here or
    above, else results/asv. Stored files are skipped, so the command can be repeated, and an
    interrupted one continues with the same command. Several machines may store into one dataset at
    once. Rows of one commit are merged case by case: a newer row replaces the stored one, unless it
    lost its value or its samples.

    A file that cannot be read is reported with its path, the others are stored, and the exit code
    is 2.
    """
    with progress("reading asv results") as count:
        report = ingest(sources or [_project_results()], dataset, project=project, progress=count)
    for problem in report.problems:
        click.echo(problem, err=True)
    click.echo(_summary(report, open_store(dataset).shown))
    return EXIT_BAD_INPUT if report.problems else 0


def _project_results() -> Path:
    """Return the results folder of the asv project here or above, else results/asv."""
    here = Path.cwd()
    return load_project(here).results if find_config(here) else Path("results/asv")


def _summary(report: Report, dataset: str) -> str:
    stored, unchanged, bad = (report.count(state) for state in ("stored", "unchanged", "bad"))
    empty = [f"{o.source}: 0 rows" for o in report.outcomes if o.state == "stored" and not o.rows]
    merged = f" ({report.merged:,} merged with stored ones)" if report.merged else ""
    counts = f"stored {stored:,} files{merged}, {report.rows:,} rows"
    hint = (
        [f"{dataset}: {report.files:,} Parquet files; `sparsebench compact` merges them"]
        if report.files > _MANY_FILES
        else []
    )
    return "\n".join([*empty, f"{dataset}: {counts}; {unchanged:,} unchanged; {bad:,} bad", *hint])
