"""What changed over the history, as rows of a table: worst first, as the caller sorted them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol

import pandas as pd

from sparsebench.report.site.commits import CommitLinks
from sparsebench.report.site.table import Cell, Table, columns
from sparsebench.report.units import human
from sparsebench.stats import Estimate

MOST_ROWS: Final = 200  # of one page; the CSV beside it has all
_COLUMNS: Final = columns(
    "change", "benchmark and case", "before", "after", "last before", "first after", "date",
    "machine", "state", numeric=("change", "before", "after"),
)  # fmt: skip


class Step(Protocol):
    """A lasting change of one series; `sparsebench.report.history.Step` is one."""

    @property
    def project(self) -> str: ...  # noqa: D102  # as the columns of the dataset
    @property
    def machine(self) -> str: ...  # noqa: D102  # likewise
    @property
    def env_name(self) -> str: ...  # noqa: D102  # likewise
    @property
    def benchmark(self) -> str: ...  # noqa: D102  # likewise
    @property
    def case(self) -> str: ...  # noqa: D102  # likewise
    @property
    def unit(self) -> str | None: ...  # noqa: D102  # likewise
    @property
    def after_commit(self) -> str:
        """The last commit before the change."""

    @property
    def commit(self) -> str:
        """The first commit after it."""

    @property
    def date(self) -> pd.Timestamp:
        """The date of ``commit``; may be NaT."""

    @property
    def before(self) -> float:
        """The median before the change."""

    @property
    def after(self) -> float:
        """The median after it."""

    @property
    def change(self) -> Estimate:
        """After / before - 1."""

    @property
    def worse(self) -> bool:
        """Whether it is a change for the worse."""

    @property
    def status(self) -> str:
        """Whether the change is "there" still or "went away"."""


def change_table(
    steps: Sequence[Step],
    links: CommitLinks,
    pages: Mapping[tuple[str, str], str],
    most: int = MOST_ROWS,
) -> Table:
    """Return the first ``most`` steps, each with its commits; ``pages`` links benchmarks."""
    common = _common_pairs(steps)
    rows = tuple(_row(step, links, pages, common[step.benchmark]) for step in steps[:most])
    cut = f"the {most} most important of {len(steps)} changes; the CSV has all of them"
    return Table("Changes", _COLUMNS, rows, (cut,) if len(steps) > most else ())


def change_frame(steps: Iterable[Step]) -> pd.DataFrame:
    """Return all steps with full hashes and plain numbers, for the CSV beside the table."""
    return pd.DataFrame(
        [
            {
                "project": step.project, "machine": step.machine, "env_name": step.env_name,
                "benchmark": step.benchmark, "case": step.case, "unit": step.unit,
                "after_commit": step.after_commit, "commit": step.commit, "date": step.date,
                "before": step.before, "after": step.after, "change": step.change.value,
                "low": step.change.interval.low if step.change.interval else None,
                "high": step.change.interval.high if step.change.interval else None,
                "worse": step.worse, "status": step.status,
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
    """Return by benchmark the "name=value" pairs that all of its several cases share."""
    cases: dict[str, dict[str, set[str]]] = {}
    for step in steps:
        cases.setdefault(step.benchmark, {})[step.case] = set(step.case.split(", "))
    return {
        benchmark: set.intersection(*found.values()) if len(found) > 1 else set()
        for benchmark, found in cases.items()
    }


def _row(
    step: Step, links: CommitLinks, pages: Mapping[tuple[str, str], str], common: set[str]
) -> tuple[Cell, ...]:
    interval = step.change.interval
    kind = "worse" if step.worse else "better"
    date = "-" if pd.isna(step.date) else f"{step.date:%Y-%m-%d}"
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
        Cell(date),
        Cell(step.machine),
        Cell("still there" if step.status == "there" else step.status),
    )
