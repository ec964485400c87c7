"""The cases of a class in one process: isolation, selection, and what is recorded. On the CPU."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import _cuda, reference, step
from benchmarks._cuda import Prepared, measure, number, selected
from sparsebench import recorder
from sparsebench.project.processes import is_running
from sparsebench.results import ingest, read
from tests.conftest import git

ROOT = Path(__file__).parents[2]

COMMIT = "c" * 40


class _Tiny:
    """A class whose cases do what their names say."""

    param_names = ["case", "device"]
    params = (["first", "raises", "exits", "hangs", "last"], ["cpu", "cuda"])
    timed = "time_it"

    @staticmethod
    def prepare(case: str, device: str) -> Prepared:
        def call() -> None:
            if case == "raises":
                raise ValueError("bad weights\nand a second line")
            if case == "exits":
                os._exit(7)
            if case == "hangs":
                time.sleep(60)

        return Prepared(call, lambda: torch.tensor([[1.0, 0.0]]))


class Broken(_Tiny):
    params = (["exits", "raises", "exits too", "x", "y", "z"], ["cpu"])

    @staticmethod
    def prepare(case: str, device: str) -> Prepared:
        os._exit(1)


@pytest.fixture
def recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that cases are written to, with a line on the environment."""
    monkeypatch.setenv("ASV_CONF_DIR", str(tmp_path))
    monkeypatch.setenv("ASV_COMMIT", COMMIT)
    monkeypatch.setenv("ASV_ENV_NAME", "env")
    monkeypatch.setenv(recorder.MACHINE, "box")
    monkeypatch.setenv(recorder.RUN, "run-1")
    monkeypatch.delenv(_cuda.SELECT, raising=False)
    (tmp_path / "results" / "box").mkdir(parents=True)
    path = recorder.record(threads=1)
    assert path is not None
    return path


def lines(path: Path) -> list[dict[str, Any]]:
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    return [entry for entry in entries if entry["kind"] == "case"]


def test_a_failing_case_fails_alone(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_cuda, "CASE_SECONDS", 1.0)
    results = measure(_Tiny, "cpu")
    assert list(results) == [(case, "cpu") for case in _Tiny.params[0]]
    good = results["last", "cpu"]
    assert good["wall"] > 0
    assert good["measured_sparsity"] == 0.5
    errors = {case: result.get("error") for (case, _), result in results.items()}
    assert errors == {
        "first": None,
        "raises": "ValueError: bad weights",
        "exits": "its process ended with exit code 7",
        "hangs": "timed out after 1 s",
        "last": None,
    }
    with pytest.raises(RuntimeError, match="exit code 7"):
        number(results["exits", "cpu"], "digest")
    with pytest.raises(RuntimeError, match="was not measured"):
        number(good, "device_cold")


def test_what_was_measured_is_stored_under_the_names_of_the_cpu(recording: Path) -> None:
    cls = type("Tiny", (_Tiny,), {"params": (["first", "raises"], ["cpu"])})
    cls.__module__ = "benchmarks.step"
    results = measure(cls, "cpu")
    ingest([recording.parents[1]], recording.parents[2] / "dataset")
    frame = read(recording.parents[2] / "dataset").set_index(["benchmark", "case"])
    assert sorted(frame.index) == [
        ("step.Tiny.time_it", "case=first, device=cpu"),
        ("step.Tiny.time_it", "case=raises, device=cpu"),
        ("step.Tiny.track_digest", "case=first, device=cpu"),
        ("step.Tiny.track_measured_sparsity", "case=first, device=cpu"),
    ]
    row = frame.loc[("step.Tiny.time_it", "case=first, device=cpu")]
    assert row["value"] == results["first", "cpu"]["wall"]
    assert len(row["samples"]) == 200
    assert (row["run"], row["threads"], row["commit_hash"]) == ("run-1", 1, COMMIT)
    assert int(row["digest"][:12], 16) == results["first", "cpu"]["digest"]
    assert row["torch"] == torch.__version__
    failed = frame.loc[("step.Tiny.time_it", "case=raises, device=cpu")]
    assert (failed["status"], failed["error"]) == ("failed", "ValueError: bad weights")


def test_a_broken_device_ends_the_class_after_three_processes(recording: Path) -> None:
    results = measure(Broken, "cpu")
    errors = [result["error"] for result in results.values()]
    assert errors[:3] == ["its process ended with exit code 1"] * 3
    assert errors[3:] == ["not measured: 3 processes in a row failed in their first case"] * 3
    assert [line["error"] for line in lines(recording)] == errors


def test_a_killed_run_keeps_the_cases_that_were_done(recording: Path) -> None:
    code = (
        "from tests.benchmarks.test_cuda import _Tiny; from benchmarks._cuda import measure;"
        "_Tiny.params = (['first', 'hangs'], ['cpu']); measure(_Tiny, 'cpu')"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=dict(os.environ)) as child:
        for _ in range(600):
            if lines(recording):
                break
            time.sleep(0.1)
        (own,) = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
        child.kill()
    for _ in range(100):
        if not is_running(int(own)):
            break
        time.sleep(0.05)
    assert not is_running(int(own))
    assert {line["params"][0] for line in lines(recording)} == {"'first'"}


def test_only_what_bench_selects_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(_cuda.SELECT, r"^(?=.*LongCUDA)(?=.*\(.*'cuda')(?=.*level=0.3,block=1x4)")
    cases = list(selected(step.Long, "cuda"))
    assert len(cases) == 2 * 6 * 2  # shapes, zeros, weights
    assert {case[1] for case in cases} == {"cuda"}
    monkeypatch.setenv(_cuda.SELECT, "step.Long.time_step")
    assert list(selected(step.Long, "cuda")) == []
    monkeypatch.delenv(_cuda.SELECT)
    assert len(list(selected(step.Long, "cuda"))) == 288 * 2


def test_the_step_of_torch_ao_has_no_device_time() -> None:
    (first, *_) = selected(reference.Short, "cpu")
    assert not reference.Short.prepare(*first).queues
    (first, *_) = selected(step.Short, "cpu")
    assert step.Short.prepare(*first).queues


TINY = """
from benchmarks._cuda import Prepared, Results, _StepOnCUDA, measure, params_on
from benchmarks.step import Short


class _Tiny:
    param_names = ["case", "device"]
    params = (["good", "bad"], ["cuda"])
    timed = "time_step"

    @staticmethod
    def prepare(case, device):
        return Prepared(lambda: None if case == "good" else 1 / 0)


class TinyCUDA(_StepOnCUDA):
    param_names, params = _Tiny.param_names, params_on(_Tiny, "cpu")

    def setup_cache(self):
        return measure(_Tiny, "cpu")
"""


def test_asv_returns_the_numbers_and_ingest_stores_each_once(tmp_path: Path) -> None:
    """The suite itself under asv, in an existing environment, with one more class."""
    shutil.copytree(
        ROOT / "benchmarks", tmp_path / "benchmarks", ignore=shutil.ignore_patterns("__pycache__")
    )
    (tmp_path / "sparsebench").mkdir()
    shutil.copy(recorder.__file__, tmp_path / "sparsebench")
    (tmp_path / "benchmarks" / "tiny.py").write_text(TINY)
    config = {"version": 1, "project": "x", "repo": ".", "branches": ["HEAD"]}
    matrix = {"environment_type": "existing", "matrix": {"req": {"torch": ["9.9.9"]}}}
    launch = {"pythons": [sys.executable], "launch_method": "forkserver"}
    (tmp_path / "asv.conf.json").write_text(json.dumps(config | matrix | launch))
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "asv.conf.json")
    git(tmp_path, "commit", "--quiet", "--message", "one")
    asv = [sys.executable, "-m", "asv"]
    quiet = {"cwd": tmp_path, "env": {**os.environ, "HOME": str(tmp_path)}, "capture_output": True}
    subprocess.run([*asv, "machine", "--yes"], check=True, **quiet)  # type: ignore[call-overload]
    commit = git(tmp_path, "rev-parse", "HEAD")
    done = subprocess.run(  # type: ignore[call-overload]
        [*asv, "run", "--set-commit-hash", commit, "--bench", "TinyCUDA"], check=False, **quiet
    )
    assert done.returncode == 2, done.stdout  # one case fails
    ingest([tmp_path / "results"], tmp_path / "dataset")
    frame = read(tmp_path / "dataset").set_index(["benchmark", "case"])
    assert sorted(frame.index) == [
        ("tiny.Tiny.time_step", "case=bad, device=cpu"),
        ("tiny.Tiny.time_step", "case=good, device=cpu"),
    ]
    good, bad = (
        frame.loc[("tiny.Tiny.time_step", f"case={c}, device=cpu")] for c in ("good", "bad")
    )
    assert good["value"] > 0
    assert bad["error"] == "ZeroDivisionError: division by zero"
    assert good["mismatch"] == f"torch: declared 9.9.9, measured with {torch.__version__}"
    (path,) = (tmp_path / "results").glob("*/*-existing-*.json")
    row = json.loads(path.read_text())["results"]["tiny.TinyCUDA.track_wall"]
    assert row[0] == [good["value"], None]


DISCOVER = """
import json, sys, torch
torch.version.cuda, torch.cuda.device_count = "13.0", lambda: 1
from asv_runner.discovery import disc_benchmarks
found = {}
for benchmark in disc_benchmarks(sys.argv[1]):
    params = dict(zip(benchmark.param_names, benchmark.params))
    devices = params.get("device", [])
    found[benchmark.name] = [devices, benchmark.setup_cache_key, benchmark.setup_cache_timeout]
json.dump(found, sys.stdout)
"""


@pytest.mark.parametrize("in_gate", [False, True])
def test_what_asv_and_the_gate_find_where_there_is_a_gpu(in_gate: bool) -> None:
    """By a torch that says it has one: nothing is measured, so none is needed."""
    environment = {**os.environ, **({recorder.WORKER: "1"} if in_gate else {})}
    done = subprocess.run(
        [sys.executable, "-c", DISCOVER, str(ROOT / "benchmarks")],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    together = {name for name in found if "CUDA." in name}
    timed = ["step.Long.time_step", "step.LLM.time_step", "floor.Copy.time_copy"]
    both, cpu = ["'cpu'", "'cuda'"], ["'cpu'"]
    assert all(found[name][0] == (both if in_gate else cpu) for name in timed)
    assert found["activation.Step.time_step"][0] == both
    assert ("breakeven.MatmulHalf.time_forward" in found) == in_gate
    if in_gate:
        assert not together
        return
    assert {name.rpartition(".")[0] for name in together} == {
        *("step.ShortCUDA", "step.LongCUDA", "step.LLMCUDA", "floor.CopyCUDA"),
        *("reference.ShortCUDA", "reference.LongCUDA", "reference.LLMCUDA"),
        *("breakeven.MatmulCUDA", "breakeven.MatmulHalfCUDA", "breakeven.MaskCUDA"),
    }
    caches = {name.rpartition(".")[0]: tuple(found[name][1:]) for name in together}
    assert len(set(caches.values())) == len(caches)  # asv takes those with one key for one
    assert all(seconds == _cuda.SETUP_SECONDS for _, seconds in caches.values())
    assert all(found[name][0] == ["'cuda'"] for name in together)
    tracks = {name.rpartition(".")[2] for name in together if name.startswith("step.LongCUDA")}
    assert tracks == {f"track_{q}" for q in ("wall", "device_cold", "device_warm", "digest")}
    tracks = {name.rpartition(".")[2] for name in together if name.startswith("reference.LLMCUDA")}
    assert tracks == {"track_wall", "track_digest"}
