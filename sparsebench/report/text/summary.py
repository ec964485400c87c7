"""The table of a run's benchmarks: the value of each, and its ratio to the commit before."""

from collections.abc import Sequence

from rich.table import Table

from sparsebench.analysis.summary import REFERENCE, BenchmarkSummary
from sparsebench.analysis.units import human


def summary_table(lines: Sequence[BenchmarkSummary]) -> Table:
    """Return the table of the summaries, at most 80 columns wide."""
    failures = any(line.failed for line in lines)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("benchmark", overflow="fold")
    titles = ["cases", *(["failed"] if failures else []), "median", "vs before", f"vs {REFERENCE}"]
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    for line in lines:
        table.add_row(
            line.name,
            str(line.cases),
            *([str(line.failed or "-")] if failures else []),
            "exact" if line.exact else human(line.median, line.unit),
            _change(line),
            _factor(line.reference),
        )
    return table


def footnotes(lines: Sequence[BenchmarkSummary]) -> list[str]:
    """Return an explanation of each column that has values."""
    notes = []
    if any(line.before is not None for line in lines):
        notes.append("vs before: geometric mean over cases of value / value at the previous commit")
    if any(line.reference is not None for line in lines):
        notes.append(
            f"vs {REFERENCE}: geometric mean of value / {REFERENCE}.pruning's on the same case; "
            "below 1x is faster, or less"
        )
    if any(line.changed is not None for line in lines):
        notes.append("changed, same: exact values (digests) against the previous commit")
    return notes


def _change(line: BenchmarkSummary) -> str:
    if line.changed is None:
        return _factor(line.before)
    return f"{line.changed} changed" if line.changed else "same"


def _factor(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.3g}x"
