"""Lasting changes of level in a series of measurements: where, and by how much.

Two parts. Candidates come from ruptures' kernel change point search, whose Gaussian kernel bounds
the influence of a single value. Each candidate must then pass rules that suit the noise of
benchmarks: it persists, it exceeds the usual differences between neighbouring stretches of the same
series (drift, and modes that alternate), and its whole interval is beyond the tolerance.
`docs/history.md` compares this with other methods.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, stdtrit

from sparsebench.stats.estimate import CONFIDENCE_LEVEL, Estimate, Floats, Interval

TOLERANCE: Final = 0.02
PERSISTENCE: Final = 4  # values: three slow snapshots may have been a busy neighbour's
WINDOW: Final = 256  # values searched at once; the cost of the search is quadratic
STRIDE: Final = WINDOW // 2

_REACH: Final = 30  # values on either side that define the level, since it drifts
_FALSE_ALARMS: Final = 0.5  # expected in a series of Gaussian noise, before the other rules
_WIDTH: Final = 0.2  # of the kernel, exp(-width d^2), d in standard deviations of the noise
_PENALTY: Final = 4.5  # cost that a change must save; one outlier saves about 1.5
_SHIFT: Final = 6  # values by which a candidate is moved at most to fit best
_RETURN_SHARE: Final = 0.75  # of a change: beyond it the series counts as being at the new level
_STRETCH: Final = 7  # values per stretch; medians of neighbouring stretches are compared
_BAND: Final = 100  # neighbouring values whose range of medians bounds the drift
_DRIFT_QUANTILE: Final = 0.75  # quantile of the differences between stretches that measures drift
_LEAST_NOISE: Final = 1e-4  # least noise assumed, as a log: rounding to five digits is not a step
LARGEST: Final = 709.0  # about the log of the largest number that a float can hold
_MEDIAN_DEVIATION: Final = 0.6745  # of a normal distribution: the median of |z|
_MEDIAN_VARIANCE: Final = np.pi / 2  # of a median, relative to that of the mean


@dataclass(frozen=True)
class ChangePoint:
    """A lasting change: ``index`` is the index of the first value after it.

    ``before`` and ``after`` are the levels on both sides, logs as the input; ``change`` is
    after / before - 1 of the values themselves. ``doubt`` is half its interval's width, as a log.
    """

    index: int
    before: float
    after: float
    doubt: float
    change: Estimate


def change_points(
    logs: ArrayLike, tolerance: float = TOLERANCE, candidates: Sequence[int] | None = None
) -> list[ChangePoint]:
    """Return the lasting changes of level in a series, in its order.

    Args:
        logs: natural logarithms of the values, finite, in history order.
        tolerance: the smallest relative change that matters; the whole interval is beyond it.
        candidates: indices to judge; those of :func:`candidates`, unless given.

    Returns:
        Change points at least four values apart and from either end: fewer could still revert. The
        interval is at 0.95, from the medians of up to 30 values on either side, the noise of single
        values and the drift between neighbouring stretches. Fewer than eight values on a side add a
        warning. The same values give the same points.
    """
    numbers = np.asarray(logs, dtype=np.float64).ravel()
    if numbers.size < 2 * PERSISTENCE:
        return []
    indices = search(numbers) if candidates is None else sorted(candidates)
    if not indices:
        return []
    series = _Series(numbers, tolerance)
    kept = _without_returns(numbers, _passing(series, indices))
    return series.points(series.aligned(_passing(series, kept)))


def change_at(logs: Floats, index: int) -> ChangePoint:
    """Return the change at index ``index``, whether or not it passes the rules."""
    return _Series(logs, TOLERANCE).point(0, index, logs.size)


def change_point(index: int, before: float, after: float, doubt: float, count: int) -> ChangePoint:
    """Return a change point from its numbers; ``count`` values are on its shorter side."""
    step = after - before
    interval = Interval(_relative(step - doubt), _relative(step + doubt))
    few = (f"only {count} values on one side",) if count < 2 * PERSISTENCE else ()
    return ChangePoint(index, before, after, doubt, Estimate(_relative(step), interval, count, few))


def search(logs: Floats) -> list[int]:
    """Return the candidates of all windows of a series, sorted."""
    return sorted({index for begin, values in windows(logs) for index in within(values, begin)})


def windows(logs: Floats) -> Iterator[tuple[int, Floats]]:
    """Yield overlapping windows of a series, each with the index of its first value.

    Values added at the end change the last window only, so the candidates of the others can be
    cached.
    """
    for begin in range(0, max(logs.size - STRIDE, 1), STRIDE):
        yield begin, logs[begin : begin + WINDOW]


def within(logs: Floats, begin: int = 0) -> list[int]:
    """Return the candidates in one window that starts at ``begin`` of its series."""
    if logs.size < 2 * PERSISTENCE:
        return []
    from ruptures import KernelCPD  # takes a second to import; not needed where all is cached

    scaled = (logs - logs[0]) / noise(logs)
    model = KernelCPD(kernel="rbf", min_size=PERSISTENCE, params={"gamma": _WIDTH})
    penalty = _PENALTY * np.log(logs.size) / np.log(WINDOW)  # fewer values can save less
    *indices, _end = model.fit(scaled).predict(pen=penalty)
    return [begin + int(index) for index in indices]


def noise(logs: Floats) -> float:
    """Return the robust standard deviation of one value, from neighbours' differences.

    Differences scatter sqrt(2) times as much as values, and a step affects only one of them.
    """
    usual = _median(np.abs(np.diff(logs)))
    return max(float(usual / (_MEDIAN_DEVIATION * np.sqrt(2))), _LEAST_NOISE)


class _Series:
    """A series with its noise and drift, for testing changes of level."""

    def __init__(self, logs: Floats, tolerance: float) -> None:
        self.logs = logs
        self.noise = noise(logs)
        self.medians = _running_median(logs)
        self.drift = _drift(self.medians, self.noise)
        self.tolerance = max(float(np.log1p(tolerance)), _LEAST_NOISE)
        freedom = max(logs.size // 2, 3)
        self.detection_factor = _quantile(_FALSE_ALARMS / logs.size / 2, freedom)
        self.interval_factor = _quantile((1 - CONFIDENCE_LEVEL) / 2, freedom)

    def levels(self, low: int, index: int, high: int) -> tuple[float, float, float]:
        """Return the level before and after ``index``, and the standard error of the step."""
        left = self.logs[max(low, index - _REACH) : index]
        right = self.logs[index : min(high, index + _REACH)]
        before, after = _median(left), _median(right)
        residual = np.abs(np.concatenate([left - before, right - after]))
        spread = max(self.noise, _median(residual) / _MEDIAN_DEVIATION)
        share = 1 / left.size + 1 / right.size
        return before, after, float(spread * np.sqrt(_MEDIAN_VARIANCE * share))

    def doubt(self, factor: float, index: int, error: float) -> float:
        """Return the step that noise and drift alone can cause, at ``factor`` standard errors."""
        if not self.drift:
            return factor * error
        reach = min(factor * np.sqrt(self.drift), self._band(index))
        return float(np.hypot(factor * error, reach))

    def _band(self, index: int) -> float:
        """Return the range of medians of neighbouring stretches, on the longer side."""
        near = self.medians[max(0, index - _BAND) : max(index - _STRETCH // 2, 1)]
        if 2 * index < self.logs.size:
            near = self.medians[index + _STRETCH // 2 : index + _BAND]
        return float(np.ptp(near))

    def margin(self, low: int, index: int, high: int) -> float:
        """Return by how much a change passes the rules; negative if it fails one."""
        if min(index - low, high - index) < PERSISTENCE:
            return -np.inf
        before, after, error = self.levels(low, index, high)
        step = abs(after - before)
        beyond = (step - self.doubt(self.interval_factor, index, error)) / self.tolerance
        return float(min(step / self.doubt(self.detection_factor, index, error), beyond) - 1)

    def aligned(self, indices: list[int]) -> list[int]:
        """Return the indices moved to the best split nearby, since outliers shift candidates."""
        ends = [0, *indices, self.logs.size]
        for number in range(1, len(ends) - 1):
            ends[number] = self._best_split(*ends[number - 1 : number + 2])
        return ends[1:-1]

    def _best_split(self, low: int, index: int, high: int) -> int:
        before, after, _ = self.levels(low, index, high)
        first = max(low + PERSISTENCE, index - _SHIFT)
        last = min(high - PERSISTENCE, index + _SHIFT)
        values = self.logs[first:last]
        # what is saved by assigning one value more to the left side
        saved = np.abs(values - after) - np.abs(values - before)
        cost = np.concatenate([[0.0], np.cumsum(-saved)])
        return first + int(np.argmin(cost))

    def points(self, indices: list[int]) -> list[ChangePoint]:
        ends = [0, *indices, self.logs.size]
        return [self.point(*ends[number : number + 3]) for number in range(len(indices))]

    def point(self, low: int, index: int, high: int) -> ChangePoint:
        before, after, error = self.levels(low, index, high)
        count = min(index - low, high - index, _REACH)
        return change_point(
            index, before, after, self.doubt(self.interval_factor, index, error), count
        )


def _passing(series: _Series, indices: Sequence[int]) -> list[int]:
    """Return the candidates that pass every rule, dropping the worst one until all pass.

    A candidate is tested against the levels up to its neighbours, so each drop changes their tests.
    """
    ends = [0, *indices, series.logs.size]
    margins = [series.margin(*ends[number : number + 3]) for number in range(len(indices))]
    while margins and (worst := min(margins)) < 0:
        number = margins.index(worst)
        del ends[number + 1], margins[number]
        for near in {number - 1, number} & set(range(len(margins))):
            margins[near] = series.margin(*ends[near : near + 3])
    return ends[1:-1]


def _without_returns(logs: Floats, indices: list[int]) -> list[int]:
    """Return the candidates without those that lead to a level that the series had before.

    A series that had this level before and left it again must stay longer this time than on any
    earlier occasion. Read backwards, the same holds for the level that it leaves.
    """
    ends = [0, *indices, logs.size]
    lengths = np.diff(ends)
    levels = np.array([_median(logs[low:high]) for low, high in pairwise(ends)])
    return [
        index
        for number, index in enumerate(indices, start=1)
        if _lasts_longer_than_returns(levels[::-1], lengths[::-1], levels.size - number)
        and _lasts_longer_than_returns(levels, lengths, number)
    ]


def _lasts_longer_than_returns(levels: Floats, lengths: NDArray[np.int64], number: int) -> bool:
    """Return whether the stay at segment ``number``'s level is longer than all earlier ones.

    A stay is a run of segments near that level. Earlier stays of ``_REACH`` values or more count
    as a level of their own, to which the series may return.
    """
    before = levels[number - 1]
    at_level = (levels - before) / (levels[number] - before) > _RETURN_SHARE
    begins = np.flatnonzero(np.diff(at_level, prepend=~at_level[0]))
    stays = np.add.reduceat(lengths, begins)
    current = int(np.searchsorted(begins, number))
    earlier = stays[1:current][::-1][1::2]  # without the first, whose begin was not measured
    return not np.any((earlier >= stays[current]) & (earlier < _REACH))


def _running_median(logs: Floats) -> Floats:
    """Return the median of the ``_STRETCH`` values around each; end values are repeated."""
    half = _STRETCH // 2
    near = sliding_window_view(np.pad(logs, half, mode="edge"), _STRETCH)
    return np.asarray(np.partition(near, half, axis=-1)[:, half])


def _drift(medians: Floats, spread: float) -> float:
    """Return the variance between medians of neighbouring stretches that noise does not explain.

    A real step affects a stretch or two; drift, and modes that alternate, affect most of them.
    """
    if medians.size < 3 * _STRETCH:
        return 0.0
    inner = medians[_STRETCH // 2 : -(_STRETCH // 2)]
    differences = np.abs(inner[_STRETCH:] - inner[:-_STRETCH])
    usual = np.quantile(differences, _DRIFT_QUANTILE) / ndtri((1 + _DRIFT_QUANTILE) / 2)
    return float(max(usual**2 - _MEDIAN_VARIANCE * spread**2 * 2 / _STRETCH, 0.0))


def _relative(step: float) -> float:
    """Return the relative change of a difference of logs; finite, so that JSON can hold it."""
    return float(np.expm1(min(step, LARGEST)))


@cache
def _quantile(tail: float, freedom: int) -> float:
    return float(-stdtrit(freedom, tail))  # t.isf, which takes thirty times as long


def _median(numbers: Floats) -> float:
    """Return the median; NumPy's own takes ten times as long on so few numbers."""
    upper = numbers.size // 2
    if numbers.size % 2:
        return float(np.partition(numbers, upper)[upper])
    both = np.partition(numbers, (upper - 1, upper))
    return float(both[upper - 1] + both[upper]) / 2
