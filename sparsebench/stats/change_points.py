"""Where the level of a series of measurements changed for good, and by how much.

Two parts. Candidates come from ruptures' kernel change point search, whose Gaussian kernel bounds
what a single value can do. Each candidate must then prove itself by rules that a benchmark's noise
asks for: it persists, it stands out from how far neighbouring stretches of this very series lie
apart anyway (drift and modes that come and go), and its whole interval lies beyond the tolerance.
`docs/history.md` has the comparison with other methods that this choice rests on.
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
PERSISTENCE: Final = 4  # values: a level that lasted three snapshots may have been a neighbour's
WINDOW: Final = 256  # values that are searched at once; the search's cost grows with the square
STRIDE: Final = WINDOW // 2

_REACH: Final = 30  # values on either side that say what the level is: it drifts
_FALSE_ALARMS: Final = 0.5  # in a whole series of Gaussian noise, before the other rules
_WIDTH: Final = 0.2  # of the kernel, exp(-width d^2), d in standard deviations of the noise
_PENALTY: Final = 4.5  # what a change must explain; a value far off explains about 1.5
_NEAR: Final = 6  # values by which a candidate may be off its place
_NEARLY: Final = 0.75  # of a change: how far a series must have come to have been there before
_STRETCH: Final = 7  # values whose median is compared with that of the next ones
_BAND: Final = 100  # neighbouring values whose stretches' range bounds what wandering can do
_USUAL: Final = 0.75  # the quantile of those differences that a series' wandering is read off
_FLOOR: Final = 1e-4  # the least noise assumed, of a log: rounding to five digits is not a step
LARGEST: Final = 709.0  # about the log of the largest number that a float can hold
_MEDIAN_DEVIATION: Final = 0.6745  # of a normal distribution: the median of |z|
_MEDIAN_VARIANCE: Final = np.pi / 2  # of a median, relative to that of the mean


@dataclass(frozen=True)
class ChangePoint:
    """A lasting change: ``place`` is the index of the first value after it.

    ``before`` and ``after`` are the levels on both sides, logs as the input; ``change`` is
    after / before - 1 of the values themselves. ``doubt`` is half its interval's width, as a log.
    """

    place: int
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
        tolerance: the smallest relative change that matters; the whole interval lies beyond it.
        candidates: indices to judge; those of :func:`candidates`, unless given.

    Returns:
        Change points at least four values apart and from either end: fewer could still go away. The
        interval is at 0.95, from the medians of up to 30 values on either side, the noise of single
        values and the wandering of neighbouring stretches. Fewer than eight values on a side add a
        warning. The same values give the same points.
    """
    numbers = np.asarray(logs, dtype=np.float64).ravel()
    if numbers.size < 2 * PERSISTENCE:
        return []
    places = search(numbers) if candidates is None else sorted(candidates)
    if not places:
        return []
    series = _Series(numbers, tolerance)
    kept = _without_modes(numbers, _kept(series, places))
    return series.points(series.placed(_kept(series, kept)))


def change_at(logs: Floats, place: int) -> ChangePoint:
    """Return the change at ``place`` whether it passes the rules or not."""
    return _Series(logs, TOLERANCE).point(0, place, logs.size)


def change_point(place: int, before: float, after: float, doubt: float, count: int) -> ChangePoint:
    """Return the change point that these numbers make; ``count`` values on its shorter side."""
    step = after - before
    interval = Interval(_relative(step - doubt), _relative(step + doubt))
    few = (f"only {count} values on one side",) if count < 2 * PERSISTENCE else ()
    return ChangePoint(place, before, after, doubt, Estimate(_relative(step), interval, count, few))


def search(logs: Floats) -> list[int]:
    """Return the candidates of all windows of a series, sorted."""
    return sorted({place for begin, values in windows(logs) for place in within(values, begin)})


def windows(logs: Floats) -> Iterator[tuple[int, Floats]]:
    """Yield overlapping stretches of a series with their places.

    All but the last stay as they are when values are added at the end: their candidates need not be
    searched for again.
    """
    for begin in range(0, max(logs.size - STRIDE, 1), STRIDE):
        yield begin, logs[begin : begin + WINDOW]


def within(logs: Floats, begin: int = 0) -> list[int]:
    """Return the candidates in one window that starts at ``begin`` of its series."""
    if logs.size < 2 * PERSISTENCE:
        return []
    from ruptures import KernelCPD  # a second to import, and not needed where all is cached

    scaled = (logs - logs[0]) / noise(logs)
    model = KernelCPD(kernel="rbf", min_size=PERSISTENCE, params={"gamma": _WIDTH})
    penalty = _PENALTY * np.log(logs.size) / np.log(WINDOW)  # few values can explain only little
    *places, _end = model.fit(scaled).predict(pen=penalty)
    return [begin + int(place) for place in places]


def noise(logs: Floats) -> float:
    """Return the robust standard deviation of one value, from neighbours' differences.

    Those scatter sqrt(2) as much as the values, and a step in the series touches one of them only.
    """
    usual = _median(np.abs(np.diff(logs)))
    return max(float(usual / (_MEDIAN_DEVIATION * np.sqrt(2))), _FLOOR)


class _Series:
    """A series with what is known of its noise, to test changes of level on."""

    def __init__(self, logs: Floats, tolerance: float) -> None:
        self.logs = logs
        self.noise = noise(logs)
        self.medians = _running_median(logs)
        self.wandering = _wandering(self.medians, self.noise)
        self.tolerance = max(float(np.log1p(tolerance)), _FLOOR)
        freedom = max(logs.size // 2, 3)
        self.certain = _quantile(_FALSE_ALARMS / logs.size / 2, freedom)
        self.sure = _quantile((1 - CONFIDENCE_LEVEL) / 2, freedom)

    def levels(self, low: int, place: int, high: int) -> tuple[float, float, float]:
        """Return the level before and after ``place``, and the standard error of the step."""
        left = self.logs[max(low, place - _REACH) : place]
        right = self.logs[place : min(high, place + _REACH)]
        before, after = _median(left), _median(right)
        residual = np.abs(np.concatenate([left - before, right - after]))
        spread = max(self.noise, _median(residual) / _MEDIAN_DEVIATION)
        share = 1 / left.size + 1 / right.size
        return before, after, float(spread * np.sqrt(_MEDIAN_VARIANCE * share))

    def doubt(self, factor: float, place: int, error: float) -> float:
        """Return how far a step of no change may reach, at so many standard errors."""
        if not self.wandering:
            return factor * error
        reach = min(factor * np.sqrt(self.wandering), self._band(place))
        return float(np.hypot(factor * error, reach))

    def _band(self, place: int) -> float:
        """Return how far neighbouring stretches lie apart, on the longer side."""
        near = self.medians[max(0, place - _BAND) : max(place - _STRETCH // 2, 1)]
        if 2 * place < self.logs.size:
            near = self.medians[place + _STRETCH // 2 : place + _BAND]
        return float(np.ptp(near))

    def margin(self, low: int, place: int, high: int) -> float:
        """Return how far a change clears the rules, negative where it does not."""
        if min(place - low, high - place) < PERSISTENCE:
            return -np.inf
        before, after, error = self.levels(low, place, high)
        step = abs(after - before)
        beyond = (step - self.doubt(self.sure, place, error)) / self.tolerance
        return float(min(step / self.doubt(self.certain, place, error), beyond) - 1)

    def placed(self, places: list[int]) -> list[int]:
        """Return the places moved to where the values part best: outliers beside them mislead."""
        ends = [0, *places, self.logs.size]
        for number in range(1, len(ends) - 1):
            ends[number] = self._parting(*ends[number - 1 : number + 2])
        return ends[1:-1]

    def _parting(self, low: int, place: int, high: int) -> int:
        before, after, _ = self.levels(low, place, high)
        first = max(low + PERSISTENCE, place - _NEAR)
        last = min(high - PERSISTENCE, place + _NEAR)
        values = self.logs[first:last]
        gained = np.abs(values - after) - np.abs(values - before)  # by moving one value leftwards
        cost = np.concatenate([[0.0], np.cumsum(-gained)])
        return first + int(np.argmin(cost))

    def points(self, places: list[int]) -> list[ChangePoint]:
        ends = [0, *places, self.logs.size]
        return [self.point(*ends[number : number + 3]) for number in range(len(places))]

    def point(self, low: int, place: int, high: int) -> ChangePoint:
        before, after, error = self.levels(low, place, high)
        count = min(place - low, high - place, _REACH)
        return change_point(place, before, after, self.doubt(self.sure, place, error), count)


def _kept(series: _Series, places: Sequence[int]) -> list[int]:
    """Return the places that pass every rule, after dropping the worst one again and again.

    What a place is tested against are the levels up to its neighbours, so each drop changes those.
    """
    ends = [0, *places, series.logs.size]
    margins = [series.margin(*ends[number : number + 3]) for number in range(len(places))]
    while margins and (worst := min(margins)) < 0:
        number = margins.index(worst)
        del ends[number + 1], margins[number]
        for near in {number - 1, number} & set(range(len(margins))):
            margins[near] = series.margin(*ends[near : near + 3])
    return ends[1:-1]


def _without_modes(logs: Floats, places: list[int]) -> list[int]:
    """Return the places less those of visits to where the series had been as long before.

    A series that had come this far before, and gone again, is believed only once it stays longer
    than it ever did; read backwards, the same holds for what it left.
    """
    ends = [0, *places, logs.size]
    lengths = np.diff(ends)
    levels = np.array([_median(logs[low:high]) for low, high in pairwise(ends)])
    return [
        place
        for number, place in enumerate(places, start=1)
        if _outstays(levels[::-1], lengths[::-1], levels.size - number)
        and _outstays(levels, lengths, number)
    ]


def _outstays(levels: Floats, lengths: NDArray[np.int64], number: int) -> bool:
    """Whether the stay that begins with stretch ``number`` is longer than all visits before it.

    A stay is a run of stretches that come nearly to the level of that one. One of ``_REACH`` values
    or more was no visit but a level, and may be returned to.
    """
    before = levels[number - 1]
    there = (levels - before) / (levels[number] - before) > _NEARLY
    begins = np.flatnonzero(np.diff(there, prepend=~there[0]))
    stays = np.add.reduceat(lengths, begins)
    this = int(np.searchsorted(begins, number))
    visits = stays[1:this][::-1][1::2]  # without the first stay, whose begin nobody saw
    return not np.any((visits >= stays[this]) & (visits < _REACH))


def _running_median(logs: Floats) -> Floats:
    """Return the median of the ``_STRETCH`` values around each; the ends stand in for others."""
    half = _STRETCH // 2
    near = sliding_window_view(np.pad(logs, half, mode="edge"), _STRETCH)
    return np.asarray(np.partition(near, half, axis=-1)[:, half])


def _wandering(medians: Floats, spread: float) -> float:
    """Return the variance between medians of neighbouring stretches that noise leaves unexplained.

    A real step touches a stretch or two; drift, and modes that come and go, touch most of them.
    """
    if medians.size < 3 * _STRETCH:
        return 0.0
    whole = medians[_STRETCH // 2 : -(_STRETCH // 2)]
    apart = np.abs(whole[_STRETCH:] - whole[:-_STRETCH])
    usual = np.quantile(apart, _USUAL) / ndtri((1 + _USUAL) / 2)
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
