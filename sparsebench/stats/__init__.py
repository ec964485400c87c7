"""Statistics of repeated measurements: intervals and comparisons. Knows NumPy and SciPy only."""

from sparsebench.stats.estimate import CONFIDENCE_LEVEL, Estimate, Interval
from sparsebench.stats.median import interval_rank, least_count, median, median_intervals
from sparsebench.stats.ratio import geometric_mean, ratio_of_medians

__all__ = [
    "CONFIDENCE_LEVEL",
    "Estimate",
    "Interval",
    "geometric_mean",
    "interval_rank",
    "least_count",
    "median",
    "median_intervals",
    "ratio_of_medians",
]
