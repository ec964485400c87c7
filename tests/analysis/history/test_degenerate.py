"""Histories too short, too even or too strange to hold a step: all are searched without a fault."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from sparsebench.analysis.history import HistoryFindings, steps, survey
from tests import histories
from tests.histories import as_frame


def frame_of(values: np.ndarray, **columns: object) -> pd.DataFrame:
    """Rows of one machine: ``values`` has a row a series and a column a commit."""
    none = np.zeros(values.shape, dtype=np.int64)
    frame = as_frame({"m": histories.History(np.zeros(values.shape), harness=none)})
    return frame.assign(value=values.T.ravel(), **columns)


def noisy(series: int, snapshots: int) -> np.ndarray:
    return np.exp(np.random.default_rng(2).normal(0, 0.01, (series, snapshots)))


def counts(found: HistoryFindings) -> tuple[int, int, int]:
    return found.series, found.short, found.unfit


@pytest.mark.parametrize("series", [1, 30])
@pytest.mark.parametrize("snapshots", [0, 1, 2, 3, 5, 7, 8])
def test_of_a_few_commits_nothing_is_known(series: int, snapshots: int) -> None:
    values = noisy(series, snapshots)
    values[:, snapshots // 2 :] *= 2
    found = survey(frame_of(values) if snapshots else frame_of(noisy(series, 1))[:0])
    present = series if snapshots else 0
    assert counts(found) == (present, present if snapshots < 8 else 0, 0)
    if snapshots < 8:
        assert (found.steps, found.shifts) == ([], [])


def test_with_thirteen_commits_a_change_can_be_known() -> None:
    values = noisy(1, 13)
    values[:, 7:] *= 2
    (step,) = steps(frame_of(values))
    assert step.commit.startswith("00000007")
    assert step.change.warnings == ("only 6 values on one side",)


@pytest.mark.parametrize("series", [1, 30])
def test_constants_have_no_change(series: int) -> None:
    assert survey(frame_of(np.ones((series, 50)))) == HistoryFindings([], [], [], series, 0, 0)


@pytest.mark.parametrize("odd", [0.0, -0.0, -1.0, np.inf, -np.inf])
def test_one_value_without_a_logarithm_leaves_its_series_out(odd: float) -> None:
    values = noisy(3, 50)
    values[1, 20] = odd
    found = survey(frame_of(values))
    assert counts(found) == (2, 0, 1)
    assert found.steps == []
    assert counts(survey(frame_of(np.full((30, 20), odd)))) == (0, 0, 30)


def test_a_value_that_is_missing_is_none() -> None:
    values = noisy(3, 50)
    values[1, ::2] = np.nan
    values[2, 3:] = np.nan
    assert counts(survey(frame_of(values))) == (3, 1, 0)
    assert survey(frame_of(np.full((30, 20), np.nan))) == HistoryFindings([], [], [], 0, 0, 0)


@pytest.mark.parametrize(("low", "high"), [(1e-320, 1.0), (1.0, 1.7e308), (1e-320, 1.7e308)])
def test_a_change_beyond_what_a_float_can_hold_stays_finite(low: float, high: float) -> None:
    values = noisy(2, 60)
    values[0] = np.repeat([low, high], 30)
    values[1] = np.repeat([high, low], 30)
    found = steps(frame_of(values))
    assert [step.worse for step in found] == [True, False]
    for step in found:
        assert step.change.interval is not None
        ends = (step.change.interval.low, step.change.interval.high)
        assert np.isfinite(
            [*ends, step.change.value, step.before, step.after, step.importance]
        ).all()


def test_exact_values_and_failures_are_no_series() -> None:
    values = noisy(3, 30)
    values[:, 15:] *= 2
    assert survey(frame_of(values, direction="exact")) == HistoryFindings([], [], [], 0, 0, 0)
    assert survey(frame_of(values, status="failed")) == HistoryFindings([], [], [], 0, 0, 0)


def test_machines_and_projects_are_distinguished_at_the_same_commits() -> None:
    values = noisy(3, 40)
    slower = values.copy()
    slower[0, 20:] *= 2
    frame = pd.concat(
        [
            frame_of(values),
            frame_of(values).assign(machine="other"),
            frame_of(slower).assign(project="another"),
        ],
        ignore_index=True,
    )
    (step,) = steps(frame)
    assert (step.project, step.machine, step.case) == ("another", "m", "n=0")
    assert survey(frame).series == 9


def without_dates(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(commit_date=pd.Series(pd.NaT, frame.index, dtype="datetime64[ms, UTC]"))


def on_one_day(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(commit_date=pd.Timestamp("2020-01-01", tz="UTC"))


@pytest.mark.parametrize("change", [without_dates, on_one_day])
def test_commits_without_an_order_come_as_first_seen(
    change: Callable[[pd.DataFrame], pd.DataFrame],
) -> None:
    values = noisy(30, 60)
    values[:, 30:] *= 2
    values[3, 45:] *= 3
    frame = change(frame_of(values, unit=None, fingerprint=None, benchmark_version=None, case=""))
    frame["benchmark"] += [f".{index % 30}" for index in range(len(frame))]
    found = survey(frame)
    assert [step.commit[:8] for step in found.steps] == [f"{45:08x}"]
    assert [shift.commit[:8] for shift in found.shifts] == [f"{30:08x}"]
