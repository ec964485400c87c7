"""``sparsebench export``: the dataset as CSV, JSON lines or asv result files."""

from pathlib import Path
from typing import Any, Final

import click

from sparsebench.cli import options
from sparsebench.results import export
from sparsebench.results.exporter import FORMS

_EXAMPLES: Final = """\b
Examples:
  sparsebench export --into results.csv
  sparsebench export --to jsonl --into rows.jsonl --benchmark 'time_step$' --status ok
  sparsebench export --to asv --into asv-results --machine workstation
"""


@click.command(name="export", epilog=_EXAMPLES)
@options.dataset
@click.option(
    "--into",
    type=click.Path(path_type=Path),
    required=True,
    metavar="PATH",
    help="The file to write; for asv a folder, which gets one results tree per project.",
)
@click.option(
    "--to", "form", type=click.Choice(list(FORMS)), default="csv", show_default=True, help="Format."
)
@click.option("--project", multiple=True, help="Only this project (repeatable).")
@options.machine
@options.benchmark
@click.option("--commit", multiple=True, help="Only commits whose hash begins so (repeatable).")
@click.option("--status", multiple=True, help="Only rows of this status (repeatable).")
def command(dataset: str, into: Path, form: str, **filters: Any) -> int:
    """Write the dataset's rows as CSV, JSON lines, or the result files that asv itself reads."""
    rows = export(dataset, into, form, **filters)
    click.echo(f"{into}: {rows:,} rows")
    return 0
