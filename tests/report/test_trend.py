import numpy as np
import pandas as pd
import pytest

from sparsebench.report.trend import moved_series, relative, summary


def table_of(values: np.ndarray, error: float = 0.02) -> pd.DataFrame:
    """Points of many series: ``values`` has a row a commit and a column a series."""
    commits, series = values.shape
    table = pd.DataFrame(
        {
            "x": np.repeat(np.arange(commits), series),
            "series": np.tile(np.arange(series), commits),
            "value": values.ravel(),
        }
    )
    return table.assign(low=table["value"] * (1 - error), high=table["value"] * (1 + error))


def test_the_summary_is_the_median_and_the_quartiles_over_the_cases() -> None:
    rows = summary(table_of(np.array([[1.0, 2, 3, 4, 5], [2, 3, 4, 5, 6]])))
    assert list(rows) == ["x", "value", "low", "high", "least", "most"]
    assert rows.to_numpy().tolist() == [[0, 3, 2, 4, 1, 5], [1, 4, 3, 5, 2, 6]]


def test_a_commit_at_which_only_slow_cases_ran_is_no_regression() -> None:
    values = np.tile([1.0, 1.0, 1.0, 9.0, 9.0], (3, 1))
    values[1, :3] = np.nan
    assert list(summary(table_of(values))["value"]) == [1, 1, 1]


def test_a_commit_at_which_nothing_was_measured_is_left_out() -> None:
    values = np.ones((3, 2))
    values[1] = np.nan
    assert list(summary(table_of(values))["x"]) == [0, 2]


def test_values_are_relative_to_the_median_of_the_first_third() -> None:
    values = np.array([[2.0, 0], [4, 1], [6, 1], [8, 1], [8, 1], [8, 1]])
    table = table_of(values)
    found = relative(table)
    assert list(found[table["series"] == 0]) == [2 / 3, 4 / 3, 2, 8 / 3, 8 / 3, 8 / 3]
    assert list(found[table["series"] == 1]) == [0, 2, 2, 2, 2, 2]  # of 0 and 1 the median is 0.5


def test_a_start_at_zero_has_no_ratio() -> None:
    assert relative(table_of(np.array([[0.0], [1.0]]))).isna().all()


@pytest.mark.parametrize("commits", [3, 12, 60])
def test_in_noise_nothing_moves_and_a_step_is_found(commits: int) -> None:
    quiet = 0
    for seed in range(10):
        values = np.random.default_rng(seed).lognormal(sigma=0.02, size=(commits, 300))
        quiet += len(moved_series(table_of(values)))
        values[-max(commits // 3, 1) :, 7] *= 1.3
        found = moved_series(table_of(values))
        assert found[0].series == 7
        assert found[0].change == pytest.approx(1.3, rel=0.1)
    assert quiet <= 2


def test_a_step_within_overlapping_intervals_is_not_certain() -> None:
    table = table_of(np.array([[1.0], [1.1]]), error=0.2)
    assert moved_series(table) == []
    assert len(moved_series(table_of(np.array([[1.0], [1.1]]), error=0.01))) == 1


def test_at_most_five_are_named_the_largest_change_first() -> None:
    values = np.ones((6, 40))
    values[3:, :8] = [1.1, 1.2, 0.5, 1.4, 1.5, 1.6, 1.7, 1.8]
    assert [moved.series for moved in moved_series(table_of(values))] == [2, 7, 6, 5, 4]
