"""Change points on series with a known truth: what is found, what is not, and how sure."""

import numpy as np
import pytest

from sparsebench.stats import change_points, common_factor
from sparsebench.stats.change_points import STRIDE, WINDOW, search, windows, within
from tests.histories import quiet


def series(count: int, noise: float = 0.01, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(np.log(1e-3), noise, count)


def test_a_step_is_found_at_its_place_and_its_interval_holds_the_truth() -> None:
    held = 0
    for seed in range(40):
        logs = series(120, seed=seed)
        logs[70:] += np.log(1.1)
        (point,) = change_points(logs)
        assert abs(point.index - 70) <= 1
        assert point.change.interval is not None
        held += 0.1 in point.change.interval
        assert point.after - point.before == pytest.approx(np.log1p(point.change.value))
    assert held >= 36  # nominal: 38 of 40


def test_noise_alone_has_no_change_points() -> None:
    assert sum(len(change_points(series(300, seed=seed))) for seed in range(60)) <= 1


@pytest.mark.parametrize(("after", "found"), [(3, 0), (4, 1), (8, 1)])
def test_a_change_counts_once_it_lasted_four_values(after: int, found: int) -> None:
    logs = series(60 + after)
    logs[60:] += 0.3
    points = change_points(logs)
    assert [point.index for point in points] == [60] * found
    for point in points:
        assert point.change.warnings == (("only 4 values on one side",) if after == 4 else ())


def test_an_excursion_of_three_values_and_lone_outliers_are_no_change() -> None:
    logs = series(200)
    logs[[20, 90, 91, 92, 150]] += [2.0, 0.5, 0.5, 0.5, 1.0]
    assert change_points(logs) == []


@pytest.mark.parametrize(("tolerance", "found"), [(0.02, 1), (0.1, 0)])
def test_the_whole_interval_lies_beyond_the_tolerance(tolerance: float, found: int) -> None:
    logs = series(100, noise=0.002)
    logs[50:] += np.log(1.05)
    assert len(change_points(logs, tolerance)) == found


def test_a_mode_that_comes_and_goes_is_drift_and_a_level_beyond_it_is_a_change() -> None:
    rng = np.random.default_rng(4)
    modes = 0.06 * np.repeat(rng.random(60) < 0.4, 5)
    logs = series(300, noise=0.004) + modes
    assert len(change_points(logs)) <= 1
    logs[250:] += 0.3
    assert 250 in [point.index for point in change_points(logs)]


def visits(*lengths: int) -> np.ndarray:
    """A series that goes between two levels, 10 % apart, and stays so long each time."""
    up = np.repeat(np.arange(len(lengths)) % 2, lengths)
    return series(up.size, noise=0.005) + np.log(1.1) * up


@pytest.mark.parametrize(
    ("lengths", "found"),
    [
        pytest.param((60, 8, 60), [60, 68], id="a lone visit may have been a step"),
        pytest.param((60, 8, 60, 8, 60), [], id="two of them are a mode"),
        pytest.param((60, 8, 60, 8, 60, 8), [], id="it is there now"),
        pytest.param((60, 8, 60, 8, 60, 9), [196], id="it stays longer than ever"),
        pytest.param((9, 60, 8, 60, 8, 60), [9], id="the same read backwards"),
        pytest.param((60, 40, 60, 40, 60), [60, 100, 160, 200], id="long stays are levels"),
    ],
)
def test_where_a_series_was_before_it_must_stay_longer(
    lengths: tuple[int, ...], found: list[int]
) -> None:
    assert [point.index for point in change_points(visits(*lengths))] == found


@pytest.mark.parametrize("before", [4, 8, 16])
def test_a_great_step_is_found_in_a_young_history(before: int) -> None:
    for seed in range(20):
        logs = series(before + 4, seed=seed)
        logs[before:] += np.log(2)
        assert [point.index for point in change_points(logs)] == [before]


@pytest.mark.parametrize("count", [8, 12, 20, 30])
def test_short_histories_of_noise_have_no_change_points(count: int) -> None:
    assert sum(len(change_points(series(count, 0.03, seed))) for seed in range(100)) <= 2


def test_outliers_do_not_pass_for_a_series_that_drifts() -> None:
    logs = series(200, noise=0.005)
    logs[:192] += 0.08 * np.repeat(np.arange(24) % 2, 8)
    logs[5:190:9] += 0.5
    logs[192:] += 0.25
    assert [point.index for point in change_points(logs)] == [192]


def test_a_constant_that_changes_is_found_and_a_constant_is_not() -> None:
    assert change_points(np.zeros(50)) == []
    (point,) = change_points(np.repeat([0.0, 0.5], 25))
    assert point.index == 25
    assert point.change.value == pytest.approx(np.expm1(0.5))


@pytest.mark.parametrize("count", [0, 1, 7])
def test_too_few_values_have_none(count: int) -> None:
    assert change_points(np.arange(count) * 1.0) == []


def test_given_candidates_are_judged_by_the_same_rules() -> None:
    logs = series(100)
    logs[60:] += 0.2
    assert [point.index for point in change_points(logs, candidates=[20, 59, 80])] == [60]


def test_windows_overlap_and_do_not_change_when_values_are_added() -> None:
    logs = series(3 * WINDOW)
    whole = dict(windows(logs))
    assert list(whole) == list(range(0, logs.size - STRIDE, STRIDE))
    cut = {begin: values for begin, values in windows(logs[:-5]) if values.size == WINDOW}
    assert all(np.array_equal(whole[begin], values) for begin, values in cut.items())
    assert len(cut) >= len(whole) - 2


def test_a_change_on_the_border_of_two_windows_is_found_once() -> None:
    for index in (STRIDE, WINDOW, WINDOW + 1):
        logs = series(3 * WINDOW, seed=index)
        logs[index:] += 0.1
        assert index in search(logs)
        assert [point.index for point in change_points(logs)] == [index]
    assert within(logs[:WINDOW], 10) == [index + 10 for index in within(logs[:WINDOW])]


def test_the_common_factor_is_what_all_series_share() -> None:
    logs = quiet(60, 80, 1).logs
    moved = logs.copy()
    moved[:, 40:] += 0.2
    moved[:, 60] += 0.5
    shared = common_factor(moved) - common_factor(logs)
    np.testing.assert_allclose(shared[:40], 0)
    np.testing.assert_allclose(shared[40:60], 0.2, atol=0.01)
    np.testing.assert_allclose(shared[60], 0.7, atol=0.01)


def test_one_series_alone_and_late_ones_do_not_move_the_common_factor() -> None:
    logs = quiet(60, 80, 1).logs
    alone = logs.copy()
    alone[:5, 40:] += 1.0
    alone[30:, :20] = np.nan
    assert np.abs(common_factor(alone) - common_factor(logs)).max() < 0.01


def test_of_few_series_nothing_is_common_and_later_values_change_nothing() -> None:
    logs = quiet(60, 80, 1).logs
    assert not common_factor(logs[:19]).any()
    np.testing.assert_array_equal(common_factor(logs[:, :50]), common_factor(logs)[:50])
