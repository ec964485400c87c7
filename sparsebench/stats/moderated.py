"""Moderated statistics: each case's effect, with a variance estimated from all cases together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaln, digamma, stdtr, stdtrit

from sparsebench.stats.estimate import CONFIDENCE_LEVEL, Floats, Interval
from sparsebench.stats.robust import location, scale, scale_freedom

_BANDWIDTH: Final = 0.5  # of log time: cases within a factor of about 2 share a variance
_TREND_POINTS: Final = 512  # where the trend is computed; a matrix of points x cases is in memory
_CANDIDATES: Final = np.geomspace(1, 64, 49)  # prior degrees of freedom that are compared
_EXPECTED_FREEDOM: Final = 6.0  # lower end of what was measured; decides where cases are few
_SLOPE_PENALTY: Final = 1.5  # a log variance's own variance, over that of slopes to expect
_OUTLIER_LIMIT: Final = (
    3.0  # standard deviations; log variances beyond are clipped to it in the trend
)


@dataclass(frozen=True)
class Effect:
    """The effect of one case, log(head/base), estimated from ``count`` rounds.

    Attributes:
        value: the estimate; NaN without rounds.
        error: its standard error. Infinite where it cannot be estimated: the interval is then the
            whole line and every p-value 1. 0 where all rounds agree, as counted bytes do.
        freedom: degrees of freedom of Student's t.
        count: rounds used.
    """

    value: float
    error: float
    freedom: float
    count: int

    def interval(self, confidence_level: float = CONFIDENCE_LEVEL) -> Interval:
        """Return the confidence interval of the true effect, on the log scale."""
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
        """Return how far beyond a limit a true effect must be to be detected with ``power``.

        Detected means ``p_above(limit) <= alpha`` with a standard error like this one.
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
    """The expected variance between rounds as a function of a case's time per call.

    Attributes:
        log_times: ascending; the trend is constant beyond both ends.
        variances: expected variance of one round's effect at each of ``log_times``; infinite where
            no case had two rounds.
        pooled: degrees of freedom of the cases around each of ``log_times``.
        freedom: prior degrees of freedom: the prior weighs as much as that many further rounds, but
            never more than ``pooled``.
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
        if not np.isfinite(expected) or (expected == 0 and own > 0):  # no usable prior
            return (own, own_freedom) if own_freedom else (np.inf, 0.0)
        weight = 1 / (1 / self.freedom + 1 / pooled)  # the trend is an estimate itself
        variance = (weight * expected + own_freedom * own) / (weight + own_freedom)
        return variance, min(weight + own_freedom, max(pooled, own_freedom))


def variance_prior(rounds: Sequence[ArrayLike], log_times: ArrayLike) -> VariancePrior:
    """Return the prior of the variance between rounds, estimated from all cases of a run.

    Args:
        rounds: per case its rounds' log(head/base); counts may differ, values that are not finite
            are left out.
        log_times: per case the log of its time per call, any unit.

    Returns:
        The prior. Cases with fewer than two rounds, or with equal rounds, do not contribute. If
        all rounds are equal (exact counts) the variance is 0; if no case has two rounds it is
        infinite, so that nothing can be concluded.

    The trend is a local line through the log variances. The prior degrees of freedom are those that
    maximise the likelihood of the variances over their trend, which are F distributed; a log-normal
    prior around ``_EXPECTED_FREEDOM`` decides where cases are few.

    Source: Smyth 2004, doi:10.2202/1544-6115.1027, with the trend of limma's eBayes; robust by its
    scale and location (``robust.py``) rather than by downweighting cases.
    """
    given_times = np.asarray(log_times, dtype=np.float64).ravel()
    times, variances, freedoms = _variances_by_time(rounds, given_times)
    if not np.any(variances > 0):
        variance = 0.0 if variances.size else np.inf
        return VariancePrior((0.0,), (variance,), (np.inf,), _EXPECTED_FREEDOM)
    positive = variances > 0
    times, variances, freedoms = times[positive], variances[positive], freedoms[positive]
    at = times
    if times.size > _TREND_POINTS:
        at = np.quantile(times, np.linspace(0, 1, _TREND_POINTS))
    kernel = np.exp(-0.5 * ((at[:, None] - times) / _BANDWIDTH) ** 2)
    log_variances = np.log(variances)
    unbiased = log_variances - log_chi_square_mean(freedoms)
    line = local_line(at, times, clipped_outliers(unbiased), kernel)
    freedom = likeliest_prior_freedom(log_variances - np.interp(times, at, line), freedoms)
    expected = np.exp(line + log_chi_square_mean(freedom))
    return VariancePrior(tuple(at), tuple(expected), tuple(kernel @ freedoms), freedom)


def _variances_by_time(
    rounds: Sequence[ArrayLike], log_times: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return log time, variance and its degrees of freedom per case with two rounds, sorted."""
    assert len(rounds) == log_times.size, f"one time per case, got {log_times.size}, {len(rounds)}"
    rows = []
    for sample, log_time in zip(rounds, log_times, strict=True):
        numbers = np.asarray(sample, dtype=np.float64).ravel()
        numbers = numbers[np.isfinite(numbers)]
        if numbers.size > 1:
            rows.append((log_time, float(scale(numbers)) ** 2, scale_freedom(numbers.size)))
    table = np.array(sorted(rows), dtype=np.float64).reshape(-1, 3)
    return table[:, 0], table[:, 1], table[:, 2]


def log_chi_square_mean(freedom: Floats | float) -> Floats:
    """Return the mean of log(chi-square / degrees of freedom)."""
    half = np.asarray(freedom) / 2
    return np.asarray(digamma(half) - np.log(half))


def local_line(at: Floats, times: Floats, numbers: Floats, kernel: Floats) -> Floats:
    """Return the local linear fit of ``numbers`` over ``times``, evaluated at each of ``at``.

    Flat where the times do not differ. A line instead of a mean, because the neighbours of the
    shortest times all take longer and vary less.

    Args:
        at: log times, shape (points,).
        times: log times of the cases, shape (cases,).
        numbers: what is smoothed, shape (cases,).
        kernel: weights, shape (points, cases).
    """
    weights = kernel / kernel.sum(axis=1, keepdims=True)
    centre, level = weights @ times, weights @ numbers
    along = times - centre[:, None]
    slope = (kernel * along) @ numbers / ((kernel * along**2).sum(axis=1) + _SLOPE_PENALTY)
    return np.asarray(level + slope * (at - centre))


def clipped_outliers(numbers: Floats) -> Floats:
    """Return ``numbers`` clipped to three robust standard deviations around their median."""
    middle = np.median(numbers)
    reach = _OUTLIER_LIMIT * 1.4826 * np.median(np.abs(numbers - middle))
    return np.clip(numbers, middle - reach, middle + reach)


def likeliest_prior_freedom(log_excess: Floats, freedoms: Floats) -> float:
    """Return the prior degrees of freedom that maximise the likelihood of the variances.

    Args:
        log_excess: log variances minus their trend, shape (cases,).
        freedoms: degrees of freedom of each variance, shape (cases,).
    """
    prior = _CANDIDATES[:, None]
    log_ratio = log_excess - log_chi_square_mean(prior)
    likelihood = (
        freedoms / 2 * (np.log(freedoms / prior) + log_ratio)
        - (freedoms + prior) / 2 * np.log1p(freedoms / prior * np.exp(log_ratio))
        - betaln(freedoms / 2, prior / 2)
    ).sum(axis=1)
    log_prior = -(np.log(_CANDIDATES / _EXPECTED_FREEDOM) ** 2) / 2
    return float(_CANDIDATES[np.argmax(likelihood + log_prior)])
