"""What a run is to measure, and what of it is there already."""

import json
import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from sparsebench.errors import SparsebenchError
from sparsebench.project import pending
from sparsebench.project.pending import (
    BenchmarkSelection,
    Shard,
    missing,
    select,
    set_aside_damaged,
    shard_of,
)

COMMIT = "0123456789abcdef"
ENV = "virtualenv-py3.11"
BENCHMARKS: dict[str, Any] = {
    "step.Short.time_step": {
        "param_names": ["level", "device"],
        "params": [["0.3", "0.6"], ["'cpu'", "'cuda'"]],
        "version": "v1",
    },
    "step.Long.time_step": {"param_names": ["level"], "params": [["0.9"]], "version": "v1"},
    "import_time": {"param_names": [], "params": [], "version": "v1"},
    "version": 2,
}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    (tmp_path / "benchmarks.json").write_text(json.dumps(BENCHMARKS))
    return tmp_path


def store(results: Path, **rows: Any) -> Path:
    """An asv result file of COMMIT: benchmark to (values, params, version)."""
    content = {
        "version": 2,
        "commit_hash": COMMIT,
        "env_name": ENV,
        "result_columns": ["result", "params", "version", "samples"],
        "results": {name.replace("__", "."): list(row) for name, row in rows.items()},
    }
    path = results / f"{COMMIT[:8]}-{ENV}.json"
    path.write_text(json.dumps(content))
    return path


def lacking(results: Path, selection: BenchmarkSelection) -> list[str]:
    return missing(selection, results, COMMIT, [ENV])


def test_cases_are_chosen_as_asv_chooses_them(results: Path) -> None:
    short = select(results, r"\.Short\.", None).cases
    assert short == {"step.Short.time_step": set(product(["0.3", "0.6"], ["'cpu'", "'cuda'"]))}
    one_level = select(results, r"time_step\(0\.6", None).cases
    assert one_level == {"step.Short.time_step": {("0.6", "'cpu'"), ("0.6", "'cuda'")}}
    assert select(results, "import", None).cases == {"import_time": {()}}
    assert select(results, "time", None).count == 6


def test_a_device_keeps_the_cases_on_it(results: Path) -> None:
    cases = select(results, "time", "cuda").cases
    assert cases == {"step.Short.time_step": {("0.3", "'cuda'"), ("0.6", "'cuda'")}}


@pytest.mark.parametrize(
    ("pattern", "device", "message"),
    [
        ("(", None, r"--bench: must be a regular expression, got '\('"),
        ("Shrot", None, "--bench: must match one of asv's benchmarks, got 'Shrot'"),
        ("Short", "tpu", r"on this machine \(cpu, cuda\), got 'tpu'"),
        ("Long", "cpu", r"on this machine \(none\), got 'cpu'"),
    ],
)
def test_a_choice_of_nothing_is_refused(
    results: Path, pattern: str, device: str | None, message: str
) -> None:
    with pytest.raises(SparsebenchError, match=message):
        select(results, pattern, device)


def test_the_pattern_for_asv_matches_the_missing_cases_alone(results: Path) -> None:
    pattern = select(results, r"0\.[36]", "cpu").asv_pattern(["step.Short.time_step"])
    assert re.search(pattern, "step.Short.time_step(0.3, 'cpu')")
    assert not re.search(pattern, "step.Short.time_step(0.3, 'cuda')")
    assert not re.search(pattern, "step.Short.time_step_more(0.3, 'cpu')")
    assert not re.search(pattern, "stepXShort.time_step(0.3, 'cpu')")
    everything = select(results, ".", None).asv_pattern(["import_time"])
    assert re.search(everything, "import_time")
    assert not re.search(everything, "step.Long.time_step(0.9)")


def test_nothing_stored_means_everything_is_missing(results: Path) -> None:
    assert lacking(results, select(results, "step", None)) == [
        "step.Long.time_step",
        "step.Short.time_step",
    ]


def test_what_has_a_value_is_not_missing(results: Path) -> None:
    store(results, step__Long__time_step=([1.0], [["0.9"]], "v1"))
    assert lacking(results, select(results, "step", None)) == ["step.Short.time_step"]


@pytest.mark.parametrize(
    "row",
    [
        ([1.0, None, 1.0, 1.0], [["0.3", "0.6"], ["'cpu'", "'cuda'"]], "v1"),  # failed
        ([1.0, float("nan"), 1.0, 1.0], [["0.3", "0.6"], ["'cpu'", "'cuda'"]], "v1"),  # not chosen
        ([1.0, 1.0, 1.0, 1.0], [["0.3", "0.6"], ["'cpu'", "'cuda'"]], "v0"),  # another version
        (None, [["0.3", "0.6"], ["'cpu'", "'cuda'"]], "v1"),  # all failed
    ],
)
def test_what_failed_or_is_of_another_version_is_missing(results: Path, row: Any) -> None:
    store(results, step__Short__time_step=row)
    assert lacking(results, select(results, "Short", None)) == ["step.Short.time_step"]


def test_a_value_for_the_asked_device_is_enough(results: Path) -> None:
    values = [1.0, None, 2.0, None]
    store(results, step__Short__time_step=(values, [["0.3", "0.6"], ["'cpu'", "'cuda'"]], "v1"))
    assert lacking(results, select(results, "Short", "cpu")) == []
    assert lacking(results, select(results, "Short", "cuda")) == ["step.Short.time_step"]


def test_a_file_that_cannot_be_read_counts_as_nothing_measured(results: Path) -> None:
    path = store(results, step__Long__time_step=([1.0], [["0.9"]], "v1"))
    path.write_text(path.read_text()[:40])
    assert lacking(results, select(results, "Long", None)) == ["step.Long.time_step"]


def test_a_changed_grid_is_missing_though_the_code_is_the_same(results: Path) -> None:
    values = ([1.0, 1.0, 1.0, 1.0], [["0.3", "0.7"], ["'cpu'", "'cuda'"]], "v1")
    store(results, step__Short__time_step=values)
    assert lacking(results, select(results, "Short", None)) == ["step.Short.time_step"]


def test_a_time_without_samples_is_missing(results: Path) -> None:
    timed = {**BENCHMARKS["step.Long.time_step"], "type": "time"}
    content = json.dumps({"step.Long.time_step": timed})
    (results / "benchmarks.json").write_text(content)
    store(results, step__Long__time_step=([1.0], [["0.9"]], "v1"))
    assert lacking(results, select(results, "Long", None)) == ["step.Long.time_step"]
    store(results, step__Long__time_step=([1.0], [["0.9"]], "v1", [[1.0, 1.1]]))
    assert lacking(results, select(results, "Long", None)) == []


def test_a_damaged_file_is_set_aside_and_a_sound_one_stays(results: Path) -> None:
    path = store(results, step__Long__time_step=([1.0], [["0.9"]], "v1"))
    assert set_aside_damaged(results, COMMIT, [ENV]) == []
    path.write_text(path.read_text()[:40])
    aside = set_aside_damaged(results, COMMIT, [ENV, "other"])
    assert [p.name for p in aside] == [path.name + ".damaged"]
    assert not path.exists()


def test_every_environment_must_have_its_value(results: Path) -> None:
    store(results, step__Long__time_step=([1.0], [["0.9"]], "v1"))
    selection = select(results, "Long", None)
    assert missing(selection, results, COMMIT, [ENV, "other"]) == ["step.Long.time_step"]


MANY: dict[str, Any] = {
    f"area.time_{name}": {
        "param_names": ["n"],
        "params": [[str(n) for n in range(size)]],
        "version": "v1",
        "type": "time",
        "rounds": rounds,
    }
    for name, size, rounds in [("a", 288, 2), ("b", 7, 4), ("c", 1, 1)]
} | {"import_time": {"param_names": [], "params": [], "version": "v1", "type": "track"}}


def sharded(results: Path, count: int) -> list[BenchmarkSelection]:
    (results / "benchmarks.json").write_text(json.dumps(MANY))
    everything = select(results, ".", None)
    return [shard_of(everything, results, Shard(index, count)) for index in range(1, count + 1)]


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_every_case_falls_to_one_shard_and_all_take_as_long(tmp_path: Path, count: int) -> None:
    shards = sharded(tmp_path, count)
    cases = [(n, c) for shard in shards for n, each in shard.cases.items() for c in each]
    assert len(cases) == len(set(cases)) == 288 + 7 + 1 + 1
    sizes = [shard.count for shard in shards]
    costs = [
        sum(pending.expected_seconds(MANY[n]) * len(c) for n, c in s.cases.items()) for s in shards
    ]
    assert max(costs) - min(costs) <= 0.64  # the cost of one case of time_a
    assert max(sizes) - min(sizes) <= 8
    assert shards == sharded(tmp_path, count)


def test_the_pattern_of_a_shard_matches_its_cases_alone(tmp_path: Path) -> None:
    shards = sharded(tmp_path, 3)
    patterns = [re.compile(shard.asv_pattern(shard.cases)) for shard in shards]
    for name, entry in MANY.items():
        for case in product(*entry["params"]):
            text = f"{name}({', '.join(case)})" if case else name
            hits = [bool(pattern.search(text)) for pattern in patterns]
            assert hits == [case in shard.cases.get(name, ()) for shard in shards]
            assert sum(hits) == 1


def test_a_shard_without_a_case_and_one_with_too_many_are_reported(tmp_path: Path) -> None:
    (everything,) = sharded(tmp_path, 1)
    with pytest.raises(SparsebenchError, match=r"as many as there are cases \(297\), got 298/299"):
        shard_of(everything, tmp_path, Shard(298, 299))
    long = BenchmarkSelection(
        {"x": frozenset({("a" * 130_000,)})}, frozenset(), {}, ".", None, sharded=True
    )
    with pytest.raises(SparsebenchError, match="split into more shards"):
        long.asv_pattern(["x"])
