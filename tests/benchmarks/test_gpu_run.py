"""The command scripts/gpu, on the CPU: its parts, limits, folder and messages."""

import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
import torch

from benchmarks.gpu_run import __main__ as command
from benchmarks.gpu_run import parts
from benchmarks.gpu_run.parts import Part, run_all
from sparsebench.results import ingest, read

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command changes what belongs to its process."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setattr(signal, "signal", lambda *_: None)


def python(name: str, code: str, seconds: float = 30.0, *, checks: bool = False) -> Part:
    return Part(name, (sys.executable, "-c", code), seconds, checks=checks)


def test_each_part_says_how_it_ended(tmp_path: Path) -> None:
    todo = [
        python("good", "print('first'); print('7 cases, none failed')"),
        python("wrong masks", "print('2 differ'); raise SystemExit(1)", checks=True),
        python("broken", "raise ValueError('no card')"),
        python("slow", "import time; time.sleep(60)", 0.5),
        python("silent", ""),
    ]
    outcomes = list(run_all(todo, 60.0, tmp_path, {}))
    assert [(outcome.part.name, outcome.state, outcome.text) for outcome in outcomes] == [
        ("good", "done", "7 cases, none failed"),
        ("wrong masks", "differs", "2 differ"),
        ("broken", "failed", "ValueError: no card (exit code 1)"),
        ("slow", "cut off", "after 0 s; what was measured is kept"),
        ("silent", "done", "it printed nothing"),
    ]
    assert "$ broken\nTraceback" in (tmp_path / "log.txt").read_text()


def test_what_does_not_fit_into_the_time_is_left_out(tmp_path: Path) -> None:
    todo = [python("first", "import time; time.sleep(60)"), python("second", "")]
    first, second = run_all(todo, parts.LEAST_SECONDS + 0.5, tmp_path, {})
    assert (first.state, second.state) == ("cut off", "left out")
    assert second.text == "the time was over"


def test_a_part_without_its_packages_is_left_out(tmp_path: Path) -> None:
    part = Part("gate", ("false",), 30.0, needs=("json", "no_such_module"))
    (outcome,) = run_all([part], 60.0, tmp_path, {})
    assert (outcome.state, outcome.text) == ("left out", "needs no_such_module; see --wheels")


def test_processes_that_a_part_started_end_with_it(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    code = (
        "import subprocess, sys, time; child = subprocess.Popen(['sleep', '600']);"
        f"open({str(pid)!r}, 'w').write(str(child.pid)); time.sleep(60)"
    )
    list(run_all([python("parent", code, 1.0)], 60.0, tmp_path, {}))
    stat = Path(f"/proc/{pid.read_text()}/stat")
    for _ in range(100):
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] in "ZX":
            return
        time.sleep(0.05)
    pytest.fail("a child of the part still runs")


def test_the_most_important_parts_come_first() -> None:
    names = [part.name for part in parts.parts("cuda")]
    assert names[:5] == [
        "golden digests on cuda, triton",
        "golden digests on cuda, torch",
        "floor.Copy on cuda",
        "step.Short on cuda",
        "step.Long on cuda",
    ]
    assert names.index("step.Long on cpu") < names.index("reference.Long on cuda")
    assert "breakeven.MatmulHalf on cuda" in names
    assert not any("cuda" in part.name for part in parts.parts("cpu"))


def test_one_folder_is_left_that_ingest_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    short = [part for part in parts.parts("cpu") if part.name == "step.Short on cpu"]
    monkeypatch.setattr(parts, "parts", lambda device: short)
    into = tmp_path / "run"
    options = ["--device", "cpu", "--into", str(into), "--machine", "box", "--commit", "c0ffee11"]
    assert command.main(options) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == f"commit c0ffee11, machine box, into {into}"
    assert "step.Short on cpu: 24 cases, none failed" in shown[1]
    assert shown[2].endswith(f"to store it: sparsebench ingest {into}")
    assert (into / "report.txt").read_text().splitlines() == shown
    report = ingest([into], tmp_path / "dataset")
    assert report.problems == ()
    frame = read(tmp_path / "dataset")
    assert set(frame["benchmark"]) == {
        f"step.Short.{name}" for name in ("time_step", "track_digest", "track_measured_sparsity")
    }
    assert set(frame["torch"]) == {torch.__version__}
    assert set(frame["machine"]) == {"box"}
    assert set(frame["project"]) == {"sparsebench"}
    assert set(frame["commit_hash"]) == {"c0ffee11"}
    assert frame["commit_date"].notna().all()
    assert frame["ram"].notna().all()
    assert command.main(options) == 2  # the folder is not empty
    assert "--into: must be a new or an empty folder" in capsys.readouterr().err


def test_an_interrupted_run_says_what_it_left_out(tmp_path: Path) -> None:
    into = tmp_path / "run"
    script = [str(ROOT / "scripts" / "gpu"), "--device", "cpu", "--into", str(into)]
    environment = {**os.environ, "PYTHON": sys.executable}
    with subprocess.Popen(script, env=environment, stdout=subprocess.PIPE, text=True) as child:
        log = into / "log.txt"
        for _ in range(600):
            if log.exists() and "torch" in log.read_text():
                break
            time.sleep(0.1)
        child.terminate()
        shown, _ = child.communicate(timeout=30)
    assert child.returncode == 130
    assert "left out         step.Short on cpu: interrupted" in shown
    assert shown == (into / "report.txt").read_text()


def test_wheels_are_used_without_being_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    with zipfile.ZipFile(wheels / "carried-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("carried.py", "")
        info = "carried-1.0.dist-info"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: carried\nVersion: 1.0\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setattr(command, "_OPTIONAL", {"numba": "x", "carried": "x", "absent": "y"})
    part = python("wheels", "import carried; print(carried.__file__)")
    monkeypatch.setattr(parts, "parts", lambda device: [part])
    options = ["--device", "cpu", "--into", str(tmp_path / "run"), "--wheels", str(wheels)]
    assert command.main(options) == 0
    (recording,) = (tmp_path / "run" / "results").glob("*/*.recorded.jsonl")
    assert '"carried": "1.0"' in recording.read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--device", "mps"], "--device: must be cuda or cpu, got 'mps'"),
        (["--minutes", "0"], "--minutes: must be positive, got 0"),
        (["--minutes", "soon"], "--minutes: invalid float value: 'soon'"),
        (["--commit", "main"], "--commit: must be 8 to 40 hexadecimal digits, got 'main'"),
        (["--machine", "../x"], "--machine: must be letters"),
        (["--wheels", "nowhere"], "--wheels: must be a folder with *.whl in it, got nowhere"),
        (["--device", "cpu", "--into", "/proc/x"], "/proc/x: No such file or directory"),
    ],
)
def test_bad_input_is_one_line(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(options) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"gpu: {message}")


def test_without_a_gpu_the_device_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmarks.workloads.devices.available", lambda: ["cpu"])
    assert command.main([]) == 2
    assert "got 'cuda': no CUDA device was found" in capsys.readouterr().err


def test_without_git_rows_are_stored_under_a_hash_of_the_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_git(_: object) -> str:
        raise FileNotFoundError("git")

    monkeypatch.setattr(command, "_output", no_git)
    commit, note = command._commit(None)
    assert len(commit) == 40
    assert int(commit, 16)
    assert "no git here" in note
    assert command._commit(None)[0] == commit
