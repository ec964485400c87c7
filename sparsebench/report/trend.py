"""Many series as few lines: the median case, its spread, and the cases that moved.

A case keeps its last value at a commit where it was not measured (and its first before that), so
that a commit at which only the slow cases ran does not look like a regression.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MOST_MOVED: Final = 5  # lines that can still be told apart
LEAST_MOVE: Final = float(np.log(1.05))  # a smaller step is not worth a label
_CERTAIN: Final = 4.0  # standard errors: of 300 quiet series, one in fifty pictures gets a label
_ENDS: Final = 5  # at most so many commits at either end make "the start" and "now"
_MANY: Final = 20  # series, whose steps then say what is usual
_MEDIAN_DEVIATION: Final = 0.6745  # of a normal distribution: the median of |z|
_NOISE_COUNT: Final = 6  # from so many values on, a series' own jitter says what is noise


@dataclass(frozen=True)
class Moved:
    """A series whose newest values lie away from its first ones; ``change`` is their ratio."""

    series: int
    change: float


def summary(table: pd.DataFrame, column: str = "value") -> pd.DataFrame:
    """Return the median of ``column`` over the series at every commit, with quartiles and range.

    Columns: x, value, low and high (the quartiles), least and most. One row a commit at which any
    of the series has a value; rows of different harnesses must not be mixed by the caller.
    """
    wide = table.pivot_table(column, "x", "series", aggfunc="first")
    cells = wide.ffill().bfill().to_numpy(dtype=float)
    if not cells.size:
        return pd.DataFrame(columns=["x", "value", "low", "high", "least", "most"], dtype=float)
    least, low, middle, high, most = np.nanquantile(cells, [0, 0.25, 0.5, 0.75, 1], axis=1)
    return pd.DataFrame(
        {"x": wide.index, "value": middle, "low": low, "high": high, "least": least, "most": most}
    )


def relative(table: pd.DataFrame) -> pd.Series:
    """Return each value over its series' start (the median of its first few); NaN if that is 0."""
    measured = table[table["value"].notna()]
    starts = {
        number: float(np.median(values[: _end_count(len(values))]))
        for number, values in _values_by_series(measured).items()
    }
    start = table["series"].map(starts)
    return table["value"] / start.where(start > 0)


def moved_series(table: pd.DataFrame) -> list[Moved]:
    """Return the series that moved most from their start, at most five, largest change first.

    A hint for the eye, not a verdict. The step between the first and the newest few values must be
    5 % at least; four times the standard error that the series' own jitter gives (of fewer than six
    values, the intervals of both ends must be apart); and, where there are twenty series or more,
    four times the spread of all their steps.
    """
    measured = table[table["value"] > 0]
    series = {int(str(number)): rows for number, rows in measured.groupby("series", sort=True)}
    steps = {number: _step(rows) for number, rows in series.items()}
    least = max(LEAST_MOVE, _CERTAIN * _spread(list(steps.values())))
    found = [
        Moved(number, float(np.exp(step)))
        for number, step in steps.items()
        if abs(step) >= least and _is_certain(series[number], step)
    ]
    found.sort(key=lambda moved: -abs(np.log(moved.change)))
    return found[:MOST_MOVED]


def _step(rows: pd.DataFrame) -> float:
    """Return the log of the newest values' median over that of the first ones."""
    logs = np.log(rows["value"].to_numpy(dtype=float))
    ends = _end_count(logs.size)
    return float(np.median(logs[-ends:]) - np.median(logs[:ends]))


def _spread(steps: list[float]) -> float:
    """Return the robust standard deviation of many steps, 0 of few."""
    if len(steps) < _MANY:
        return 0.0
    return float(np.median(np.abs(np.array(steps) - np.median(steps))) / _MEDIAN_DEVIATION)


def _is_certain(rows: pd.DataFrame, step: float) -> bool:
    if len(rows) < _NOISE_COUNT:
        first, last = rows.iloc[0], rows.iloc[-1]
        return bool(last["low"] > first["high"] or last["high"] < first["low"])
    error = _jitter(np.log(rows["value"].to_numpy(dtype=float))) * np.sqrt(
        2 / _end_count(len(rows))
    )
    return bool(abs(step) > _CERTAIN * error)


def _jitter(logs: Floats) -> float:
    """Return the robust standard deviation of one value, from neighbours' differences.

    Those scatter sqrt(2) as much as the values, and a step in the series touches one of them only.
    """
    return float(np.median(np.abs(np.diff(logs))) / (_MEDIAN_DEVIATION * np.sqrt(2)))


def _end_count(count: int) -> int:
    return min(max(count // 3, 1), _ENDS)


def _values_by_series(measured: pd.DataFrame) -> dict[int, Floats]:
    ordered = measured.sort_values(["series", "x"], kind="stable")
    numbers, begins = np.unique(ordered["series"].to_numpy(), return_index=True)
    pieces = np.split(ordered["value"].to_numpy(dtype=float), begins[1:])
    return {int(number): piece for number, piece in zip(numbers, pieces, strict=True)}
