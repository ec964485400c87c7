"""The search of a history: change points per series, without what the whole machine did."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pandas as pd

from sparsebench.analysis.history.cache import SearchCache
from sparsebench.analysis.history.findings import HistoryFindings, Shift, Step
from sparsebench.analysis.history.machine_tables import MACHINE, MachineTable, machine_tables
from sparsebench.analysis.history.new_series import new_series
from sparsebench.analysis.history.reverted import reported_steps
from sparsebench.analysis.history.search import Progress, search
from sparsebench.stats import ChangePoint, Floats, common_factor
from sparsebench.stats.change_points import LARGEST, PERSISTENCE, TOLERANCE, change_at
from sparsebench.stats.common_factor import LEAST_SERIES

# The columns of a dataset that `survey` needs.
COLUMNS: Final = [
    "project", "machine", "commit_hash", "commit_date", "env_name", "benchmark", "case", "value",
    "unit", "direction", "status", "benchmark_version", "fingerprint", "started_at",
]  # fmt: skip
HARDWARE: Final = [
    *("arch", "os", "cpu", "num_cpu", "ram", "gpu", "cuda", "driver", "python"),
    *("torch", "numpy", "numba", "triton", "governor", "threads", "power_limit"),
]
_RECORDED: Final = ("numpy", "numba", "triton", "governor", "threads", "power_limit")
REASON_COLUMNS: Final = [*MACHINE, "commit_hash", *HARDWARE]  # what `explained` needs

_NEWEST: Final = 8  # values that define the newest level of a series
_SAME_SHIFT: Final = 2  # snapshots by which series may differ in where they index one shift
_MOST_SERIES: Final = 0.5  # share of a machine's series; if more change at once, it is a shift
_IMPROVED, _REVERTED = 0.5, 0.1  # weights of improvements and of reverted steps in the order


def steps(frame: pd.DataFrame) -> list[Step]:
    """Return the regressions and improvements in ``frame``, most important first.

    Args:
        frame: rows of `sparsebench.results.read`, at least its `COLUMNS`.
    """
    return survey(frame).steps


def survey(
    frame: pd.DataFrame,
    tolerance: float = TOLERANCE,
    *,
    cache: SearchCache | None = None,
    processes: int = 1,
    progress: Progress | None = None,
) -> HistoryFindings:
    """Return all changes over the commits of ``frame``.

    A series is one case in one environment of one machine, measured in one way (fingerprint and
    version of the benchmark's code). The change of a machine's median series is subtracted from all
    its series first, snapshot by snapshot; it is reported once, where it lasted.

    Args:
        frame: rows of `sparsebench.results.read`, at least its `COLUMNS`; exact values are ignored.
        tolerance: the smallest relative change that matters.
        cache: results of earlier searches; the findings are the same without it.
        processes: at most so many, where there is enough to do.
        progress: called with the number of series done and of all series.
    """
    tables = [_SeriesTable(table) for table in machine_tables(frame)]
    series = [values for table in tables for values in table.values]
    cache = cache or SearchCache(None)
    points = search(series, tolerance, cache, processes, progress)
    factors = search([table.factor for table in tables], tolerance, cache)
    found, shifts = [], []
    for table, factor in zip(tables, factors, strict=True):
        own, points = points[: len(table.values)], points[len(table.values) :]
        shifted = table.shift_positions(own, factor)
        shifts += [table.shift(position, own) for position in shifted]
        found += [
            table.step(number, point, undoing)
            for number, candidates in enumerate(own)
            for point, undoing in reported_steps(
                table.without_shifts(number, candidates, shifted), tolerance
            )
        ]
    sizes = np.array([values.size for values in series])
    return HistoryFindings(
        steps=sorted(found, key=lambda step: -step.importance),
        shifts=sorted(shifts, key=lambda shift: shift.date, reverse=True),
        new_series=new_series([table.machine for table in tables]),
        series=len(series),
        short=int(np.count_nonzero(sizes < 2 * PERSISTENCE)),
        unfit=sum(table.unfit for table in tables),
    )


def explained(shifts: Iterable[Shift], rows: pd.DataFrame) -> list[Shift]:
    """Return the shifts with their reason: "cpu old -> new", "" if nothing recorded changed.

    Args:
        shifts: of `survey`.
        rows: at least those of the shifts' commits, with the columns `REASON_COLUMNS`.
    """
    first = rows.drop_duplicates([*MACHINE, "commit_hash"]).set_index([*MACHINE, "commit_hash"])
    recorded = first[HARDWARE].to_dict("index")
    result = []
    for shift in shifts:
        host = (shift.project, shift.machine, shift.env_name)
        before, after = (recorded[*host, commit] for commit in (shift.after_commit, shift.commit))
        changes = [
            f"{name} {_text(before[name]) or '-'} -> {_text(after[name]) or '-'}"
            for name in HARDWARE
            if _differ(name, _text(before[name]), _text(after[name]))
        ]
        result.append(replace(shift, reason=", ".join(changes)))
    return result


def _differ(name: str, before: str, after: str) -> bool:
    """Return whether what was recorded of two commits differs.

    "3.11" and "3.11.7" do not: the first is declared, the second recorded. What only a recording
    says, and is missing on one side, is not known to have changed.
    """
    if name in ("python", "torch"):
        longer, shorter = sorted((before, after), key=len, reverse=True)
        return bool(shorter) and not f"{longer.replace('+', '.')}.".startswith(f"{shorter}.")
    return before != after and (name not in _RECORDED or bool(before and after))


class _SeriesTable:
    """A machine's series as logs, without gaps and less the factor common to all of them."""

    def __init__(self, machine: MachineTable) -> None:
        measured = ~np.isnan(machine.values)
        fit = ~(measured & ~((machine.values > 0) & np.isfinite(machine.values))).any(axis=1)
        logs = np.log(machine.values[fit])
        self.machine = machine
        self.unfit = int(np.count_nonzero(~fit))
        self.series = machine.series.iloc[np.flatnonzero(fit)].to_dict("records")
        self.factor = common_factor(logs)
        self.positions = [np.flatnonzero(row) for row in measured[fit]]
        self.values: list[Floats] = [
            row[positions] - self.factor[positions]
            for row, positions in zip(logs, self.positions, strict=True)
        ]

        begins = np.bincount([p[0] + 1 for p in self.positions], minlength=self.factor.size + 1)
        ends = np.bincount([p[-1] + 1 for p in self.positions], minlength=self.factor.size + 1)
        # series measured both before and from each commit on
        self.measured = np.cumsum(begins - ends)[: self.factor.size]

    def shift_positions(
        self, points: Sequence[list[ChangePoint]], factor: Sequence[ChangePoint]
    ) -> list[int]:
        """Return the positions at which the common factor changed, or most series did."""
        shifted = [point.index for point in factor]
        counts = np.zeros(self.factor.size)
        for number, own in enumerate(points):
            counts[[self.positions[number][point.index] for point in own]] += 1
        around = np.convolve(counts, np.ones(2 * _SAME_SHIFT + 1))[
            _SAME_SHIFT : _SAME_SHIFT + counts.size
        ]
        many = (self.measured >= LEAST_SERIES) & (around > _MOST_SERIES * self.measured)
        for position in sorted(np.flatnonzero(many).tolist(), key=lambda index: -around[index]):
            if not _near(position, shifted):
                shifted.append(position)
        return sorted(shifted)

    def shift(self, position: int, points: Sequence[list[ChangePoint]]) -> Shift:
        """Return the shift at ``position``."""
        moved = sum(
            any(_near(self.positions[number][point.index], [position]) for point in own)
            for number, own in enumerate(points)
        )
        return Shift(
            **self._identity(position - 1, position),
            change=change_at(self.factor, position).change,
            series=int(self.measured[position]),
            moved=moved,
            reason="",
        )

    def without_shifts(
        self, number: int, points: Sequence[ChangePoint], shifted: Sequence[int]
    ) -> list[ChangePoint]:
        """Return the change points of a series that are not at a shift of the machine."""
        positions = self.positions[number]
        return [point for point in points if not _near(positions[point.index], shifted)]

    def step(self, number: int, point: ChangePoint, undoing: ChangePoint | None) -> Step:
        """Return a change point of one series as a finding."""
        series, positions = self.series[number], self.positions[number]
        old, new = positions[point.index - 1], positions[point.index]
        machine = float(np.median(self.factor[max(new - PERSISTENCE, 0) : new + PERSISTENCE]))
        worse = (point.after > point.before) == (series["direction"] != "higher")
        there = undoing is None and not _is_reverted(point, self.values[number])
        return Step(
            **self._identity(old, new),
            benchmark=str(series["benchmark"]),
            case=str(series["case"]),
            fingerprint=_text(series["fingerprint"]),
            unit=_text(series["unit"]),
            before=_value(point.before + machine),
            after=_value(point.after + machine),
            change=point.change,
            worse=worse,
            status="there" if there else "reverted",
            undone_at=self.machine.commits[positions[undoing.index]] if undoing else None,
            importance=_importance(point, worse=worse, there=there),
        )

    def _identity(self, old: int, new: int) -> dict[str, Any]:
        machine = self.machine
        return {
            "project": machine.project,
            "machine": machine.machine,
            "env_name": machine.env_name,
            "after_commit": machine.commits[old],
            "commit": machine.commits[new],
            "date": machine.dates.iloc[new],
        }


def _near(position: int, others: Sequence[int]) -> bool:
    return any(abs(position - other) <= _SAME_SHIFT for other in others)


def _importance(point: ChangePoint, *, worse: bool, there: bool) -> float:
    """Return the lower bound of the change, as a log, weighted by direction and status."""
    least = abs(point.after - point.before) - point.doubt
    return float(least * (1 if worse else _IMPROVED) * (1 if there else _REVERTED))


def _is_reverted(point: ChangePoint, values: Floats) -> bool:
    """Return whether the newest values are nearer to the level before the point."""
    newest = float(np.median(values[-_NEWEST:]))
    return abs(newest - point.before) < abs(newest - point.after)


def _value(level: float) -> float:
    """Return the value of a log; finite, although a shift of the machine may exceed floats."""
    return float(np.exp(min(level, LARGEST)))


def _text(value: Any) -> str:
    return "" if pd.isna(value) else str(value)
