import numpy as np
import pytest
from scipy.special import digamma, polygamma

from sparsebench.stats.robust import location, scale, scale_freedom


@pytest.mark.parametrize("count", [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 15, 20, 30])
def test_the_log_of_the_scale_is_that_of_chi_square_with_its_freedom(count: int) -> None:
    draws = np.random.default_rng(count).standard_normal((1_000_000 // count**2 + 8000, count))
    logs = 2 * np.log(scale(draws))
    half = scale_freedom(count) / 2
    error = logs.std() / np.sqrt(logs.size)
    assert abs(logs.mean() - (digamma(half) - np.log(half))) < 4 * error + 0.02
    assert logs.var() == pytest.approx(polygamma(1, half), rel=0.08)


@pytest.mark.parametrize(("count", "far"), [(4, 1), (5, 1), (6, 1), (8, 2), (12, 3)])
def test_some_numbers_may_be_far_off(count: int, far: int) -> None:
    draws = np.random.default_rng(count).standard_normal((4000, count))
    draws[:, :far] += 1e6
    assert np.median(scale(draws)) < 2.5
    assert np.abs(location(draws, np.ones(4000))).max() < 6


def test_the_scale_says_when_there_is_none() -> None:
    assert np.isnan(scale(np.array([1.0])))
    assert scale(np.array([3.0, 3, 3, 7])) == 0
    assert scale_freedom(1) == 0


def test_the_location_by_hand() -> None:
    # three zeros pull back with m each, what is far pulls with 2 deviations: 3 m = 2
    sample = np.array([0.0, 0, 100, 0])
    assert location(sample, np.array(1.0)) == pytest.approx(2 / 3)
    assert location(sample, np.array(1000.0)) == pytest.approx(25)


@pytest.mark.parametrize("deviation", [0, np.nan, np.inf])
def test_without_a_deviation_the_location_is_the_median(deviation: float) -> None:
    assert location(np.array([1.0, 2, 30]), np.array(deviation)) == 2


def test_rows_are_located_as_each_alone() -> None:
    rng = np.random.default_rng(1)
    rows, deviations = rng.standard_t(2, size=(50, 6)), rng.uniform(0.1, 2, size=50)
    alone = [float(location(row, one)) for row, one in zip(rows, deviations, strict=True)]
    np.testing.assert_allclose(location(rows, deviations), alone, atol=1e-9)
