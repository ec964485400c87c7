"""The newest values of a benchmark: per case, and summarised with a sparkline."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from sparsebench.analysis.dimensions import natural_ranks, varying
from sparsebench.analysis.points import BenchmarkHistory
from sparsebench.analysis.trend import median_line, relative_to_start
from sparsebench.stats import Estimate, Interval, geometric_mean

SPARK_SIZE: Final = (100, 24)  # the unit of its points, which the page scales
_SPARK_POINTS: Final = 50
_LEAST_SPAN: Final = 0.1  # in log: a quiet benchmark's line stays flat


@dataclass(frozen=True)
class NewestSummary:
    """Summary of a benchmark's newest values.

    Attributes:
        cases: number of cases with a value.
        failed: number of cases whose newest run failed or timed out.
        median: of the cases' values; NaN without any.
        change: geometric mean over cases of value / previous value of its series; NaN if no case
            has a previous value, or if values are exact.
        changed: number of exact values that differ from the previous one; None if not exact.
        spark: the median case relative to its start, as points of an SVG polyline.
    """

    cases: int
    failed: int
    median: float
    change: Estimate
    changed: int | None
    spark: str

    @classmethod
    def of(cls, plain: dict[str, Any]) -> "NewestSummary":
        """Return the summary from plain values, as a manifest has them."""
        return cls(**{**plain, "change": estimate_of(plain["change"])})


def estimate_of(plain: dict[str, Any]) -> Estimate:
    """Return an estimate from plain values."""
    interval, warnings = plain["interval"], tuple(plain["warnings"])
    return Estimate(
        plain["value"], Interval(**interval) if interval else None, plain["count"], warnings
    )


def newest(history: BenchmarkHistory) -> pd.DataFrame:
    """Return the newest row per case and host, in the natural order of the cases.

    Column ``before`` is the previous value of the same series. Skipped runs are ignored.
    """
    table = history.points[history.points["status"] != "skipped"]
    before = table[table["value"].notna()].groupby("series")["value"].shift()
    table = table.assign(before=before)
    newest_rows = table.drop_duplicates("case", keep="last")
    dims = history.dims_of(newest_rows)
    ranks = natural_ranks(dims, [str(name) for name in dims])
    return newest_rows.loc[ranks.sort_values([str(name) for name in ranks]).index]


def facts(history: BenchmarkHistory) -> NewestSummary:
    """Return the summary of one benchmark's newest values."""
    rows = newest(history)
    good = rows[rows["value"].notna()]
    paired = good[good["before"].notna()]
    exact = history.direction == "exact"
    ratios = paired["value"] / paired["before"]
    return NewestSummary(
        cases=len(good),
        failed=len(rows) - len(good),
        median=float(good["value"].median()) if len(good) else float("nan"),
        change=geometric_mean([] if exact else ratios[np.isfinite(ratios) & (ratios > 0)]),
        changed=int((paired["value"] != paired["before"]).sum()) if exact else None,
        spark="" if exact else spark(history),
    )


def spark(history: BenchmarkHistory) -> str:
    """Return the median case over the commits as points "x,y x,y ..."; "" below two points."""
    line = median_line(history.points.assign(value=relative_to_start(history.points)))
    line = line[line["value"] > 0]
    if len(line) < 2:
        return ""
    kept = line.iloc[np.unique(np.linspace(0, len(line) - 1, _SPARK_POINTS).round().astype(int))]
    width, height = SPARK_SIZE
    x, logs = kept["x"].to_numpy(dtype=float), np.log(kept["value"].to_numpy(dtype=float))
    middle, half = (logs.max() + logs.min()) / 2, max(np.ptp(logs) / 2, _LEAST_SPAN)
    x = 2 + (x - x[0]) / (x[-1] - x[0]) * (width - 4)
    y = height / 2 - (logs - middle) / half * (height / 2 - 3)
    return " ".join(f"{left:.1f},{top:.1f}" for left, top in zip(x, y, strict=True))


def case_names(history: BenchmarkHistory, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the dimensions of rows of `points` that vary."""
    dims = history.dims_of(rows)
    return dims[list(varying(dims))]
