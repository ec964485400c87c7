import numpy as np
import pandas as pd

from sparsebench.analysis.history import commit_order, steps
from sparsebench.analysis.points import benchmark_history
from sparsebench.analysis.trend import lasting_steps, median_line, relative_to_start, thinned
from tests.synthetic import commit_place, history, slowed


def table_of(values: np.ndarray, error: float = 0.02) -> pd.DataFrame:
    """Points of many series: ``values`` has one row per commit and one column per series."""
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
    rows = median_line(table_of(np.array([[1.0, 2, 3, 4, 5], [2, 3, 4, 5, 6]])))
    assert list(rows) == ["x", "value", "low", "high"]
    assert rows.to_numpy().tolist() == [[0, 3, 2, 4], [1, 4, 3, 5]]


def test_a_commit_at_which_only_slow_cases_ran_is_no_regression() -> None:
    values = np.tile([1.0, 1.0, 1.0, 9.0, 9.0], (3, 1))
    values[1, :3] = np.nan
    assert list(median_line(table_of(values))["value"]) == [1, 1, 1]


def test_a_commit_at_which_nothing_was_measured_is_left_out() -> None:
    values = np.ones((3, 2))
    values[1] = np.nan
    assert list(median_line(table_of(values))["x"]) == [0, 2]


def test_values_are_relative_to_the_median_of_the_first_third() -> None:
    values = np.array([[2.0, 0], [4, 1], [6, 1], [8, 1], [8, 1], [8, 1]])
    table = table_of(values)
    ratios = relative_to_start(table)
    assert list(ratios[table["series"] == 0]) == [2 / 3, 4 / 3, 2, 8 / 3, 8 / 3, 8 / 3]
    assert list(ratios[table["series"] == 1]) == [0, 2, 2, 2, 2, 2]  # of 0 and 1 the median is 0.5


def test_a_start_at_zero_has_no_ratio() -> None:
    assert relative_to_start(table_of(np.array([[0.0], [1.0]]))).isna().all()


def test_lasting_steps_are_those_not_reverted_most_important_first() -> None:
    frame = history(commits=60, axes={"n": [f"{number}" for number in range(9)]}, noise=0.005)
    later = commit_place(frame) >= 30
    for number, factor in enumerate([1.2, 1.1, 1.9, 1.8, 1.7, 1.6, 1.5]):
        frame = slowed(frame, later & frame["case"].eq(f"n={number}"), factor)
    over = (commit_place(frame) >= 45) & frame["case"].eq("n=2")
    frame.loc[over, "value"] /= 1.9
    all_steps = steps(frame)
    lasting = lasting_steps(benchmark_history("b", frame, commit_order(frame), all_steps))
    assert [moved.step.case for moved in lasting] == ["n=3", "n=4", "n=5", "n=6", "n=0"]
    assert all(moved.step in all_steps for moved in lasting)


def test_many_commits_share_points_whose_bands_enclose_all_of_them() -> None:
    values = np.arange(1000.0)
    line = pd.DataFrame({"x": range(1000), "value": values, "label": "a", "line": 0})
    lines = line.assign(low=values - 1, high=np.nan)
    thin = thinned(lines, 1000)
    assert len(thin) == 200  # five commits per point
    first = thin.iloc[0]
    assert (first["x"], first["value"], first["low"], first["high"]) == (2, 2, -1, 4)
    pd.testing.assert_frame_equal(thinned(lines[:240], 240), lines[:240])
