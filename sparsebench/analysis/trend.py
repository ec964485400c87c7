"""Many series as few lines, and many points as few: medians, with the spread that they hide.

A case keeps its last value at a commit where it was not measured (and its first before that), so
that a commit at which only the slow cases ran does not look like a regression.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from sparsebench.analysis.history import Step
from sparsebench.stats import Floats

MOST_MOVED: Final = 5  # lines that can still be told apart
MOST_POINTS: Final = 240  # of a line: a panel is hardly wider in pixels
_START: Final = 5  # at most so many commits make "the start"


@dataclass(frozen=True)
class Moved:
    """A series and its most important step that is still there."""

    series: int
    step: Step


def summary(table: pd.DataFrame, column: str = "value") -> pd.DataFrame:
    """Return the median of ``column`` over the series at every commit, with quartiles and range.

    Columns: x, value, low and high (the quartiles), least and most. One row a commit at which any
    of the series has a value; rows of different harnesses must not be mixed by the caller.
    """
    wide = table.pivot_table(column, "x", "series", aggfunc="first")
    cells = wide.ffill().bfill().to_numpy(dtype=float)
    if not cells.size:
        return pd.DataFrame(columns=["x", "value", "low", "high", "least", "most"], dtype=float)
    least, low, middle, high, most = np.quantile(cells, [0, 0.25, 0.5, 0.75, 1], axis=1)
    return pd.DataFrame(
        {"x": wide.index, "value": middle, "low": low, "high": high, "least": least, "most": most}
    )


def run_length(commits: int) -> int:
    """Return how many neighbouring commits share a point, so that no line has too many."""
    return -(-commits // MOST_POINTS)


def thinned(lines: pd.DataFrame, commits: int) -> pd.DataFrame:
    """Return the lines with a point for each run of so many neighbouring commits.

    Args:
        lines: x, value, low, high, hue, and ``line``: the rows of one line share its number.
        commits: how many places x has.

    A point is the median of its run at the run's middle; low and high take in all that was there.
    """
    length = run_length(commits)
    if length == 1 or lines.empty:
        return lines
    ends = lines.assign(
        low=lines["low"].fillna(lines["value"]), high=lines["high"].fillna(lines["value"])
    )
    runs = ends.groupby([lines["line"], lines["x"] // length], sort=True)
    values = {"value": "median", "low": "min", "high": "max", "hue": "first", "line": "first"}
    return runs.agg({"x": "mean", **values}).reset_index(drop=True)


def relative(table: pd.DataFrame) -> pd.Series:
    """Return each value over its series' start (the median of its first few); NaN if that is 0."""
    measured = table[table["value"].notna()]
    starts = {
        number: float(np.median(values[: _start_count(len(values))]))
        for number, values in _values_by_series(measured).items()
    }
    start = table["series"].map(starts)
    return table["value"] / start.where(start > 0)


def moved_series(table: pd.DataFrame, steps: Sequence[Step]) -> list[Moved]:
    """Return the series with a step that is still there, at most five, most important first.

    Args:
        table: of `points`, with the same ``steps``, which are sorted most important first.
    """
    begins = table.loc[(table["step"] >= 0) & table["value"].notna(), ["step", "series"]]
    found: dict[int, Step] = {}
    for place, series in sorted(begins.to_numpy().tolist()):
        if steps[place].status == "there":
            found.setdefault(series, steps[place])
    return [Moved(series, step) for series, step in found.items()][:MOST_MOVED]


def _start_count(count: int) -> int:
    return min(max(count // 3, 1), _START)


def _values_by_series(measured: pd.DataFrame) -> dict[int, Floats]:
    ordered = measured.sort_values(["series", "x"], kind="stable")
    numbers, begins = np.unique(ordered["series"].to_numpy(), return_index=True)
    pieces = np.split(ordered["value"].to_numpy(dtype=float), begins[1:])
    return {int(number): piece for number, piece in zip(numbers, pieces, strict=True)}
