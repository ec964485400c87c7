"""``sparsebench bench`` end to end, on a small asv project of its own."""

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import pytest

from sparsebench import cli
from sparsebench.results import read
from tests.asv_project import make_project
from tests.conftest import git

BENCHMARKS = """
import time
import tiny

class Short:
    params = [[1, 2], ["cpu"]]
    param_names = ["size", "device"]
    repeat = 3
    warmup_time = 0

    def time_work(self, size, device):
        tiny.work(size)

    def track_digest(self, size, device):
        return tiny.work(size)

class Slow:
    params = ["cpu"]
    param_names = ["device"]

    def track_slowly(self, device):
        time.sleep(60)
"""


TORCH_BENCHMARKS = """
from importlib import metadata

def track_digest():
    return int(metadata.version("torch").split(".")[1])
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of two commits; at the second the digest changes and size 2 fails."""
    folder = tmp_path_factory.mktemp("tiny")
    bodies = {"first": "return size", "second": "return 10 / (2 - size)"}
    commits = {tag: f"def work(size):\n    {body}\n" for tag, body in bodies.items()}
    make_project(folder, BENCHMARKS, ["Short", "Slow"], commits)
    return folder


@pytest.fixture
def home(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, project: Path
) -> Iterator[Path]:
    """The project as current folder; asv's machine file goes to a home of its own."""
    home = tmp_path_factory.getbasetemp() / "home"
    home.mkdir(exist_ok=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(project)
    return home


@pytest.fixture
def torch_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a project of two commits whose torch is a wheel without a module."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    make_project(folder, TORCH_BENCHMARKS, [], {"first": "", "second": "x = 1"})
    config = json.loads((folder / "asv.conf.json").read_text())
    config["matrix"] = {"req": {"torch": ["2.13.0+tiny"]}}
    (folder / "asv.conf.json").write_text(json.dumps(config))
    for torch in ("2.11.0+tiny", "2.13.0+tiny"):
        write_empty_wheel(tmp_path / "wheels", "torch", torch)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(folder)
    return folder


def write_empty_wheel(folder: Path, name: str, version: str) -> None:
    """Write a wheel that installs nothing but its name and version."""
    folder.mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    wheel = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(f"{info}/WHEEL", wheel)
        archive.writestr(f"{info}/RECORD", f"{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")


def rows(project: Path) -> pd.DataFrame:
    """Return the stored rows; none if no test of this process has run before."""
    dataset = project / "results" / "parquet"
    return read(dataset, machine="lab") if dataset.exists() else pd.DataFrame()


def bench(*arguments: str) -> int:
    return cli.main(["bench", "--machine", "lab", *arguments])


def test_a_second_run_measures_only_what_has_no_value(
    home: Path, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench("--commits", "HEAD~1") == 0
    stored = rows(project)
    assert stored["status"].tolist() == ["ok"] * 4
    assert stored.loc[stored["type"] == "time", "samples"].map(len).tolist() == [6, 6]
    shown = capsys.readouterr()
    assert "suite.Short.time_work" in shown.out
    assert "dataset   results/parquet" in shown.out
    assert (project / "results" / "figures" / "suite.Short.time_work.png").is_file()

    log_before = (project / ".asv" / "bench.log").read_text()
    assert bench("--commits", "HEAD~1") == 0
    again = (project / ".asv" / "bench.log").read_text()[len(log_before) :]
    assert "just-discover" in again
    assert "--record-samples" not in again
    assert "measured already" in capsys.readouterr().err

    assert bench() == 0
    shown = capsys.readouterr()
    assert "some failed, see" in shown.err
    assert "1 changed" in shown.out
    newest = rows(project)
    newest = newest[newest["commit_hash"] == git(project, "rev-parse", "HEAD")]
    assert sorted(newest["status"]) == ["failed", "failed", "ok", "ok"]


def test_a_device_that_no_benchmark_has_is_refused(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench("--device", "cuda") == 2
    assert "must be one that these benchmarks have on this machine (cpu), got 'cuda'" in (
        capsys.readouterr().err
    )


def test_an_unknown_commit_or_grid_is_refused_before_anything_is_built(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench("--commits", "v9") == 2
    assert "unknown revision 'v9'" in capsys.readouterr().err
    assert bench("--grid", "lnog") == 2
    assert "unknown grid 'lnog'; near: slow" in capsys.readouterr().err


def test_a_commit_that_does_not_build_is_reported(
    home: Path, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    git(project, "checkout", "--quiet", "-b", "broken")
    (project / "setup.py").write_text("raise RuntimeError('cannot build')")
    git(project, "commit", "--quiet", "--all", "--message", "broken")
    try:
        assert bench("--commits", "HEAD") == 2
    finally:
        git(project, "checkout", "--quiet", "main")
    error = capsys.readouterr().err
    assert "failed with exit code 1" in error
    assert "Traceback" not in error


def test_a_commit_that_does_not_build_among_others_is_reported(
    home: Path, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    git(project, "checkout", "--quiet", "-b", "bad-middle")
    good = (project / "setup.py").read_text()
    for text in ("raise RuntimeError('cannot build')", good):
        (project / "setup.py").write_text(text)
        git(project, "commit", "--quiet", "--all", "--message", "setup")
    try:
        assert bench("--commits", "HEAD~1,HEAD") == 0
    finally:
        git(project, "checkout", "--quiet", "main")
    error = capsys.readouterr().err
    assert "(1 of 2): does not build, nothing measured; see .asv/bench.log" in error
    assert "(2 of 2): 2 benchmarks measured" in error


def test_a_damaged_result_file_is_renamed_and_measured_again(
    home: Path, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench("--commits", "HEAD~1")  # nothing is done where it is measured
    commit = git(project, "rev-parse", "HEAD~1")
    (path,) = (project / "results" / "asv" / "lab").glob(f"{commit[:8]}-*.json")
    path.write_text(path.read_text()[:100])
    assert bench("--commits", "HEAD~1") == 0
    assert "a damaged result file was renamed to results/asv/lab/" in capsys.readouterr().err
    assert path.with_suffix(".json.damaged").is_file()


@pytest.mark.parametrize("name", ["../x", "a/b", ""])
def test_a_machine_name_that_is_no_folder_name_is_refused(
    name: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["bench", "--machine", name]) == 2
    assert "must be a word of letters" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_asv_and_keeps_stored_rows(
    number: signal.Signals, home: Path, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = len(rows(project))
    log = project / ".asv" / "bench.log"
    log.unlink(missing_ok=True)
    with subprocess.Popen(
        [sys.executable, "-m", "sparsebench", "bench", "--machine", "lab", "--grid", "slow"],
        cwd=project,
        env={**os.environ, "HOME": str(home)},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as child:
        wait_for_line(log, "Running 1 total benchmarks")
        assert bench() == 2
        assert "another run is in progress here" in capsys.readouterr().err
        os.kill(child.pid, number)
        _, error = child.communicate(timeout=30)
    assert child.returncode == 130
    assert error.splitlines()[-1].startswith("sparsebench: interrupted; what was stored is kept")
    assert "Traceback" not in error
    assert len(rows(project)) == before
    assert processes_in(project) == []


def test_torch_versions_are_measured_stored_and_compared(
    torch_project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench("--commits", "HEAD") == 0
    assert "\ntorch" not in capsys.readouterr().out

    assert bench("--torch", "2.11+tiny", "2.13+tiny", "--commits", "HEAD") == 0
    shown = capsys.readouterr()
    assert "torch     2.11.0+tiny, 2.13.0+tiny\n" in shown.out
    assert "torch 2.11.0+tiny: 1 benchmark measured" in shown.err
    assert "torch 2.13.0+tiny: measured already" in shown.err
    stored = rows(torch_project).set_index("torch")["value"]
    assert stored.to_dict() == {"2.11.0+tiny": 11, "2.13.0+tiny": 13}

    assert bench("--torch", "2.13+tiny", sys.executable) == 0  # commits: HEAD
    shown = capsys.readouterr()
    second = f"{version('torch')} in {sys.executable}"
    assert f"torch     2.13.0+tiny, {second}\n" in shown.out
    progress = " ".join(shown.err.split())  # lines are wrapped
    assert "(1 of 1), torch 2.13.0+tiny: measured already" in progress
    assert f"(1 of 1), torch {second}: 1 benchmark measured" in progress

    assert cli.main(["devices", "--by", "torch", "2.11.0+tiny", "2.13.0+tiny"]) == 0
    assert "torch: A = 2.11.0+tiny, B = 2.13.0+tiny" in capsys.readouterr().out


def test_the_environment_of_an_interpreter_is_measured_at_head(
    torch_project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench("--torch", sys.executable) == 0
    shown = capsys.readouterr()
    head = git(torch_project, "rev-parse", "HEAD")
    note = f"the package that {sys.executable} imports is measured as it is and stored as commit"
    assert f"{note} {head[:8]}" in " ".join(shown.err.split())
    assert f"torch     {version('torch')} in {sys.executable}\n" in shown.out
    (row,) = rows(torch_project).itertuples()
    assert (row.commit_hash, row.value) == (head, int(version("torch").split(".")[1]))
    assert row.env_name.startswith("existing-py")

    assert bench("--torch", sys.executable) == 0
    assert "(1 of 1): measured already" in capsys.readouterr().err


def test_torch_that_cannot_be_measured_is_one_line(
    torch_project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, line in (
        (["--torch", "2.11", "abc"], "--torch: must be a version such as 2.13"),
        (["--torch", ""], "--torch: must be a version such as 2.13"),
        (["--torch"], "Option '--torch' requires an argument"),
        (["2.11"], "Got unexpected extra argument (2.11)"),
        (["--commits", "HEAD", "2.11", "--torch", "2.13"], "Got unexpected extra argument (2.11)"),
        (
            ["--torch", sys.executable, "--commits", "HEAD~1..HEAD,HEAD~1"],
            "--commits: must be HEAD with an interpreter in --torch, got 'HEAD~1..HEAD,HEAD~1'",
        ),
    ):
        assert bench(*arguments) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"sparsebench: {line}")
        assert error.count("\n") == 1


def wait_for_line(log: Path, text: str) -> None:
    for _ in range(600):
        if log.is_file() and text in log.read_text():
            return
        time.sleep(0.1)
    raise AssertionError(f"{log} never held {text!r}: {log.read_text()}")


def processes_in(folder: Path) -> list[str]:
    """Return the command lines of other live processes that contain the folder."""
    commands = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = entry.read_bytes().decode(errors="replace").split("\0")
        except OSError:  # it ended meanwhile
            continue
        if (
            any(str(folder) in argument for argument in arguments)
            and int(entry.parent.name) != os.getpid()
        ):
            commands.append(" ".join(arguments))
    return commands
