import math

import pytest
from scipy.stats import binom

from sparsebench.stats import proportion


@pytest.mark.parametrize(
    ("count", "trials", "low", "high"),
    [(0, 100, 0.0, 0.0362), (1, 100, 0.000253, 0.0545), (7, 7, 0.5904, 1.0), (5, 10, 0.187, 0.813)],
)
def test_the_interval_is_clopper_and_pearsons(
    count: int, trials: int, low: float, high: float
) -> None:
    estimate = proportion(count, trials)
    assert estimate.value == count / trials
    assert estimate.interval is not None
    assert estimate.interval.low == pytest.approx(low, rel=2e-3)
    assert estimate.interval.high == pytest.approx(high, rel=2e-3)


@pytest.mark.parametrize("truth", [0.01, 0.2, 0.5, 0.97])
def test_it_covers_the_truth_at_least_as_often_as_it_says(truth: float) -> None:
    covered = sum(
        binom.pmf(count, 30, truth)
        for count in range(31)
        if (interval := proportion(count, 30).interval) is not None and truth in interval
    )
    assert covered >= 0.95


def test_no_trials_have_no_proportion() -> None:
    estimate = proportion(0, 0)
    assert math.isnan(estimate.value)
    assert estimate.warnings == ("no trials",)
