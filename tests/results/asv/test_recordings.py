"""Recordings beside asv's result files, and the rows that they become."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sparsebench.results.ingestion import ingest
from sparsebench.results.reader import read
from sparsebench.results.table.file_columns import satisfies

WriteResult = Callable[..., Path]
START = 1_700_000_000_000  # ms
H100 = "NVIDIA H100 80GB HBM3"


def environment(**fields: Any) -> dict[str, Any]:
    facts = {"kind": "environment", "format": 1, "time": START, "run": None, "python": "3.11.7"}
    return facts | {"versions": {"torch": "2.13.0+cpu", "numpy": "2.3.5"}} | fields


def case(level: str, *values: float, **fields: Any) -> dict[str, Any]:
    how = {"benchmark": "step.Long.time_step", "asv_name": "step.LongCUDA.track_wall"}
    params = {"param_names": ["level", "device"], "params": [level, "'cuda'"]}
    line = {"kind": "case", "time": START, "run": "run-1", "type": "time", "unit": "seconds"}
    line |= how | params | {"values": values, "sampled": len(values) > 1, "version": "v1"}
    line |= {"duration": 0.5, "settings": {"method": "wall"}, "digest": None, "error": None}
    return line | {"threads": 2, "state": {}} | fields


def write_recording(path: Path, *lines: dict[str, Any], end: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + end, encoding="utf-8")
    return path


def beside(path: Path) -> Path:
    return path.with_name(path.name.replace(".json", ".recorded.jsonl"))


def stored(tmp_path: Path, *sources: Path) -> pd.DataFrame:
    report = ingest(list(sources), tmp_path / "dataset")
    assert report.problems == ()
    return read(tmp_path / "dataset")


def test_what_was_recorded_wins_and_the_difference_is_named(
    tmp_path: Path, write_result: WriteResult
) -> None:
    declared = {"torch": "9.9.9", "numpy": "", "pip+scipy": "1.17"}
    path = write_result({"time_x": [[1.0], [], "v", START + 5]}, requirements=declared)
    write_recording(beside(path), environment(threads=2, cuda="13.0", gpu=H100, run="run-1"))
    (row,) = stored(tmp_path, path).to_dict("records")
    assert (row["torch"], row["numpy"], row["python"]) == ("2.13.0+cpu", "2.3.5", "3.11.7")
    assert row["mismatch"] == (
        "torch: declared 9.9.9, measured with 2.13.0+cpu; pip+scipy: declared 1.17, not installed"
    )
    assert (row["threads"], row["cuda"], row["gpu"], row["run"]) == (2, "13.0", H100, "run-1")
    assert row["versions"] == {"python": "3.11.7", "torch": "2.13.0+cpu", "numpy": "2.3.5"}


def test_in_an_existing_environment_the_declared_versions_are_recorded(
    tmp_path: Path, write_result: WriteResult
) -> None:
    """asv writes neither requirements nor a version of Python for it, only the path."""
    path = write_result({"time_x": [[1.0], [], "v", START]}, python="/opt/python")
    declared = {"torch": ["9.9.9", "9.9.8"], "numpy": [], "scipy": [], "numba": ["1.0"]}
    write_recording(beside(path), environment(declared=declared))
    (row,) = stored(tmp_path, path).to_dict("records")
    assert (row["python"], row["torch"]) == ("3.11.7", "2.13.0+cpu")
    assert row["mismatch"] == (
        "torch: declared 9.9.9 or 9.9.8, measured with 2.13.0+cpu; "
        "numba: declared 1.0, not installed"
    )


def test_cases_of_an_existing_environment_belong_to_the_file_with_the_same_numbers(
    tmp_path: Path, write_result: WriteResult
) -> None:
    write_recording(
        tmp_path / "generated/results/workstation/existing-py.recorded.jsonl",
        environment(),
        case("0.5", 1.0, 2.0, 6.0, time=START),
        case("0.5", 3.0, 4.0, 5.0, time=START + 10),
        case("0.5", 8.0, 9.0, time=START + 20),
        case("0.9", error="broken", time=START + 10),
    )
    for digit, value in (("a", 2.0), ("b", 4.0)):
        write_result(
            {"step.LongCUDA.track_wall": [[value, None], [["0.5", "0.9"], ["'cuda'"]], "v"]},
            name=f"{digit * 8}-existing-py-VARIABLE1.json",
            env_name="existing-py-VARIABLE1",
            commit_hash=digit * 40,
        )
    frame = stored(tmp_path, tmp_path / "generated")
    assert set(frame["benchmark"]) == {"step.Long.time_step"}
    frame = frame.set_index(frame["commit_hash"].str[0] + frame["level"].astype(str))
    assert frame["value"].dropna().to_dict() == {"a0.5": 2.0, "b0.5": 4.0}
    assert frame["error"].dropna().to_dict() == {"a0.9": "broken", "b0.9": "broken"}
    assert frame.loc["b0.5", "samples"].tolist() == [3.0, 4.0, 5.0]


def test_without_a_recording_rows_say_what_asv_declares(
    tmp_path: Path, write_result: WriteResult
) -> None:
    path = write_result({"time_x": [[1.0], [], "v", START]}, requirements={"torch": "9.9.9"})
    (row,) = stored(tmp_path, path).to_dict("records")
    assert row["torch"] == "9.9.9"
    assert all(pd.isna(row[name]) for name in ("mismatch", "versions", "run", "threads"))


def test_the_device_cuda_of_rocm_is_stored_as_rocm(
    tmp_path: Path, write_result: WriteResult
) -> None:
    listed = {"name": "time_x", "param_names": ["device"], "type": "time", "unit": "seconds"}
    devices = ["'cuda'", "'cpu'", "'mps'", "'xpu'"]
    path = write_result(
        {"time_x": [[1.0, 2.0, 3.0, 4.0], [devices], "v", START]}, benchmarks={"time_x": listed}
    )
    write_recording(beside(path), environment(hip="6.4.43484"))
    frame = stored(tmp_path, path)
    assert frame["device"].tolist() == ["rocm", "cpu", "mps", "xpu"]
    assert set(frame["cuda"]) == {"HIP 6.4.43484"}


def test_an_existing_environment_has_one_recording_for_all_commits(
    tmp_path: Path, write_result: WriteResult
) -> None:
    write_recording(
        tmp_path / "generated/results/workstation/env.recorded.jsonl",
        environment(time=START, versions={"torch": "2.11.0"}),
        environment(time=START + 10_000, versions={"torch": "2.13.0"}),
    )
    for digit, started in (("a", START + 5), ("b", START + 10_005)):
        write_result(
            {"time_x": [[1.0], [], "v", started]},
            name=f"{digit * 8}-env.json",
            commit_hash=digit * 40,
        )
    frame = stored(tmp_path, tmp_path / "generated")
    assert dict(zip(frame["commit_hash"].str[0], frame["torch"], strict=True)) == {
        "a": "2.11.0",
        "b": "2.13.0",
    }


@pytest.mark.parametrize(
    ("seconds_before", "commit", "expected"),
    [
        *((5, None, True), (70, None, True), (90, None, False)),
        *((-10, None, True), (-20, None, False)),
        *((90, "a" * 40, True), (9000, "a" * 40, True), (-50, "a" * 40, True)),
    ],
)
def test_a_line_without_a_commit_counts_for_what_started_near_it(
    tmp_path: Path,
    write_result: WriteResult,
    seconds_before: int,
    commit: str | None,
    expected: bool,
) -> None:
    """Another run, without the recorder, may have come since."""
    path = write_result({"time_x": [[1.0], [], "v", START]})
    line = environment(time=START - 1000 * seconds_before, commit=commit)
    write_recording(beside(path) if commit else beside(path).with_name("env.recorded.jsonl"), line)
    (row,) = stored(tmp_path, path).to_dict("records")
    assert (row["torch"] == "2.13.0+cpu") == expected


def test_a_recorded_case_is_one_row_and_asvs_copy_of_it_none(
    tmp_path: Path, write_result: WriteResult
) -> None:
    tracks = {"step.LongCUDA.track_wall": [[2.0, None], [["0.5", "0.9"], ["'cuda'"]], "v", START]}
    others = {"step.Long.time_step": [[7.0], [["0.5"], ["'cpu'"]], "v1", START]}
    path = write_result(tracks | others)
    state = {
        "start": {"sm_clock": 1000, "temperature": 40, "energy": 10.0, "throttle": []},
        "during": {"sm_clock": 1900, "temperature": 55, "energy": 14.0, "throttle": ["power cap"]},
        "end": {"sm_clock": 1980, "temperature": 50, "energy": 15.5, "throttle": []},
    }
    write_recording(
        beside(path),
        environment(gpu=H100),
        case("0.5", 1.0, 2.0, 6.0, digest="ab" * 32, state=state),
        case("0.9", error="CUDA error: out of memory"),
    )
    frame = stored(tmp_path, path).set_index(["benchmark", "case"])
    assert sorted(frame.index) == [
        ("step.Long.time_step", "0.5, cpu"),
        ("step.Long.time_step", "level=0.5, device=cuda"),
        ("step.Long.time_step", "level=0.9, device=cuda"),
    ]
    good = frame.loc[("step.Long.time_step", "level=0.5, device=cuda")]
    assert (good["value"], good["unit"], good["samples"].tolist()) == (2.0, "seconds", [1, 2, 6])
    assert (good["digest"], good["benchmark_version"], good["device"]) == ("ab" * 6, "v1", "cuda")
    assert (good["sm_clock"], good["temperature"], good["energy"]) == (1900, 55, 5.5)
    assert good["throttle"] == "power cap"
    assert good["gpu_states"] == state
    assert "method=wall" in good["fingerprint"] or "wall" in good["fingerprint"]
    bad = frame.loc[("step.Long.time_step", "level=0.9, device=cuda")]
    assert (bad["status"], bad["error"]) == ("failed", "CUDA error: out of memory")


def test_a_line_that_was_cut_off_is_counted_and_the_others_are_stored(
    tmp_path: Path, write_result: WriteResult
) -> None:
    path = write_result({"time_x": [[1.0], [], "v", START]})
    write_recording(beside(path), environment(), end='{"kind": "case", "val')
    report = ingest([path], tmp_path / "dataset")
    assert report.problems == (f"{beside(path)}: 1 lines cannot be read as recordings, skipped",)
    assert read(tmp_path / "dataset")["torch"].tolist() == ["2.13.0+cpu"]


def test_a_longer_recording_is_ingested_again_and_an_equal_one_is_not(
    tmp_path: Path, write_result: WriteResult
) -> None:
    path = write_result({"time_x": [[1.0], [], "v", START]})
    assert stored(tmp_path, path)["run"].isna().all()
    write_recording(beside(path), environment(run="run-2"))
    assert stored(tmp_path, path)["run"].tolist() == ["run-2"]
    assert [o.state for o in ingest([path], tmp_path / "dataset").outcomes] == ["unchanged"]


def test_cases_without_a_result_file_of_asv_are_stored(tmp_path: Path) -> None:
    facts = {"commit": "c" * 40, "env_name": "env", "machine": "box", "commit_date": START}
    path = tmp_path / "results" / "box" / "cccccccc-env.recorded.jsonl"
    write_recording(path, environment(**facts), case("0.5", 1.0, 2.0))
    write_recording(path.with_name("dddddddd-env.recorded.jsonl"), environment(**facts))
    (row,) = stored(tmp_path, tmp_path / "results").to_dict("records")
    assert (row["machine"], row["commit_hash"], row["env_name"]) == ("box", "c" * 40, "env")
    assert row["commit_date"] == pd.Timestamp(START, unit="ms", tz="UTC")
    assert (row["value"], row["torch"]) == (1.5, "2.13.0+cpu")
    digest = hashlib.sha256(hashlib.sha256(b"").hexdigest().encode()).hexdigest()
    assert row["source_sha256"] != digest


def test_cases_of_an_unknown_commit_are_refused_by_name(tmp_path: Path) -> None:
    path = write_recording(
        tmp_path / "results" / "box" / "env.recorded.jsonl", environment(), case("0.5", 1.0)
    )
    report = ingest([path], tmp_path / "dataset")
    assert report.problems == (f"{path}: must hold an environment line with commit and env_name",)


def test_rows_without_and_with_the_cards_name_are_of_one_machine(
    tmp_path: Path, write_result: WriteResult
) -> None:
    old = write_result({"time_x": [[1.0], [], "v", START]})
    stored(tmp_path, old)
    new = write_result(
        {"time_x": [[1.0], [], "v", START]}, name="bbbbbbbb-env.json", commit_hash="b" * 40
    )
    write_recording(beside(new), environment(gpu=H100))
    frame = stored(tmp_path, new)
    assert set(frame["machine"]) == {"workstation"}
    other = write_result(
        {"time_x": [[1.0], [], "v", START]}, name="cccccccc-env.json", commit_hash="c" * 40
    )
    write_recording(beside(other), environment(gpu="NVIDIA L4"))
    names = set(stored(tmp_path, other)["machine"])
    assert {f"workstation (gpu {card})" for card in (H100, "NVIDIA L4")} <= names


@pytest.mark.parametrize(
    ("actual", "declared", "expected"),
    [
        ("2.13.0+cpu", "2.13.0", True),
        ("2.13.0+cpu", "2.13", True),
        ("2.13.0", "2.13.0+cu130", False),
        ("2.11.0", "2.1", False),
        ("2.11.0", ">=2", True),
        ("2.11.0", "~=2.13.0", False),
        ("3.11.7", "3.11", True),
        ("1.0rc1", "1.0", False),
        ("1.0rc1", "1.0rc1", True),
        ("2.11.3", "2.11.*", True),
        ("2.12.0", "2.11.*", False),
        ("1.0", "git+https://example.org/x", True),
        ("1.0", "", True),
    ],
)
def test_an_actual_version_satisfies_a_declared_one(
    actual: str, declared: str, expected: bool
) -> None:
    assert satisfies(actual, declared) is expected
