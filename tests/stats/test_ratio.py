from collections.abc import Callable

import numpy as np
import pytest

from sparsebench.stats import geometric_mean, ratio_of_medians

Draw = Callable[[np.random.Generator, int, float], np.ndarray]


def lognormal(rng: np.random.Generator, count: int, spread: float) -> np.ndarray:
    return rng.lognormal(sigma=spread, size=count)


def floor_and_tail(rng: np.random.Generator, count: int, spread: float) -> np.ndarray:
    """What timings look like; scaled to a median of 1."""
    return (1 + rng.exponential(spread, size=count)) / (1 + spread * np.log(2))


# The published example of a 95 % interval for a difference of two medians (R package statpsych,
# ci.median2): the logs of our samples are its scores.
SCORES_1 = [32, 39, 26, 35, 43, 27, 40, 37, 34, 29]
SCORES_2 = [36, 44, 47, 42, 49, 39, 46, 31, 33, 48]


def test_the_interval_is_the_published_one() -> None:
    estimate = ratio_of_medians(np.exp(SCORES_1), np.exp(SCORES_2))
    assert estimate.interval is not None
    centre = np.log(estimate.interval.low * estimate.interval.high) / 2
    assert centre == pytest.approx(np.log(estimate.value))
    half = np.log(estimate.interval.high / estimate.interval.low) / 2
    assert half == pytest.approx((16.95977 - 0.04022524) / 2, abs=1e-5)


@pytest.mark.parametrize("draw", [lognormal, floor_and_tail])
@pytest.mark.parametrize("spreads", [(0.05, 0.05), (0.05, 0.27)])
@pytest.mark.parametrize("counts", [(5, 5), (10, 10), (10, 20)])
def test_coverage_is_about_nominal_also_where_spreads_differ(
    draw: Draw, spreads: tuple[float, float], counts: tuple[int, int]
) -> None:
    rng = np.random.default_rng(7)
    covered = 0
    for _ in range(600):
        head = 3 * draw(rng, counts[0], spreads[0])
        interval = ratio_of_medians(head, draw(rng, counts[1], spreads[1])).interval
        assert interval is not None
        covered += 3.0 in interval
    assert 0.91 <= covered / 600 <= 0.995


def test_a_ratio_turns_over_with_its_sides() -> None:
    rng = np.random.default_rng(3)
    head, base = rng.lognormal(size=11), rng.lognormal(size=9)
    one, other = ratio_of_medians(head, base), ratio_of_medians(base, head)
    assert one.interval is not None
    assert other.interval is not None
    assert one.value == pytest.approx(1 / other.value)
    assert one.interval.low == pytest.approx(1 / other.interval.high)


def test_few_samples_give_a_ratio_without_an_interval() -> None:
    estimate = ratio_of_medians([4, 4, 4], [2, 2, 2, 2, 2])
    assert (estimate.value, estimate.interval, estimate.count) == (2.0, None, 3)
    assert estimate.warnings == ("needs 5 samples for an interval at 0.95, got 3",)


@pytest.mark.parametrize("head", [[], [0, 1, 1, 1, 1], [-1, 1, 1, 1, 1]])
def test_a_ratio_of_nothing_positive_is_not_a_number(head: list[float]) -> None:
    estimate = ratio_of_medians(head, [1, 1, 1, 1, 1])
    assert np.isnan(estimate.value)
    assert estimate.warnings == ("a ratio needs positive samples",)


def test_the_geometric_mean_and_its_interval_by_hand() -> None:
    # logs 0, log 2, log 4: mean log 2, standard error log 2 / sqrt(3); t(0.975, 2) = 4.302653
    estimate = geometric_mean([1, 2, 4])
    assert estimate.interval is not None
    assert estimate.value == pytest.approx(2)
    margin = 4.302653 * np.log(2) / np.sqrt(3)
    assert estimate.interval.high == pytest.approx(2 * np.exp(margin), rel=1e-6)
    assert estimate.interval.low == pytest.approx(2 * np.exp(-margin), rel=1e-6)


def test_ratios_that_cannot_be_averaged_are_counted() -> None:
    estimate = geometric_mean([2, 8, 0, np.nan])
    assert (estimate.value, estimate.count) == (pytest.approx(4), 2)
    assert estimate.warnings == ("2 of 4 ratios left out: not positive",)


def test_one_ratio_has_no_spread() -> None:
    estimate = geometric_mean([3])
    assert (estimate.value, estimate.interval) == (pytest.approx(3), None)
    assert estimate.warnings == ("needs 2 ratios for an interval at 0.95, got 1",)
