"""The ratio of two samples' medians, and the geometric mean of ratios, with intervals."""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import bdtr, ndtri, stdtrit

from sparsebench.stats.estimate import CONFIDENCE_LEVEL, Estimate, Floats, Interval, too_few

LEAST_COUNT: Final = 5  # asv's number per process; with fewer the spread cannot be estimated


def ratio_of_medians(
    head: ArrayLike, base: ArrayLike, confidence_level: float = CONFIDENCE_LEVEL
) -> Estimate:
    """Return ``median(head) / median(base)`` with an interval; above 1, ``head`` is larger.

    Args:
        head: positive numbers in any unit, in any order.
        base: the same, independent of ``head``; counts may differ.
        confidence_level: nominal; see below for what is reached.

    Returns:
        A ratio, without unit; ``count`` is that of the smaller sample. The interval is None, with a
        warning, when either side has fewer than five numbers; a sample that is empty or holds a
        number that is not positive gives NaN and a warning.

    The standard error of each log-median comes from the distance of two order statistics, so
    neither shape nor spread need be equal (they differ between a CPU and a GPU). Chosen by
    simulation (nominal 0.95; 5 to 40 samples a side; log-normal, floor plus exponential tail, and
    10 % outliers; equal spreads and 1 to 5): this covered .93 to .98; the Mann-Whitney shift is a
    fifth narrower but fell to .90 where spreads differ; combining two order-statistic intervals
    covered .96 to 1.00 and needs six samples. As for one median, the variation between processes
    is not covered: of two processes with five samples each, whose own spread equals that between
    processes, the interval holds the truth 80 times in 100, not 95.

    Source: Price and Bonett 2002, on the log scale (see also doi:10.1037/1082-989X.7.3.370).
    """
    upper, lower = (np.asarray(side, dtype=np.float64).ravel() for side in (head, base))
    count = min(upper.size, lower.size)
    if not count or min(upper.min(), lower.min()) <= 0:
        return Estimate(float("nan"), None, count, ("a ratio needs positive samples",))
    value = float(np.median(upper) / np.median(lower))
    if count < LEAST_COUNT:
        return Estimate(value, None, count, (too_few(LEAST_COUNT, count, confidence_level),))
    error = np.hypot(_median_error(np.log(upper)), _median_error(np.log(lower)))
    return Estimate(value, _around(value, ndtri((1 + confidence_level) / 2) * error), count)


def geometric_mean(ratios: ArrayLike, confidence_level: float = CONFIDENCE_LEVEL) -> Estimate:
    """Return the geometric mean of positive ``ratios`` with Student's interval over their logs.

    The interval covers the variation between cases: how much the mean would differ had other cases
    like these been measured. It does not cover what all cases share (a whole pass of asv that ran 1
    to 14 % slower). Numbers that are not positive and finite are left out and counted in a warning.
    Fewer than two numbers give no interval.
    """
    numbers = np.asarray(ratios, dtype=np.float64).ravel()
    logs = np.log(numbers[np.isfinite(numbers) & (numbers > 0)])
    left_out = numbers.size - logs.size
    warnings = (f"{left_out} of {numbers.size} ratios left out: not positive",) if left_out else ()
    if logs.size == 0:
        return Estimate(float("nan"), None, 0, (*warnings, "no ratio to average"))
    value = float(np.exp(logs.mean()))
    if logs.size == 1:
        few = too_few(2, 1, confidence_level, what="ratios")
        return Estimate(value, None, 1, (*warnings, few))
    error = logs.std(ddof=1) / np.sqrt(logs.size)
    margin = stdtrit(logs.size - 1, (1 + confidence_level) / 2) * error
    return Estimate(value, _around(value, margin), logs.size, warnings)


def _median_error(numbers: Floats) -> float:
    """Return the standard error of the median from the distance of two order statistics."""
    count = numbers.size
    rank = max(round((count + 1) / 2 - np.sqrt(count)), 1)
    distance = np.partition(numbers, [rank - 1, count - rank])
    z = -ndtri(bdtr(rank - 1, count, 0.5))
    return float((distance[count - rank] - distance[rank - 1]) / (2 * z))


def _around(value: float, margin: float) -> Interval:
    """Return the interval of ``margin`` to both sides of ``value`` on the log scale."""
    return Interval(float(value * np.exp(-margin)), float(value * np.exp(margin)))
