"""The median of a sample, with a distribution-free interval from its order statistics."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import bdtr

from sparsebench.stats.estimate import CONFIDENCE_LEVEL, Estimate, Floats, Interval, too_few


def median(sample: ArrayLike, confidence_level: float = CONFIDENCE_LEVEL) -> Estimate:
    """Return the median of ``sample`` and the order statistics that enclose the true one.

    Args:
        sample: measurements of one case, any unit, in any order; NaN are left out, infinities kept.
        confidence_level: the interval covers the true median at least this often, whatever the
            distribution.

    Returns:
        An estimate in the sample's unit. An even count takes the mean of the middle two. Below six
        numbers no interval reaches 0.95: it is None, with a warning.

    What the interval covers: the scatter of independent draws. asv pools the samples of two
    processes without a boundary, so what a whole process has in common (memory layout, a busy
    neighbour) is hardly covered: another run of the same code can be outside.

    Source: the binomial argument; tabulated in doi:10.1136/bmj.296.6634.1454.
    """
    numbers = _without_nan(sample)
    value = float(np.median(numbers)) if numbers.size else float("nan")
    low, high = median_intervals([numbers], confidence_level)
    if np.isnan(low[0]):
        warning = too_few(least_count(confidence_level), numbers.size, confidence_level)
        return Estimate(value, None, numbers.size, (warning,))
    return Estimate(value, Interval(float(low[0]), float(high[0])), numbers.size)


def median_intervals(
    samples: Sequence[ArrayLike | None], confidence_level: float = CONFIDENCE_LEVEL
) -> tuple[Floats, Floats]:
    """Return the lower and upper ends of :func:`median`'s interval for many samples at once.

    Samples of one length are sorted together, which takes 100 000 of them in well under a second.
    Where there is no interval (too few numbers, or None) both ends are NaN.
    """
    low = np.full(len(samples), np.nan)
    high = np.full(len(samples), np.nan)
    for count, members in _by_length(samples).items():
        rank = interval_rank(count, confidence_level)
        if rank:
            rows = np.sort(np.stack([numbers for _, numbers in members]), axis=1)
            positions = [position for position, _ in members]
            low[positions], high[positions] = rows[:, rank - 1], rows[:, count - rank]
    return low, high


@cache
def interval_rank(count: int, confidence_level: float = CONFIDENCE_LEVEL) -> int:
    """Return r such that the r-th lowest and r-th highest of ``count`` enclose the median; 0: none.

    The largest r with P(Binomial(count, 1/2) < r) at most half of what the level leaves over.
    """
    ranks = np.arange(1, count // 2 + 1)
    return int(np.count_nonzero(bdtr(ranks - 1, count, 0.5) <= (1 - confidence_level) / 2))


@cache
def least_count(confidence_level: float = CONFIDENCE_LEVEL) -> int:
    """Return the smallest sample that has an interval: six at 0.95."""
    return int(np.ceil(1 - np.log2(1 - confidence_level)))


def _by_length(
    samples: Sequence[ArrayLike | None],
) -> dict[int, list[tuple[int, Floats]]]:
    groups: dict[int, list[tuple[int, Floats]]] = {}
    for position, sample in enumerate(samples):
        if sample is not None:
            numbers = _without_nan(sample)
            groups.setdefault(numbers.size, []).append((position, numbers))
    return groups


def _without_nan(sample: ArrayLike) -> Floats:
    numbers = np.asarray(sample, dtype=np.float64).ravel()
    return numbers[~np.isnan(numbers)]
