"""The first page: the changes, worst first, and each benchmark with its newest values."""

from collections.abc import Mapping, Sequence

import pandas as pd

from sparsebench.analysis.history import HistoryFindings, Step, commit_order, short_hash
from sparsebench.analysis.units import human
from sparsebench.report.site.benchmark_page import BenchmarkEntry
from sparsebench.report.site.changes import (
    change_frame,
    change_table,
    new_series_table,
    shift_table,
)
from sparsebench.report.site.output import Output
from sparsebench.report.site.page import SiteContext, page
from sparsebench.report.site.table import Cell, Table, columns

PATH = "index.html"
_QUIET = "No lasting change was found in {searched} series; {short} have too few values."
_EARLY = (
    "Nothing to search yet: a lasting change needs eight values of a case or more, measured in one "
    "way, and none of {searched} series has as many."
)


def make_overview(
    benchmarks: Sequence[BenchmarkEntry],
    history: HistoryFindings,
    runs: pd.DataFrame,
    pages: Mapping[tuple[str, str], str],
    site: SiteContext,
    output: Output,
) -> None:
    """Write the first page, and all changes as CSV."""
    steps = history.steps
    if steps:
        output.write("data/changes.csv", change_frame(steps).to_csv(index=False))
    content = page(
        "overview.html",
        site,
        PATH,
        title="Overview",
        tiles=_tiles(benchmarks, steps, runs),
        changes=change_table(steps, site.links, pages),
        shifts=shift_table(history.shifts, site.links),
        new_series=new_series_table(history.new_series, site.links),
        quiet=_quiet(history),
        benchmarks=_benchmark_table(benchmarks),
    )
    output.write(PATH, content)


def _quiet(history: HistoryFindings) -> str:
    """Return the sentence that replaces an empty table of changes."""
    text = _EARLY if history.short == history.series else _QUIET
    return text.format(searched=f"{history.series:,}", short=f"{history.short:,}")


def _tiles(
    benchmarks: Sequence[BenchmarkEntry], steps: Sequence[Step], runs: pd.DataFrame
) -> list[tuple[str, str]]:
    commits = commit_order(runs)
    there = [step for step in steps if step.status == "there"]
    worse = sum(step.worse for step in there)
    failed = sum(benchmark.facts.failed for benchmark in benchmarks)
    tiles = [
        ("benchmarks", f"{len(benchmarks):,}"),
        ("cases", f"{sum(benchmark.facts.cases for benchmark in benchmarks):,}"),
        ("machines", f"{runs['machine'].nunique():,}"),
        ("commits", f"{len(commits):,}"),
        ("newest commit", short_hash(commits[-1])),
        ("still worse", f"{worse:,}"),
        ("still better", f"{len(there) - worse:,}"),
    ]
    return [*tiles, ("cases failing", f"{failed:,}")] if failed else tiles


def _benchmark_table(benchmarks: Sequence[BenchmarkEntry]) -> Table:
    numeric = ("cases", "failed", "median", "vs before")
    titles = ("benchmark", "history", *numeric, "95 %")
    return Table("Benchmarks", columns(*titles, numeric=numeric), tuple(map(_row, benchmarks)))


def _row(benchmark: BenchmarkEntry) -> tuple[Cell, ...]:
    facts = benchmark.facts
    interval = facts.change.interval
    exact = facts.changed is not None
    return (
        Cell(benchmark.title, href=benchmark.path),
        Cell("-", spark=facts.spark),
        Cell(f"{facts.cases:,}", facts.cases),
        Cell(
            f"{facts.failed:,}" if facts.failed else "-",
            facts.failed,
            kind="worse" * bool(facts.failed),
        ),
        Cell(
            "exact" if exact else human(facts.median, benchmark.unit),
            None if exact else facts.median,
        ),
        _change(benchmark),
        Cell(f"{interval.low:.3g}-{interval.high:.3g}" if interval else "-"),
    )


def _change(benchmark: BenchmarkEntry) -> Cell:
    facts = benchmark.facts
    if facts.changed is not None:
        text = f"{facts.changed} changed" if facts.changed else "same"
        return Cell(text, facts.changed, kind="worse" if facts.changed else "")
    if facts.change.count == 0:
        return Cell("-")
    return Cell(human(facts.change.value, "ratio"), facts.change.value)
