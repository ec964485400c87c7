"""Tables of the changes over the history, in the order given."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import pandas as pd

from sparsebench.analysis.history import NewSeries, Shift, Step
from sparsebench.analysis.units import human
from sparsebench.report.site.table import Cell, CommitLinks, Table, columns

MOST_ROWS: Final = 200  # on one page; the CSV has all
_COLUMNS: Final = columns(
    "change", "benchmark and case", "before", "after", "last before", "first after", "date",
    "machine", "state", numeric=("change", "before", "after"),
)  # fmt: skip


def change_table(
    steps: Sequence[Step],
    links: CommitLinks,
    pages: Mapping[tuple[str, str], str],
    most: int = MOST_ROWS,
) -> Table:
    """Return a table of the first ``most`` steps; ``pages`` has the pages to link to."""
    common = _common_pairs(steps)
    rows = tuple(_row(step, links, pages, common[step.benchmark]) for step in steps[:most])
    cut = f"the {most} most important of {len(steps)} changes; the CSV has all of them"
    return Table("Changes", _COLUMNS, rows, (cut,) if len(steps) > most else ())


def change_frame(steps: Iterable[Step]) -> pd.DataFrame:
    """Return all steps with full hashes and plain numbers, for the CSV."""
    return pd.DataFrame(
        [
            {
                "project": step.project, "machine": step.machine, "env_name": step.env_name,
                "benchmark": step.benchmark, "case": step.case, "unit": step.unit,
                "after_commit": step.after_commit, "commit": step.commit, "date": step.date,
                "before": step.before, "after": step.after, "change": step.change.value,
                "low": step.change.interval.low if step.change.interval else None,
                "high": step.change.interval.high if step.change.interval else None,
                "worse": step.worse, "status": step.status, "undone_at": step.undone_at,
            }
            for step in steps
        ]
    )  # fmt: skip


def percent(change: float) -> str:
    """Return "+12 %" for 0.12, "3.2x" from a doubling on."""
    if change >= 1:
        return human(1 + change, "ratio")
    return f"{100 * change:+.3g} %"


def _common_pairs(steps: Sequence[Step]) -> dict[str, set[str]]:
    """Return per benchmark the "name=value" pairs that all its cases share, if several."""
    cases: dict[str, dict[str, set[str]]] = {}
    for step in steps:
        cases.setdefault(step.benchmark, {})[step.case] = set(step.case.split(", "))
    return {
        benchmark: set.intersection(*pairs.values()) if len(pairs) > 1 else set()
        for benchmark, pairs in cases.items()
    }


def _row(
    step: Step, links: CommitLinks, pages: Mapping[tuple[str, str], str], common: set[str]
) -> tuple[Cell, ...]:
    interval = step.change.interval
    kind = "worse" if step.worse else "better"
    span = f"{percent(interval.low)} to {percent(interval.high)}" if interval else ""
    page = pages.get((step.project, step.benchmark))
    case = ", ".join(pair for pair in step.case.split(", ") if pair not in common)
    return (
        Cell(f"{percent(step.change.value)} {kind}", step.change.value, kind=kind, detail=span),
        Cell(step.benchmark, href=page, detail=case),
        Cell(human(step.before, step.unit), step.before),
        Cell(human(step.after, step.unit), step.after),
        links.cell(step.after_commit),
        links.cell(step.commit),
        Cell(_day(step.date)),
        Cell(step.machine),
        Cell("still there" if step.status == "there" else step.status),
    )


def shift_table(shifts: Sequence[Shift], links: CommitLinks) -> Table:
    """Return a table of the shifts of whole machines, in the order given."""
    titles = columns(
        "change", "machine", "series", "last before", "first after", "date", "reason",
        numeric=("change", "series"),
    )  # fmt: skip
    rows = tuple(
        (
            Cell(percent(shift.change.value), shift.change.value),
            Cell(shift.machine, detail=shift.env_name),
            Cell(f"{shift.series:,}", shift.series),
            links.cell(shift.after_commit),
            links.cell(shift.commit),
            Cell(_day(shift.date)),
            Cell(shift.reason or "not recorded"),
        )
        for shift in shifts
    )
    return Table("Whole machines", titles, rows)


def new_series_table(new_series: Sequence[NewSeries], links: CommitLinks) -> Table:
    """Return a table of new series: one row per machine, commit and reason."""
    titles = columns(
        "machine", "from", "date", "cases", "benchmarks", "for example", "reason",
        numeric=("cases", "benchmarks"),
    )  # fmt: skip
    groups: dict[tuple[str, str, str], list[NewSeries]] = {}
    for series in new_series:
        groups.setdefault((series.machine, series.commit, series.reason), []).append(series)
    rows = tuple(
        (
            Cell(machine),
            links.cell(commit),
            Cell(_day(group[0].date)),
            Cell(f"{(cases := sum(series.count for series in group)):,}", cases),
            Cell(f"{len(group):,}", len(group)),
            Cell(group[0].benchmark),
            Cell(reason),
        )
        for (machine, commit, reason), group in list(groups.items())[:MOST_ROWS]
    )
    cut = f"the newest {MOST_ROWS} of {len(groups)}; `sparsebench history --json -` has all"
    return Table("New series", titles, rows, (cut,) if len(groups) > MOST_ROWS else ())


def _day(date: pd.Timestamp) -> str:
    return "-" if pd.isna(date) else f"{date:%Y-%m-%d}"
