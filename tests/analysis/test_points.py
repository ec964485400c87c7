import numpy as np
import pandas as pd

from sparsebench.analysis.history import commit_order
from sparsebench.analysis.points import BenchmarkHistory, benchmark_history
from sparsebench.stats import median
from tests.synthetic import commit_place, failed, history

ONE = {"n": ["1"]}


def history_of(frame: pd.DataFrame) -> BenchmarkHistory:
    return benchmark_history("b", frame, commit_order(frame))


def points_of(frame: pd.DataFrame) -> pd.DataFrame:
    return history_of(frame).points


def test_a_point_has_its_commits_index_and_its_medians_interval() -> None:
    frame = history(axes=ONE, commits=3).sample(frac=1, random_state=1)
    table = points_of(frame)
    assert list(table["x"]) == [0, 1, 2]
    first = frame.sort_values("commit_date").iloc[0]
    interval = median(first["samples"]).interval
    assert interval is not None
    assert (table["value"][0], table["low"][0], table["high"][0]) == (
        first["value"],
        interval.low,
        interval.high,
    )


def test_a_failed_case_is_a_point_without_a_value() -> None:
    frame = history(axes=ONE, commits=3)
    table = points_of(failed(frame, commit_place(frame) == 1, "timeout"))
    assert list(table["status"]) == ["ok", "timeout", "ok"]
    assert list(table["value"].isna()) == [False, True, False]


def test_another_fingerprint_or_version_is_another_series_and_harness() -> None:
    frame = history(axes=ONE, commits=6, machines=["a", "b"])
    index = commit_place(frame)
    frame.loc[(index >= 2) & (frame["machine"] == "a"), "fingerprint"] = "other"
    frame.loc[index >= 4, "benchmark_version"] = "v2"
    measured = history_of(frame)
    assert measured.points["series"].nunique() == 5
    assert measured.harness_changes() == [2, 4]


def test_a_machine_that_joins_late_is_no_change_of_harness() -> None:
    frame = history(axes=ONE, commits=4, machines=["a", "b"])
    frame.loc[frame["machine"] == "b", "fingerprint"] = "other"
    late = frame[(frame["machine"] == "a") | (commit_place(frame) >= 2)]
    assert history_of(late).harness_changes() == []


def test_of_a_point_measured_twice_the_newer_value_is_taken() -> None:
    frame = history(axes=ONE, commits=1)
    again = frame.assign(value=9.0, started_at=frame["started_at"] + pd.Timedelta("1h"))
    for both in ([frame, again], [again, frame]):
        assert list(points_of(pd.concat(both, ignore_index=True))["value"]) == [9.0]


def test_missing_samples_are_no_interval() -> None:
    frame = history(axes=ONE, commits=2)
    frame["samples"] = [np.nan, None]
    assert points_of(frame)[["low", "high"]].isna().all(axis=None)


def test_series_are_named_by_what_varies() -> None:
    measured = history_of(history(axes={"n": ["1", "2"], "k": ["5"]}, commits=2))
    assert list(measured.series_labels()) == ["n 1", "n 2"]
