"""A whole history searched: steps, shifts of a machine, new series, and what is left out."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sparsebench.analysis.history import COLUMNS, History, Step, explained, steps, survey
from sparsebench.analysis.history.cache import Memory
from sparsebench.analysis.history.reasons import HARDWARE
from tests import histories
from tests.histories import as_frame, eventful, quiet


def frame_of(logs: np.ndarray, **columns: object) -> pd.DataFrame:
    frame = as_frame({"m": histories.History(logs, harness=np.zeros(logs.shape, dtype=np.int64))})
    return frame.assign(**columns)


def few(series: int = 3, snapshots: int = 40) -> np.ndarray:
    rng = np.random.default_rng(5)
    return np.log(1e-3) + rng.normal(0, 0.01, (series, snapshots))


@pytest.fixture(scope="module")
def made_up() -> tuple[histories.History, pd.DataFrame, History]:
    history = eventful(120, 300, 3)
    frame = as_frame({"m": history})
    return history, frame, survey(frame)


def test_a_step_says_where_when_how_much_and_whether_it_is_still_there() -> None:
    logs = few(snapshots=120)
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
        ("n=2", True, "went away"),
    ]
    assert [s.importance for s in found] == sorted((s.importance for s in found), reverse=True)


def test_of_a_rate_less_is_worse() -> None:
    logs = few()
    logs[0, 20:] -= 0.3
    (step,) = steps(frame_of(logs, direction="higher", fingerprint=None))
    assert step.worse
    assert step.fingerprint == ""


def test_a_shift_of_the_machine_is_told_once_and_is_no_step(
    made_up: tuple[histories.History, pd.DataFrame, History],
) -> None:
    history, _, found = made_up
    truth = [one for one in history.planted if one.series is None]
    told = sorted(found.shifts, key=lambda shift: shift.commit)
    assert [int(shift.commit[:8], 16) for shift in told] == [one.place for one in truth]
    for shift, one in zip(told, truth, strict=True):
        assert np.log1p(shift.change.value) == pytest.approx(one.size, abs=0.03)
        near = [s for s in found.steps if abs(int(s.commit[:8], 16) - one.place) <= 2]
        assert near == []


def test_most_steps_of_a_made_up_history_are_true(
    made_up: tuple[histories.History, pd.DataFrame, History],
) -> None:
    history, _, found = made_up
    places = {(one.series, one.place) for one in history.planted}
    true = [
        any((number_of(step), int(step.commit[:8], 16) + off) in places for off in range(-4, 5))
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


def test_another_harness_starts_a_new_series_and_is_no_regression() -> None:
    logs = few()
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


def test_series_side_by_side_do_not_give_way_to_each_other() -> None:
    frame = frame_of(few())
    both = pd.concat([frame, frame.assign(env_name="other")], ignore_index=True)
    assert survey(both).new_series == []


def test_what_cannot_be_searched_is_counted() -> None:
    frame = frame_of(few(4, 40))
    frame.loc[frame["case"].eq("n=0"), "value"] = 0.0
    frame = frame[~(frame["case"].eq("n=1") & (frame["commit_hash"] >= f"{7:08x}"))]
    exact = frame.assign(benchmark="track_digest", direction="exact")
    found = survey(pd.concat([frame, exact], ignore_index=True))
    assert (found.series, found.short, found.unfit) == (3, 1, 1)
    assert survey(frame[:0]) == History([], [], [], 0, 0, 0)


def test_of_a_case_measured_twice_the_newer_measurement_counts() -> None:
    logs = few()
    old = frame_of(logs + np.repeat([0.0, 1.0], 20)).assign(started_at=pd.NaT)
    assert steps(pd.concat([frame_of(logs), old], ignore_index=True)) == []
    assert len(steps(old)) == 3


def test_the_same_is_found_from_memory_with_processes_and_with_a_broken_memory(
    made_up: tuple[histories.History, pd.DataFrame, History],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, frame, expected = made_up
    memory = Memory(tmp_path / "deep" / "memory.sqlite")
    calls: list[tuple[int, int]] = []
    before = frame[frame["commit_hash"] < frame["commit_hash"].max()]
    survey(before, memory=memory, progress=lambda *done: calls.append(done))
    assert calls[-1] == (expected.series, expected.series)
    monkeypatch.setattr("sparsebench.analysis.history.search.within", only_short)
    assert survey(frame, memory=memory) == expected
    monkeypatch.setattr("sparsebench.analysis.history.search.change_points", not_again)
    assert survey(frame, memory=memory) == expected
    with pytest.raises(AssertionError):
        survey(frame, 0.03, memory=memory)
    monkeypatch.undo()
    monkeypatch.setattr("sparsebench.analysis.history.search._WORTH", 1)
    assert survey(frame, processes=2) == expected
    broken = tmp_path / "broken.sqlite"
    broken.write_bytes(b"not a database" * 100)
    assert survey(frame, memory=Memory(broken)) == expected


def test_categories_give_the_same(
    made_up: tuple[histories.History, pd.DataFrame, History],
) -> None:
    _, frame, expected = made_up
    texts = frame.columns.difference(["value", "commit_date", "started_at"])
    coded = frame.astype(dict.fromkeys(texts, "category"))
    coded["benchmark"] = coded["benchmark"].cat.reorder_categories(
        coded["benchmark"].cat.categories[::-1]
    )
    assert survey(coded) == expected


def not_again(*_: object) -> None:
    raise AssertionError("a series that did not change is remembered")


def only_short(values: np.ndarray, begin: int = 0) -> list[int]:
    from sparsebench.stats.change_points import WINDOW, within

    assert values.size < WINDOW, "a whole window is remembered"
    return within(values, begin)
