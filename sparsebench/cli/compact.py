"""``sparsebench compact``: merge the dataset's small files."""

from typing import Final

import click

from sparsebench.cli import EXIT_BAD_INPUT
from sparsebench.results import compact
from sparsebench.results.dataset.storage import open_store

_EXAMPLES: Final = """\b
Examples:
  sparsebench compact
  sparsebench compact s3://bucket/benchmarks
"""


@click.command(name="compact", epilog=_EXAMPLES)
@click.argument("dataset", default="results/parquet", metavar="[DATASET]")
def command(dataset: str) -> int:
    """Merge small files of the dataset into few large ones.

    DATASET is a folder or a URI; results/parquet if none is given. Readers and writers may continue
    meanwhile. Rows that several machines stored of one commit are merged, files of an older schema
    version are converted, and temporary files of killed writers are removed.
    """
    done = compact(dataset)
    for problem in done.problems:
        click.echo(problem, err=True)
    shown = open_store(dataset).shown
    click.echo(f"{shown}: {done.before:,} files became {done.after:,}; {done.rows:,} rows")
    return EXIT_BAD_INPUT if done.problems else 0
