"""`sparsebench plot`: regression plots of the stored results."""

from pathlib import Path

import click

from sparsebench.analysis import history
from sparsebench.cli import options
from sparsebench.cli.history import search_history
from sparsebench.errors import SparsebenchError
from sparsebench.report.figures.plots import plot
from sparsebench.results import read

HELP = """Draw regression plots, value against commit: one figure per benchmark, as PNG and SVG.

A benchmark and its reference implementation share a figure. Exact values (digests, measured
sparsity) are drawn as the number of cases that changed at each commit.

\b
  sparsebench plot
  sparsebench plot --benchmark 'Long.*time' --format svg
  sparsebench plot --machine ci --since 2026-06-01 --into figures
  sparsebench plot --since 1a2b3c4d          # from that commit on

Prints the path of each file. Exit code 2 if there is nothing to draw.
"""

COLUMNS = [
    "project", "machine", "commit_hash", "commit_date", "env_name", "benchmark", "param_names",
    "params", "case", "implementation", "value", "unit", "direction", "status", "samples",
    "benchmark_version", "fingerprint", "started_at",
]  # fmt: skip


@click.command(help=HELP, short_help="Draw regression plots: value against commit.")
@options.dataset
@options.into
@options.benchmark
@options.machine
@click.option("--since", metavar="DATE|HASH", help="Only commits from then on.")
@options.formats
def command(
    dataset: str,
    into: Path,
    benchmark: str | None,
    machine: tuple[str, ...],
    since: str | None,
    formats: tuple[str, ...],
) -> None:
    """Write the figures and print their paths."""
    frame = read(dataset, columns=COLUMNS, benchmark=benchmark, machine=machine or None)
    findings = search_history(frame)
    if since:
        frame = history.since(frame, since)
    if frame.empty:
        raise SparsebenchError(f"{dataset}: no rows match; `sparsebench show` lists what there is")
    for path in plot(frame, into, formats, findings.steps):
        click.echo(path)
