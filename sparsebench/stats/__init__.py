"""Statistics of repeated measurements: intervals, comparisons, change points.

Knows NumPy, SciPy and ruptures only.
"""

from sparsebench.stats.change_points import ChangePoint, change_points
from sparsebench.stats.common_factor import common_factor
from sparsebench.stats.estimate import CONFIDENCE_LEVEL, Estimate, Interval
from sparsebench.stats.median import interval_rank, least_count, median, median_intervals
from sparsebench.stats.ratio import geometric_mean, ratio_of_medians

__all__ = [
    "CONFIDENCE_LEVEL",
    "ChangePoint",
    "Estimate",
    "Interval",
    "change_points",
    "common_factor",
    "geometric_mean",
    "interval_rank",
    "least_count",
    "median",
    "median_intervals",
    "ratio_of_medians",
]
