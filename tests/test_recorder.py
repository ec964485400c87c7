"""What the recorder writes beside asv's results."""

# ruff: noqa: N802  # the names of NVML

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sparsebench import recorder

COMMIT = "0123456789abcdef" * 2 + "01234567"


class FakeNvml(SimpleNamespace):
    """Two cards, as the module pynvml shows them; the second has no energy counter."""

    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0

    def nvmlInit(self) -> None: ...
    def nvmlSystemGetDriverVersion(self) -> bytes:
        return b"570.86.15"

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> int:
        return {"GPU-a": 0, "GPU-b": 1}[uuid]

    def nvmlDeviceGetName(self, handle: int) -> str:
        return ["NVIDIA H100 80GB HBM3", "NVIDIA L4"][handle]

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> SimpleNamespace:
        return SimpleNamespace(total=[85_520_809_984, 24_152_899_584][handle])

    def nvmlDeviceGetCudaComputeCapability(self, handle: int) -> tuple[int, int]:
        return [(9, 0), (8, 9)][handle]

    def nvmlDeviceGetEnforcedPowerLimit(self, handle: int) -> int:
        return [700_000, 72_000][handle]

    def nvmlDeviceGetClockInfo(self, handle: int, kind: int) -> int:
        return {1: 1980, 2: 2619}[kind]

    def nvmlDeviceGetTemperature(self, handle: int, kind: int) -> int:
        return 41

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:
        return 118_500

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> int:
        if handle == 1:
            raise RuntimeError("Not Supported")
        return 2_500

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: int) -> int:
        return 0x4


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml())  # type: ignore[arg-type]


@pytest.fixture
def asv_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The environment variables of a process that asv starts; returns the machine's folder."""
    machine = tmp_path / "results" / "workstation"
    machine.mkdir(parents=True)
    (machine / "machine.json").write_text('{"machine": "workstation"}')
    monkeypatch.setenv("ASV_CONF_DIR", str(tmp_path))
    monkeypatch.setenv("ASV_COMMIT", COMMIT)
    monkeypatch.setenv("ASV_ENV_NAME", "virtualenv-py3.11")
    for name in (recorder.RUN, recorder.MACHINE, recorder.WORKER):
        monkeypatch.delenv(name, raising=False)
    return machine


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_run_is_recorded_once_beside_its_result_file(asv_run: Path) -> None:
    path = recorder.record(threads=2)
    assert path == asv_run / "01234567-virtualenv-py3.11.recorded.jsonl"
    assert recorder.record(threads=2) == path
    (line,) = lines(path)
    assert line["commit"] == COMMIT
    assert line["threads"] == 2
    assert line["versions"]["numpy"] == __import__("numpy").__version__
    assert line["versions"]["torch"] == __import__("torch").__version__
    assert line["python"] == ".".join(map(str, sys.version_info[:3]))
    recorder.record(threads=4)
    assert [line["threads"] for line in lines(path)] == [2, 4]


def test_the_id_of_the_run_and_its_machine_come_from_bench(
    asv_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = asv_run.parent / "other"
    other.mkdir()
    (other / "machine.json").write_text("{}")
    os.utime(other / "machine.json", ns=(0, 0))
    monkeypatch.setenv(recorder.MACHINE, "other")
    monkeypatch.setenv(recorder.RUN, "run-1")
    path = recorder.record()
    assert path is not None
    assert path.parent == other
    assert lines(path)[0]["run"] == "run-1"
    monkeypatch.setenv(recorder.RUN, "run-2")
    recorder.record()
    assert [line["run"] for line in lines(path)] == ["run-1", "run-2"]


def test_without_a_machine_from_bench_the_newest_folder_is_meant(asv_run: Path) -> None:
    older = asv_run.parent / "a-machine-of-before"
    older.mkdir()
    (older / "machine.json").write_text("{}")
    os.utime(older / "machine.json", ns=(0, 0))
    path = recorder.record()
    assert path is not None
    assert path.parent == asv_run


def test_nothing_is_written_outside_asv_in_discovery_and_in_the_gate(
    asv_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "argv", ["benchmark.py", "discover"])
        assert recorder.record() is None
    with monkeypatch.context() as patch:
        patch.setenv(recorder.WORKER, "1")
        assert recorder.record() is None
    monkeypatch.delenv("ASV_CONF_DIR")
    assert recorder.record() is None
    assert [path.name for path in asv_run.iterdir()] == ["machine.json"]


def test_an_existing_environment_is_known_by_the_command_line_only(
    asv_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """asv 0.6.6 sets none of its variables there."""
    for name in ("ASV_CONF_DIR", "ASV_COMMIT", "ASV_ENV_NAME"):
        monkeypatch.delenv(name)
    benchmarks = tmp_path / "suite" / "benchmarks"
    benchmarks.mkdir(parents=True)
    (tmp_path / "asv.conf.json").write_text(
        '{ // "results_dir": "old",\n "matrix": {"req": {"torch": ["9.9.9"], "six": []}},\n}'
    )
    monkeypatch.setattr(sys, "argv", ["/x/asv/benchmark.py", "run_server", str(benchmarks), "s"])
    monkeypatch.setattr(sys, "executable", "/opt/python")
    path = recorder.record()
    assert path == asv_run / "existing-py_opt_python.recorded.jsonl"
    (line,) = lines(path)
    assert (line["commit"], line["env_name"]) == (None, "existing-py_opt_python")
    assert line["declared"] == {"torch": ["9.9.9"], "six": []}
    monkeypatch.setenv(recorder.COMMIT, COMMIT)
    assert recorder.record() == asv_run / "01234567-existing-py_opt_python.recorded.jsonl"


def test_a_configuration_in_jsonc_is_found_and_none_at_all_is_said(
    asv_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("ASV_CONF_DIR")
    argv = ["/x/asv/benchmark.py", "run_server", str(tmp_path / "benchmarks"), "s"]
    monkeypatch.setattr(sys, "argv", argv)
    assert recorder.record() is None
    assert "nothing is recorded: no asv.conf.json or asv.conf.jsonc above it" in (
        capsys.readouterr().err
    )
    (tmp_path / "asv.conf.jsonc").write_text('{"results_dir": "results",}')
    path = recorder.record()
    assert path is not None
    assert path.parent == asv_run


def test_a_line_after_one_that_was_cut_off_is_whole(asv_run: Path) -> None:
    path = recorder.record(threads=1)
    assert path is not None
    path.write_text(path.read_text()[:100])
    recorder.record(threads=2)
    assert json.loads(path.read_text().splitlines()[1])["threads"] == 2


def test_in_an_existing_environment_forked_processes_write_each_minute(
    asv_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ASV_COMMIT")
    path = recorder.record(threads=1)
    assert path is not None
    for age, expected in ((0, 1), (61, 2)):
        written = path.stat().st_mtime_ns - age * 10**9
        os.utime(path, ns=(written, written))
        if (child := os.fork()) == 0:
            os._exit(0)
        os.waitpid(child, 0)
        assert len(lines(path)) == expected


def test_a_folder_that_cannot_be_written_to_is_one_line(
    asv_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(recorder.MACHINE, "machine.json")
    (asv_run.parent / "machine.json").write_text("a file where a folder is expected")
    assert recorder.record() is None
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot be written" in line


def test_results_dir_is_read_from_a_configuration_with_comments(
    asv_run: Path, tmp_path: Path
) -> None:
    text = '{\n  // "results_dir": "old",\n  "results_dir": "measured/here",\n}\n'
    (tmp_path / "asv.conf.json").write_text(text)
    (tmp_path / "measured").mkdir()
    (asv_run.parent).rename(tmp_path / "measured" / "here")
    path = recorder.record()
    assert path is not None
    assert path.parent == tmp_path / "measured" / "here" / "workstation"


@pytest.mark.usefixtures("nvml")
def test_the_gpu_is_the_first_one_that_cuda_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    facts = recorder.gpu_facts()
    assert facts == {
        "gpu": "NVIDIA H100 80GB HBM3",
        "gpu_count": 2,
        "gpu_capability": "9.0",
        "gpu_memory": 85_520_809_984,
        "driver": "570.86.15",
        "power_limit": 700.0,
    }
    for visible, name, count in [
        ("1", "NVIDIA L4", 1),
        ("GPU-b,0", "NVIDIA L4", 2),
        ("1,7,0", "NVIDIA L4", 1),
        ("", None, 0),
        ("-1", None, 0),
    ]:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        facts = recorder.gpu_facts()
        assert (facts["gpu"], facts["gpu_count"]) == (name, count), visible


@pytest.mark.usefixtures("nvml")
def test_the_state_has_what_the_card_supports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert recorder.gpu_state() == {
        "sm_clock": 1980,
        "memory_clock": 2619,
        "temperature": 41,
        "power": 118.5,
        "energy": 2.5,
        "throttle": ["power cap"],
    }
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    state = recorder.gpu_state()
    assert state is not None
    assert state["energy"] is None
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert recorder.gpu_state() is None


def test_without_nvml_there_is_no_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)  # type: ignore[arg-type]
    assert recorder.gpu_state() is None
    assert recorder.gpu_facts()["gpu_capability"] is None


def test_a_copy_of_the_file_records_without_sparsebench(asv_run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "benchmarks" / "recorder.py"  # asv's default name of the folder
    copy.parent.mkdir()
    copy.with_name("__init__.py").write_text("")
    copy.write_bytes(Path(recorder.__file__).read_bytes())
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import benchmarks.recorder"
    subprocess.run([sys.executable, "-I", "-c", code], check=True, cwd=tmp_path)
    (path,) = asv_run.glob("*.recorded.jsonl")
    assert lines(path)[0]["env_name"] == "virtualenv-py3.11"
