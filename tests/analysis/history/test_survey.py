"""The search of a history: steps, shifts of a machine, new series, series left out."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sparsebench.analysis.history import COLUMNS, HistoryFindings, Step, explained, steps, survey
from sparsebench.analysis.history.cache import SearchCache
from sparsebench.analysis.history.search import LEAST_WINDOWS
from sparsebench.analysis.history.survey import HARDWARE
from tests import histories
from tests.histories import as_frame, eventful, quiet


def frame_of(logs: np.ndarray, **columns: object) -> pd.DataFrame:
    frame = as_frame({"m": histories.History(logs, harness=np.zeros(logs.shape, dtype=np.int64))})
    return frame.assign(**columns)


def short_logs(series: int = 3, snapshots: int = 40) -> np.ndarray:
    rng = np.random.default_rng(5)
    return np.log(1e-3) + rng.normal(0, 0.01, (series, snapshots))


@pytest.fixture(scope="module")
def simulated() -> tuple[histories.History, pd.DataFrame, HistoryFindings]:
    history = eventful(120, 300, 3)
    frame = as_frame({"m": history})
    return history, frame, survey(frame)


def test_a_step_has_commits_date_levels_change_and_status() -> None:
    logs = short_logs(snapshots=120)
    logs[1, 25:] += np.log(1.5)
    logs[2, 50:80] += np.log(1.3)
    found = steps(frame_of(logs)[COLUMNS].sample(frac=1, random_state=1))
    first = found[0]
    assert (first.benchmark, first.case) == ("suite.Class.time_work_0", "n=1")
    assert (first.project, first.machine, first.unit) == ("made-up", "m", "seconds")
    assert (first.after_commit[:8], first.commit[:8]) == ("00000018", "00000019")
    assert first.date == pd.Timestamp("2020-01-26", tz="UTC")
    assert first.before == pytest.approx(1e-3, rel=0.02)
    assert first.after == pytest.approx(1.5e-3, rel=0.02)
    assert first.change.value == pytest.approx(first.after / first.before - 1)
    assert [(s.case, s.worse, s.status) for s in found] == [
        ("n=1", True, "there"),
        ("n=2", True, "reverted"),
    ]
    assert [s.importance for s in found] == sorted((s.importance for s in found), reverse=True)


def test_a_lower_rate_is_worse() -> None:
    logs = short_logs()
    logs[0, 20:] -= 0.3
    (step,) = steps(frame_of(logs, direction="higher", fingerprint=None))
    assert step.worse
    assert step.fingerprint == ""


def test_a_shift_of_the_machine_is_one_finding_and_no_step(
    simulated: tuple[histories.History, pd.DataFrame, HistoryFindings],
) -> None:
    history, _, found = simulated
    planted = [change for change in history.planted if change.series is None]
    shifts = sorted(found.shifts, key=lambda shift: shift.commit)
    assert [int(shift.commit[:8], 16) for shift in shifts] == [p.index for p in planted]
    for shift, change in zip(shifts, planted, strict=True):
        assert np.log1p(shift.change.value) == pytest.approx(change.size, abs=0.03)
        near = [s for s in found.steps if abs(int(s.commit[:8], 16) - change.index) <= 2]
        assert near == []


def test_most_steps_of_a_simulated_history_were_planted(
    simulated: tuple[histories.History, pd.DataFrame, HistoryFindings],
) -> None:
    history, _, found = simulated
    indices = {(change.series, change.index) for change in history.planted}
    true = [
        any((number_of(step), int(step.commit[:8], 16) + off) in indices for off in range(-4, 5))
        for step in found.steps
    ]
    assert len(true) > 30
    assert np.mean(true) > 0.8


def number_of(step: Step) -> int:
    return int(step.benchmark.rpartition("_")[2]) * histories.CASES + int(step.case[2:])


def test_a_shift_names_what_changed_of_the_machine() -> None:
    logs = quiet(30, 60, 2).logs
    logs[:, 30:] += 0.2
    frame = frame_of(logs)
    (shift,) = survey(frame).shifts
    assert (shift.series, shift.reason) == (30, "")
    frame = frame.assign(**dict.fromkeys(HARDWARE))
    frame["cpu"] = np.where(frame["commit_hash"] < f"{30:08x}", "old", "new")
    frame.loc[frame["commit_hash"] >= f"{30:08x}", "gpu"] = "H200"
    (shift,) = explained([shift], frame)
    assert (shift.series, shift.reason) == (30, "cpu old -> new, gpu - -> H200")
    frame["python"] = np.where(frame["commit_hash"] < f"{30:08x}", "3.11", "3.11.7")
    frame["torch"] = np.where(frame["commit_hash"] < f"{30:08x}", "2.13.0", "2.13.0+cpu")
    frame.loc[frame["commit_hash"] >= f"{30:08x}", "governor"] = "powersave"
    (shift,) = explained([shift], frame)
    assert shift.reason == "cpu old -> new, gpu - -> H200"
    frame["torch"] = np.where(frame["commit_hash"] < f"{30:08x}", "2.1", "2.13.0+cpu")
    frame["threads"] = np.where(frame["commit_hash"] < f"{30:08x}", 1, 2)
    (shift,) = explained([shift], frame)
    assert shift.reason == (
        "cpu old -> new, gpu - -> H200, torch 2.1 -> 2.13.0+cpu, threads 1 -> 2"
    )


def test_other_measurement_settings_start_a_new_series_and_no_regression() -> None:
    logs = short_logs()
    logs[:, 20:] += 1.0
    frame = frame_of(logs)
    later = frame["commit_hash"] >= f"{20:08x}"
    frame.loc[later, "fingerprint"] = "number=10 repeat=10"
    frame.loc[later, "env_name"] = "virtualenv-py3.12"
    found = survey(frame)
    assert found.steps == []
    (new,) = found.new_series
    assert (new.commit[:8], new.count) == ("00000014", 3)
    assert new.reason == "number 1 -> 10, environment virtualenv-py3.11 -> virtualenv-py3.12"


def test_series_measured_in_parallel_do_not_replace_each_other() -> None:
    frame = frame_of(short_logs())
    both = pd.concat([frame, frame.assign(env_name="other")], ignore_index=True)
    assert survey(both).new_series == []


def test_series_that_cannot_be_searched_are_counted() -> None:
    frame = frame_of(short_logs(4, 40))
    frame.loc[frame["case"].eq("n=0"), "value"] = 0.0
    frame = frame[~(frame["case"].eq("n=1") & (frame["commit_hash"] >= f"{7:08x}"))]
    exact = frame.assign(benchmark="track_digest", direction="exact")
    found = survey(pd.concat([frame, exact], ignore_index=True))
    assert (found.series, found.short, found.unfit) == (3, 1, 1)
    assert survey(frame[:0]) == HistoryFindings([], [], [], 0, 0, 0)


def test_the_newer_of_two_measurements_of_a_case_is_used() -> None:
    logs = short_logs()
    old = frame_of(logs + np.repeat([0.0, 1.0], 20)).assign(started_at=pd.NaT)
    assert steps(pd.concat([frame_of(logs), old], ignore_index=True)) == []
    assert len(steps(old)) == 3


def test_cache_and_processes_do_not_change_the_findings(
    simulated: tuple[histories.History, pd.DataFrame, HistoryFindings],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, frame, expected = simulated
    cache = SearchCache(tmp_path / "deep" / "cache.sqlite")
    calls: list[tuple[int, int]] = []
    before = frame[frame["commit_hash"] < frame["commit_hash"].max()]
    survey(before, cache=cache, progress=lambda *done: calls.append(done))
    assert calls[-1] == (expected.series, expected.series)
    monkeypatch.setattr("sparsebench.analysis.history.search.within", only_last_window)
    assert survey(frame, cache=cache) == expected
    monkeypatch.setattr("sparsebench.analysis.history.search.change_points", not_searched_again)
    assert survey(frame, cache=cache) == expected
    with pytest.raises(AssertionError):
        survey(frame, 0.03, cache=cache)
    monkeypatch.undo()
    assert LEAST_WINDOWS > 1
    monkeypatch.setattr("sparsebench.analysis.history.search.LEAST_WINDOWS", 1)
    assert survey(frame, processes=2) == expected
    broken = tmp_path / "broken.sqlite"
    broken.write_bytes(b"not a database" * 100)
    assert survey(frame, cache=SearchCache(broken)) == expected


def test_categorical_columns_give_the_same_findings(
    simulated: tuple[histories.History, pd.DataFrame, HistoryFindings],
) -> None:
    _, frame, expected = simulated
    texts = frame.columns.difference(["value", "commit_date", "started_at"])
    coded = frame.astype(dict.fromkeys(texts, "category"))
    coded["benchmark"] = coded["benchmark"].cat.reorder_categories(
        coded["benchmark"].cat.categories[::-1]
    )
    assert survey(coded) == expected


def not_searched_again(*_: object) -> None:
    raise AssertionError("a series that did not change is cached")


def only_last_window(values: np.ndarray, begin: int = 0) -> list[int]:
    from sparsebench.stats.change_points import WINDOW, within

    assert values.size < WINDOW, "a full window is cached"
    return within(values, begin)
