"""Options that several verbs share; `gate_options` has those of gate, calibrate and bisect."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from sparsebench.report.figures import FORMATS

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def dataset_option(default: str | None = "results/parquet") -> Decorator:
    """Return the option ``--dataset``; with ``default`` None the verb sets its own."""
    shown = "" if default else "  [default: results/parquet]"
    return click.option(
        "--dataset",
        default=default,
        show_default=default is not None,
        metavar="DATASET",
        help=f"The Parquet dataset: a folder or a URI.{shown}",
    )


dataset = dataset_option()
into: Decorator = click.option(
    "--into",
    type=click.Path(path_type=Path),
    default=Path("results/figures"),
    show_default=True,
    help="Folder for the figures.",
)
benchmark: Decorator = click.option(
    "--benchmark", metavar="REGEX", help="Only benchmarks whose name matches."
)
machine: Decorator = click.option(
    "--machine", multiple=True, help="Only this machine (repeatable)."
)
formats: Decorator = click.option(
    "--format",
    "formats",
    type=click.Choice(FORMATS),
    multiple=True,
    default=FORMATS,
    help="png or svg (repeatable); both by default.",
)
