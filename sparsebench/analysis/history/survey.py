"""A frame searched: every series' change points, less what moved its whole machine."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from sparsebench.analysis.history.cache import Memory
from sparsebench.analysis.history.findings import History, Shift, Step
from sparsebench.analysis.history.machines import Machine, machines
from sparsebench.analysis.history.new_series import new_series
from sparsebench.analysis.history.reverted import told
from sparsebench.analysis.history.search import Progress, search
from sparsebench.stats import ChangePoint, Floats, common_factor
from sparsebench.stats.change_points import LARGEST, PERSISTENCE, TOLERANCE, change_at
from sparsebench.stats.common_factor import LEAST_SERIES

# What `survey` needs of a dataset.
COLUMNS: Final = [
    "project", "machine", "commit_hash", "commit_date", "env_name", "benchmark", "case", "value",
    "unit", "direction", "status", "benchmark_version", "fingerprint", "started_at",
]  # fmt: skip

_NEWEST: Final = 8  # values that say where a series is now
_BESIDE: Final = 2  # snapshots by which two series may place the same shift differently
_MOST: Final = 0.5  # of a machine's series: when more move at once, the code of none is the cause
_IMPROVED, _GONE = 0.5, 0.1  # what an improvement, and what is over, weighs beside a regression


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
    memory: Memory | None = None,
    processes: int = 1,
    progress: Progress | None = None,
) -> History:
    """Return everything that changed over the commits of ``frame``.

    A series is one case in one environment of one machine, measured in one way (fingerprint and
    version of the benchmark's code). What the median series of a machine moved by is taken off all
    of them first, snapshot by snapshot; it is reported once, where it moved for good.

    Args:
        frame: rows of `sparsebench.results.read`, at least its `COLUMNS`; exact values do not
            count.
        tolerance: the smallest relative change that matters.
        memory: what earlier searches found; the result is the same without it.
        processes: how many at once, where there is enough to do; the caller's main module must be
            safe to import, as `multiprocessing` asks.
        progress: called after each series with their count and that of all.
    """
    tables = [_Table(machine) for machine in machines(frame)]
    series = [values for table in tables for values in table.values]
    known = memory or Memory(None)
    points = search(series, tolerance, known, processes, progress)
    factors = search([table.factor for table in tables], tolerance, known)
    found, shifts = [], []
    for table, factor in zip(tables, factors, strict=True):
        own, points = points[: len(table.values)], points[len(table.values) :]
        moved = table.shifts(own, factor)
        shifts += [table.shift(place, own) for place in moved]
        found += [
            table.step(number, point, undoing)
            for number, some in enumerate(own)
            for point, undoing in told(table.apart(number, some, moved), tolerance)
        ]
    sizes = np.array([values.size for values in series])
    return History(
        steps=sorted(found, key=lambda step: -step.importance),
        shifts=sorted(shifts, key=lambda shift: shift.date, reverse=True),
        new_series=new_series([table.machine for table in tables]),
        series=len(series),
        short=int(np.count_nonzero(sizes < 2 * PERSISTENCE)),
        unfit=sum(table.unfit for table in tables),
    )


class _Table:
    """A machine's series as logs, each without the machine's own factor and without gaps."""

    def __init__(self, machine: Machine) -> None:
        measured = ~np.isnan(machine.values)
        fit = ~(measured & ~((machine.values > 0) & np.isfinite(machine.values))).any(axis=1)
        logs = np.log(machine.values[fit])
        self.machine = machine
        self.unfit = int(np.count_nonzero(~fit))
        self.series = machine.series.iloc[np.flatnonzero(fit)].to_dict("records")
        self.factor = common_factor(logs)
        self.places = [np.flatnonzero(row) for row in measured[fit]]
        self.values: list[Floats] = [
            row[places] - self.factor[places] for row, places in zip(logs, self.places, strict=True)
        ]

        begins = np.bincount([p[0] + 1 for p in self.places], minlength=self.factor.size + 1)
        ends = np.bincount([p[-1] + 1 for p in self.places], minlength=self.factor.size + 1)
        self.live = np.cumsum(begins - ends)[: self.factor.size]  # measured before and from here

    def shifts(
        self, points: Sequence[list[ChangePoint]], factor: Sequence[ChangePoint]
    ) -> list[int]:
        """Return the places at which the machine moved, or most of its series did."""
        moved = [point.place for point in factor]
        counts = np.zeros(self.factor.size)
        for number, some in enumerate(points):
            counts[[self.places[number][point.place] for point in some]] += 1
        around = np.convolve(counts, np.ones(2 * _BESIDE + 1))[_BESIDE : _BESIDE + counts.size]
        many = (self.live >= LEAST_SERIES) & (around > _MOST * self.live)
        for place in sorted(np.flatnonzero(many).tolist(), key=lambda place: -around[place]):
            if not _near(place, moved):
                moved.append(place)
        return sorted(moved)

    def shift(self, place: int, points: Sequence[list[ChangePoint]]) -> Shift:
        """Return the shift at ``place``, and how many series moved by more or less than it."""
        moved = sum(
            any(_near(self.places[number][point.place], [place]) for point in some)
            for number, some in enumerate(points)
        )
        return Shift(
            **self._identity(place - 1, place),
            change=change_at(self.factor, place).change,
            series=int(self.live[place]),
            moved=moved,
            reason="",
        )

    def apart(
        self, number: int, points: Sequence[ChangePoint], moved: Sequence[int]
    ) -> list[ChangePoint]:
        """Return a series' change points that cannot be part of a shift of the machine."""
        places = self.places[number]
        return [point for point in points if not _near(places[point.place], moved)]

    def step(self, number: int, point: ChangePoint, undoing: ChangePoint | None) -> Step:
        """Return one series' change point as it is told."""
        series, places, values = self.series[number], self.places[number], self.values[number]
        old, new = places[point.place - 1], places[point.place]
        machine = float(np.median(self.factor[max(new - PERSISTENCE, 0) : new + PERSISTENCE]))
        worse = (point.after > point.before) == (series["direction"] != "higher")
        there = undoing is None and not _gone(point, values)
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
            status="there" if there else "went away",
            undone_at=self.machine.commits[places[undoing.place]] if undoing else None,
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


def _near(place: int, others: Sequence[int]) -> bool:
    return any(abs(place - other) <= _BESIDE for other in others)


def _importance(point: ChangePoint, *, worse: bool, there: bool) -> float:
    """Return the least that the change can be, as a log, weighed by what it means to a reader."""
    least = abs(point.after - point.before) - point.doubt
    return float(least * (1 if worse else _IMPROVED) * (1 if there else _GONE))


def _gone(point: ChangePoint, values: Floats) -> bool:
    """Whether the newest values lie nearer to the level before the point."""
    newest = float(np.median(values[-_NEWEST:]))
    return abs(newest - point.before) < abs(newest - point.after)


def _value(level: float) -> float:
    """Return the value of a log; finite, as a shift of the machine may lift it out of reach."""
    return float(np.exp(min(level, LARGEST)))


def _text(value: Any) -> str:
    return "" if pd.isna(value) else str(value)
