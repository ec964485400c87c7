"""Many series as few lines, and many points as few: medians, with the spread that they hide.

A case keeps its last value at a commit where it was not measured (and its first before that). A
commit at which only the slow cases ran then does not look like a regression.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from sparsebench.analysis.history import Step
from sparsebench.analysis.points import BenchmarkHistory

MOST_NAMED: Final = 5  # more lines cannot be distinguished
MOST_POINTS: Final = 240  # of a line: a panel is hardly wider in pixels
_MOST_AT_START: Final = 5  # values whose median is a series' start


@dataclass(frozen=True)
class SeriesStep:
    """A series and its most important step that was not reverted."""

    series: int
    step: Step


def median_line(points: pd.DataFrame) -> pd.DataFrame:
    """Return the median and the quartiles over the series at each commit.

    Args:
        points: x, series and value, of one harness.

    Returns:
        x, value (the median), low and high (the quartiles); one row per commit at which any of the
        series has a value.
    """
    wide = points.pivot_table("value", "x", "series", aggfunc="first")
    cells = wide.ffill().bfill().to_numpy(dtype=float)
    if not cells.size:
        return pd.DataFrame(columns=["x", "value", "low", "high"], dtype=float)
    low, middle, high = np.quantile(cells, [0.25, 0.5, 0.75], axis=1)
    return pd.DataFrame({"x": wide.index, "value": middle, "low": low, "high": high})


def median_lines(points: pd.DataFrame, commits: int) -> pd.DataFrame:
    """Return one `median_line` per label and harness, `thinned`.

    Args:
        points: x, series, value, label and harness.
        commits: how many commits the x axis has.
    """
    lines = [
        median_line(own).assign(label=str(label), line=line)
        for line, ((label, _), own) in enumerate(points.groupby(["label", "harness"], sort=True))
    ]
    return thinned(pd.concat(lines, ignore_index=True), commits)


def commits_per_point(commits: int) -> int:
    """Return how many consecutive commits share a point, so that no line has too many points."""
    return -(-commits // MOST_POINTS)


def thinned(lines: pd.DataFrame, commits: int) -> pd.DataFrame:
    """Return the lines with one point per run of `commits_per_point` commits.

    A point is the median of its run, at the run's middle; low and high enclose the whole run.

    Args:
        lines: x, value, low, high, ``line`` (a number per line) and ``label`` (of the line).
        commits: how many commits the x axis has.
    """
    length = commits_per_point(commits)
    if length == 1 or lines.empty:
        return lines
    ends = lines.assign(
        low=lines["low"].fillna(lines["value"]), high=lines["high"].fillna(lines["value"])
    )
    runs = ends.groupby([lines["line"], lines["x"] // length], sort=True)
    columns = {"x": "mean", "value": "median", "low": "min", "high": "max"}
    return runs.agg({**columns, "label": "first", "line": "first"}).reset_index(drop=True)


def relative_to_start(points: pd.DataFrame) -> pd.Series:
    """Return each value / the start of its series; NaN if the start is not positive.

    The start is the median of the first third of the values, of five at most.
    """
    measured = points[points["value"].notna()].sort_values("x", kind="stable")
    values = measured.groupby("series")["value"]
    is_start = values.cumcount() < (values.transform("size") // 3).clip(1, _MOST_AT_START)
    start = points["series"].map(measured[is_start].groupby("series")["value"].median())
    return points["value"] / start.where(start > 0)


def lasting_steps(history: BenchmarkHistory) -> list[SeriesStep]:
    """Return the series with a step that was not reverted, at most five, most important first."""
    points = history.points
    begins = points.loc[(points["step"] >= 0) & points["value"].notna(), ["step", "series"]]
    steps: dict[int, Step] = {}
    for index, series in sorted(begins.to_numpy().tolist()):
        if history.steps[index].status == "there":
            steps.setdefault(series, history.steps[index])
    return [SeriesStep(series, step) for series, step in steps.items()][:MOST_NAMED]
