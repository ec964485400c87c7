import numpy as np
import pytest
from scipy.stats import binom

from sparsebench.stats import Interval, interval_rank, least_count, median, median_intervals

# Campbell and Gardner's table of ranks for the 95 % interval of a median.
PUBLISHED_RANKS = {6: 1, 8: 1, 9: 2, 10: 2, 12: 3, 15: 4, 20: 6, 30: 10, 40: 14, 50: 18}


@pytest.mark.parametrize(("count", "rank"), PUBLISHED_RANKS.items())
def test_the_ranks_are_the_published_ones(count: int, rank: int) -> None:
    assert interval_rank(count) == rank


def test_the_interval_is_made_of_the_ranked_samples() -> None:
    estimate = median([10, 1, 9, 2, 8, 3, 7, 4, 6, 5])
    assert (estimate.value, estimate.interval, estimate.count) == (5.5, Interval(2, 9), 10)
    assert estimate.warnings == ()


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.99, 0.999])
def test_the_least_count_is_the_first_with_an_interval(level: float) -> None:
    least = least_count(level)
    assert interval_rank(least, level) == 1
    assert interval_rank(least - 1, level) == 0


def test_too_few_samples_keep_the_value_and_say_what_is_missing() -> None:
    estimate = median([4, 1, np.nan, 3, 2])
    assert (estimate.value, estimate.interval, estimate.count) == (2.5, None, 4)
    assert estimate.warnings == ("needs 6 samples for an interval at 0.95, got 4",)


def test_an_infinite_measurement_counts_as_the_largest() -> None:
    estimate = median([1, 2, 3, 4, 5, np.inf, np.nan])
    assert (estimate.value, estimate.interval, estimate.count) == (3.5, Interval(1, np.inf), 6)


def test_an_empty_sample_has_no_median() -> None:
    estimate = median([])
    assert np.isnan(estimate.value)
    assert estimate.warnings == ("needs 6 samples for an interval at 0.95, got 0",)


def test_many_samples_at_once_give_what_each_gives_alone() -> None:
    rng = np.random.default_rng(0)
    samples = [rng.random(count) for count in (10, 3, 10, 25, 0, 6)]
    low, high = median_intervals([*samples, None])
    for position, sample in enumerate(samples):
        interval = median(sample).interval
        if interval is None:
            assert np.isnan([low[position], high[position]]).all()
        else:
            assert interval == Interval(low[position], high[position])
    assert np.isnan(low[-1])
    assert np.isfinite(low).sum() == 4


@pytest.mark.parametrize("count", [6, 10, 25])
def test_coverage_is_what_the_binomial_promises(count: int) -> None:
    draws = np.random.default_rng(count).lognormal(sigma=0.3, size=(4000, count))
    low, high = median_intervals(list(draws))
    covered = np.mean((low <= 1) & (high >= 1))
    exact = 1 - 2 * binom.cdf(interval_rank(count) - 1, count, 0.5)
    assert exact >= 0.95
    assert abs(covered - exact) < 0.01  # three standard errors
