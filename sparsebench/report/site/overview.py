"""The first page: what changed, worst first, and every benchmark with its newest state."""

from collections.abc import Mapping, Sequence

import pandas as pd

from sparsebench.analysis.history import History, Step, commit_order, short_hash
from sparsebench.analysis.units import human
from sparsebench.report.site.benchmark_page import Made
from sparsebench.report.site.changes import (
    change_frame,
    change_table,
    new_series_table,
    shift_table,
)
from sparsebench.report.site.html import page
from sparsebench.report.site.output import Output
from sparsebench.report.site.site_context import About
from sparsebench.report.site.table import Cell, Table, columns

PATH = "index.html"
_QUIET = "No lasting change was found in {searched} series; {short} have too few values to tell."
_EARLY = (
    "Nothing to search yet: a lasting change needs eight values of a case or more, measured in one "
    "way, and none of {searched} series has as many."
)


def make_overview(
    made: Sequence[Made],
    found: History,
    runs: pd.DataFrame,
    pages: Mapping[tuple[str, str], str],
    about: About,
    output: Output,
) -> None:
    """Write the first page, and all changes as CSV."""
    steps = found.steps
    if steps:
        output.write("data/changes.csv", change_frame(steps).to_csv(index=False))
    content = page(
        "overview.html",
        about,
        PATH,
        title="Overview",
        tiles=_tiles(made, steps, runs),
        changes=change_table(steps, about.links, pages),
        shifts=shift_table(found.shifts, about.links),
        new_series=new_series_table(found.new_series, about.links),
        quiet=_quiet(found),
        benchmarks=_benchmarks(made),
    )
    output.write(PATH, content)


def _quiet(found: History) -> str:
    """Return why there is no table of changes."""
    words = _EARLY if found.short == found.series else _QUIET
    return words.format(searched=f"{found.series:,}", short=f"{found.short:,}")


def _tiles(
    made: Sequence[Made], steps: Sequence[Step], runs: pd.DataFrame
) -> list[tuple[str, str]]:
    commits = commit_order(runs)
    there = [step for step in steps if step.status == "there"]
    worse = sum(step.worse for step in there)
    failed = sum(one.facts.failed for one in made)
    tiles = [
        ("benchmarks", f"{len(made):,}"),
        ("cases", f"{sum(one.facts.cases for one in made):,}"),
        ("machines", f"{runs['machine'].nunique():,}"),
        ("commits", f"{len(commits):,}"),
        ("newest commit", short_hash(commits[-1])),
        ("still worse", f"{worse:,}"),
        ("still better", f"{len(there) - worse:,}"),
    ]
    return [*tiles, ("cases failing", f"{failed:,}")] if failed else tiles


def _benchmarks(made: Sequence[Made]) -> Table:
    numeric = ("cases", "failed", "median", "vs before")
    titles = ("benchmark", "history", *numeric, "95 %")
    return Table("Benchmarks", columns(*titles, numeric=numeric), tuple(map(_row, made)))


def _row(one: Made) -> tuple[Cell, ...]:
    facts = one.facts
    interval = facts.change.interval
    exact = facts.changed is not None
    return (
        Cell(one.title, href=one.path),
        Cell("-", spark=facts.spark),
        Cell(f"{facts.cases:,}", facts.cases),
        Cell(
            f"{facts.failed:,}" if facts.failed else "-",
            facts.failed,
            kind="worse" * bool(facts.failed),
        ),
        Cell("exact" if exact else human(facts.median, one.unit), None if exact else facts.median),
        _change(one),
        Cell(f"{interval.low:.3g}-{interval.high:.3g}" if interval else "-"),
    )


def _change(one: Made) -> Cell:
    facts = one.facts
    if facts.changed is not None:
        text = f"{facts.changed} changed" if facts.changed else "same"
        return Cell(text, facts.changed, kind="worse" if facts.changed else "")
    if facts.change.count == 0:
        return Cell("-")
    return Cell(human(facts.change.value, "ratio"), facts.change.value)
