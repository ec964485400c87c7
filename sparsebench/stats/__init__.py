"""Statistics of repeated measurements: intervals, comparisons, change points.

Arrays in, frozen dataclasses out; no files and no output. `estimate` has the result type; one
module per method: `median`, `ratio`, `rounds` and `moderated` (the gate's effects), `significance`,
`change_points` and `common_factor` (histories).
"""

from sparsebench.stats.change_points import ChangePoint, change_points
from sparsebench.stats.common_factor import common_factor
from sparsebench.stats.estimate import CONFIDENCE_LEVEL, Estimate, Floats, Interval, proportion
from sparsebench.stats.median import interval_rank, least_count, median, median_intervals
from sparsebench.stats.moderated import Effect, VariancePrior, variance_prior
from sparsebench.stats.ratio import geometric_mean, ratio_of_medians
from sparsebench.stats.rounds import round_effect, round_error
from sparsebench.stats.significance import adjusted, asv_finds_slower

__all__ = [
    "CONFIDENCE_LEVEL",
    "ChangePoint",
    "Effect",
    "Estimate",
    "Floats",
    "Interval",
    "VariancePrior",
    "adjusted",
    "asv_finds_slower",
    "change_points",
    "common_factor",
    "geometric_mean",
    "interval_rank",
    "least_count",
    "median",
    "median_intervals",
    "proportion",
    "ratio_of_medians",
    "round_effect",
    "round_error",
    "variance_prior",
]
