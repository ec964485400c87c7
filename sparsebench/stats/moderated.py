"""Effects from a few rounds each, whose variance is judged together with that of all cases."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaln, digamma, stdtr, stdtrit

from sparsebench.stats.estimate import CONFIDENCE_LEVEL, Floats, Interval
from sparsebench.stats.robust import location, scale, scale_freedom

_BANDWIDTH: Final = 0.5  # of log time: cases within a factor of about 2 share a variance
_PLACES: Final = 512  # at which the trend is computed; a matrix of places times cases is held
_CANDIDATES: Final = np.geomspace(1, 64, 49)  # prior degrees of freedom that are tried
_EXPECTED: Final = 6.0  # the lower end of what was measured; decides where cases are few
_SLOPE_DOUBT: Final = 1.5  # a log variance's own variance, over that of slopes to expect
_FAR: Final = 3.0  # normal standard deviations; log variances beyond do not bend the trend more


@dataclass(frozen=True)
class Effect:
    """log(head/base) of one case: ``value`` with its standard ``error``, and t's ``freedom``.

    ``count`` rounds are in it. Without any the value is NaN; where nothing tells the error it is
    infinite: then the interval is the whole line and every p-value 1. An error of 0 says that all
    rounds agreed, as counted bytes do.
    """

    value: float
    error: float
    freedom: float
    count: int

    def interval(self, confidence_level: float = CONFIDENCE_LEVEL) -> Interval:
        """Return what holds the true effect with this confidence, on the log scale."""
        if not np.isfinite(self.error):
            return Interval(-np.inf, np.inf)
        margin = self._quantile((1 + confidence_level) / 2) * self.error
        return Interval(self.value - margin, self.value + margin)

    def p_above(self, limit: float) -> float:
        """Return the one-sided p-value of "the effect is at most ``limit``"."""
        return self._p(self.value - limit)

    def p_below(self, limit: float) -> float:
        """Return the one-sided p-value of "the effect is at least ``limit``"."""
        return self._p(limit - self.value)

    def detectable(self, alpha: float, power: float) -> float:
        """Return how far beyond a limit an effect must lie to be found with this power.

        Found means ``p_above(limit) <= alpha`` with an error like this one.
        """
        if not np.isfinite(self.error):
            return float("inf")
        return (self._quantile(1 - alpha) + self._quantile(power)) * self.error

    def _p(self, excess: float) -> float:
        if not np.isfinite(self.error):
            return 1.0
        if self.error == 0:
            return float(excess <= 0)
        return float(stdtr(self.freedom, -excess / self.error))

    def _quantile(self, probability: float) -> float:
        return float(stdtrit(self.freedom, probability)) if self.error else 0.0


@dataclass(frozen=True)
class VariancePrior:
    """The variance between rounds that a case's time lets expect, and how much that weighs.

    ``variances`` (of one round's effect) is a trend on ascending ``log_times``, constant beyond its
    ends, and infinite where nothing was to be learned. The prior weighs as ``freedom`` further
    rounds would, but never more than the ``pooled`` degrees of freedom around that time.
    """

    log_times: tuple[float, ...]
    variances: tuple[float, ...]
    pooled: tuple[float, ...]
    freedom: float

    def effect(self, rounds: ArrayLike, log_time: float) -> Effect:
        """Return the effect of one case; rounds that are not finite are left out.

        Args:
            rounds: log(head/base) of each round, in any order.
            log_time: log of its time per call, in the unit of ``log_times``.

        With m the robust location of n rounds and s2 their robust variance, whose d degrees of
        freedom are a little fewer than n - 1: the moderated variance is (d0 s0^2 + d s2)/(d0 + d),
        and (value - true value)/error is nearly Student's t on d0 + d degrees of freedom.
        """
        sample = np.asarray(rounds, dtype=np.float64).ravel()
        sample = sample[np.isfinite(sample)]
        if sample.size == 0:
            return Effect(float("nan"), float("inf"), 0.0, 0)
        variance, freedom = self._moderated(sample, log_time)
        deviation = np.sqrt(variance)
        value = float(location(sample, np.asarray(deviation)))
        return Effect(value, float(deviation / np.sqrt(sample.size)), freedom, sample.size)

    def _moderated(self, sample: Floats, log_time: float) -> tuple[float, float]:
        """Return the variance of one round and its degrees of freedom."""
        own_freedom = scale_freedom(sample.size)
        own = float(scale(sample)) ** 2 if own_freedom else 0.0
        expected = float(np.interp(log_time, self.log_times, self.variances))
        pooled = float(np.interp(log_time, self.log_times, self.pooled))
        if not np.isfinite(expected) or (expected == 0 and own > 0):  # the prior does not know
            return (own, own_freedom) if own_freedom else (np.inf, 0.0)
        weight = 1 / (1 / self.freedom + 1 / pooled)  # the trend is itself not known exactly
        variance = (weight * expected + own_freedom * own) / (weight + own_freedom)
        return variance, min(weight + own_freedom, max(pooled, own_freedom))


def variance_prior(rounds: Sequence[ArrayLike], log_times: ArrayLike) -> VariancePrior:
    """Return what all cases of a run say about the variance between rounds.

    Args:
        rounds: for each case its rounds' log(head/base); counts may differ, what is not finite is
            left out.
        log_times: for each case the log of its time per call, any unit.

    Returns:
        A prior that needs no case in particular: those with fewer than two rounds, or whose rounds
        agree to the last digit, say nothing. Where all agree the variance is 0 (exact counts);
        where there are not two rounds anywhere it is infinite, so nothing can be concluded.

    The trend is a local line through the log variances. The prior degrees of freedom are those that
    make the variances over their trend, F distributed, likeliest; log-normal odds around
    ``_EXPECTED`` decide where cases are few.

    Source: Smyth 2004, doi:10.2202/1544-6115.1027, with the trend of limma's eBayes; robust by its
    scale and location (``robust.py``) rather than by downweighting cases.
    """
    times, variances, freedoms = _spreads(rounds, np.asarray(log_times, dtype=np.float64).ravel())
    if not np.any(variances > 0):
        return VariancePrior((0.0,), (0.0 if variances.size else np.inf,), (np.inf,), _EXPECTED)
    positive = variances > 0
    times, variances, freedoms = times[positive], variances[positive], freedoms[positive]
    at = times if times.size <= _PLACES else np.quantile(times, np.linspace(0, 1, _PLACES))
    near = np.exp(-0.5 * ((at[:, None] - times) / _BANDWIDTH) ** 2)
    log_variances = np.log(variances)
    line = _local_line(at, times, _without_far(log_variances - _log_bias(freedoms)), near)
    freedom = _likeliest(log_variances - np.interp(times, at, line), freedoms)
    expected = np.exp(line + _log_bias(freedom))
    return VariancePrior(tuple(at), tuple(expected), tuple(near @ freedoms), freedom)


def _spreads(rounds: Sequence[ArrayLike], log_times: Floats) -> tuple[Floats, Floats, Floats]:
    """Return time, variance and its freedom of every case with two rounds, by ascending time."""
    assert len(rounds) == log_times.size, f"one time a case, got {log_times.size}, {len(rounds)}"
    rows = []
    for sample, log_time in zip(rounds, log_times, strict=True):
        numbers = np.asarray(sample, dtype=np.float64).ravel()
        numbers = numbers[np.isfinite(numbers)]
        if numbers.size > 1:
            rows.append((log_time, float(scale(numbers)) ** 2, scale_freedom(numbers.size)))
    table = np.array(sorted(rows), dtype=np.float64).reshape(-1, 3)
    return table[:, 0], table[:, 1], table[:, 2]


def _log_bias(freedom: Floats | float) -> Floats:
    """Return the mean of the log of chi-square over its degrees of freedom."""
    half = np.asarray(freedom) / 2
    return np.asarray(digamma(half) - np.log(half))


def _local_line(at: Floats, times: Floats, numbers: Floats, near: Floats) -> Floats:
    """Return the weighted regression line at each of ``at``; flat where the times do not differ.

    A line and not a mean, since at the shortest times all neighbours are longer and quieter.
    """
    weights = near / near.sum(axis=1, keepdims=True)
    centre, level = weights @ times, weights @ numbers
    along = times - centre[:, None]
    slope = (near * along) @ numbers / ((near * along**2).sum(axis=1) + _SLOPE_DOUBT)
    return np.asarray(level + slope * (at - centre))


def _without_far(numbers: Floats) -> Floats:
    middle = np.median(numbers)
    reach = _FAR * 1.4826 * np.median(np.abs(numbers - middle))
    return np.clip(numbers, middle - reach, middle + reach)


def _likeliest(log_excess: Floats, freedoms: Floats) -> float:
    """Return the prior degrees of freedom that make the variances over their trend likeliest."""
    prior = _CANDIDATES[:, None]
    log_ratio = log_excess - _log_bias(prior)
    likelihood = (
        freedoms / 2 * (np.log(freedoms / prior) + log_ratio)
        - (freedoms + prior) / 2 * np.log1p(freedoms / prior * np.exp(log_ratio))
        - betaln(freedoms / 2, prior / 2)
    ).sum(axis=1)
    return float(_CANDIDATES[np.argmax(likelihood - np.log(_CANDIDATES / _EXPECTED) ** 2 / 2)])
