"""The options that several verbs share, so that they are spelled and explained alike."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from sparsebench.report.figures import FORMATS

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

dataset: Decorator = click.option(
    "--dataset",
    default="results/parquet",
    show_default=True,
    help="The Parquet dataset: a folder or a URI.",
)
into: Decorator = click.option(
    "--into",
    type=click.Path(path_type=Path),
    default=Path("results/figures"),
    show_default=True,
    help="The folder for the figures.",
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
