"""``sparsebench gate`` end to end, on a small asv project that asv itself installs."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sparsebench import cli
from tests.asv_project import CONFIG, make_project
from tests.cli.test_bench import processes_in
from tests.conftest import git

BENCHMARKS = """
import time
import tiny

class Short:
    params = [1, 2]
    param_names = ["size"]

    def time_work(self, size):
        tiny.work(size)

    def track_digest(self, size):
        return tiny.digest(size)

class Slow:
    def track_slowly(self):
        time.sleep(60)
"""
TURNS, DIGEST = 2000, "size"


def library(turns: int = TURNS, digest: str = DIGEST) -> str:
    return (
        f"def work(size):\n    for _ in range({turns} * size):\n        pass\n\n"
        f"def digest(size):\n    return {digest}\n"
    )


COMMITS = {
    "base": library(),
    "slower": library(turns=round(1.3 * TURNS)),
    "changed": library(digest="size + 1"),
    "faster": library(turns=round(0.6 * TURNS)),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with one tag per commit; each differs from the first in one way."""
    folder = tmp_path_factory.mktemp("gated")
    make_project(folder, BENCHMARKS, ["Short"], COMMITS)
    git(folder, "checkout", "--quiet", "-B", "main", "base")
    return folder


@pytest.fixture
def home(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, project: Path
) -> Iterator[Path]:
    """The project as current folder, as it was; asv's files go to a home of its own."""
    home = tmp_path_factory.getbasetemp() / "home"
    home.mkdir(exist_ok=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(project)
    yield home
    git(project, "checkout", "--quiet", "--force", "main")
    git(project, "clean", "--quiet", "--force", "-d")


def gate(*arguments: str) -> int:
    return cli.main(["gate", "--tolerance", "10%", "--budget", "60s", *arguments])


def verdicts(path: Path) -> dict[str, str]:
    """The short names of the findings in a JSON document, and their verdicts."""
    findings = json.loads(path.read_text())["findings"]
    return {
        f"{f['benchmark'].rpartition('.')[2]}({', '.join(f['params'])})": f["verdict"]
        for f in findings
    }


def test_equal_commits_pass_and_replay_gives_equal_findings(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, again, journal = (tmp_path / name for name in ("a.json", "b.json", "c.json"))
    assert gate("base", "base", "--json", str(first)) == 0
    shown = capsys.readouterr()
    assert set(verdicts(first).values()) == {"UNCHANGED"}
    assert len(verdicts(first)) == 4
    assert "PASS: 4 unchanged" in shown.out
    assert "installing" in shown.err

    (record,) = Path(".asv/gate").glob("*.jsonl")
    assert gate("--replay", str(first), "--json", str(again)) == 0
    assert capsys.readouterr().out == shown.out
    assert gate("--replay", str(record), "--json", str(journal)) == 0
    assert first.read_bytes() == again.read_bytes() == journal.read_bytes()


def test_a_slow_down_fails_and_installs_only_new_commits(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "gate.json"
    assert gate("base", "slower", "--json", str(path)) == 1
    shown = capsys.readouterr()
    assert verdicts(path) == {
        "time_work(1)": "REGRESSED",
        "time_work(2)": "REGRESSED",
        "track_digest(1)": "UNCHANGED",
        "track_digest(2)": "UNCHANGED",
    }
    assert "FAIL: 2 regressed" in shown.out
    changes = [f["change"] for f in json.loads(path.read_text())["findings"][:2]]
    assert all(0.15 < change < 0.45 for change in changes)

    assert gate("base", "slower", "--bench", "track_digest") == 0
    assert "installing" not in capsys.readouterr().err
    for fail_on, code in (("none", 0), ("changed,failed", 0), ("regressed", 1)):
        assert gate("--replay", str(path), "--fail-on", fail_on) == code


def test_a_changed_digest_fails(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "gate.json"
    assert gate("base", "changed", "--bench", "track_digest", "--json", str(path)) == 1
    assert set(verdicts(path).values()) == {"CHANGED RESULT"}
    assert "FAIL: 2 changed results" in capsys.readouterr().out


def test_an_improvement_passes(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "gate.json"
    assert gate("base", "faster", "--bench", "time_work", "--json", str(path)) == 0
    assert set(verdicts(path).values()) == {"IMPROVED"}


def test_uncommitted_changes_are_measured_and_printed(
    home: Path, project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "tiny.py").write_text(COMMITS["changed"])
    (project / "benchmarks" / "added.py").write_text("def track_added():\n    return 1\n")
    before = git(project, "status", "--porcelain")
    path = tmp_path / "gate.json"
    assert gate("base", "--bench", "track_[ad]", "--json", str(path)) == 1
    assert git(project, "status", "--porcelain") == before
    assert verdicts(path) == {
        "track_added()": "UNCHANGED",
        "track_digest(1)": "CHANGED RESULT",
        "track_digest(2)": "CHANGED RESULT",
    }
    head = json.loads(path.read_text())["head"]
    assert head["uncommitted"] == 2
    assert re.search(r"head +[0-9a-f]{8}\+ ", capsys.readouterr().out)


def test_a_commit_that_does_not_build_is_reported(
    home: Path, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "setup.py").write_text("raise RuntimeError('cannot build')")
    assert gate("base") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert re.match(r"sparsebench: commit [0-9a-f]{8}: does not build or install; ", error)
    assert "complete log: " in error


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["v9"], "BASE: unknown revision 'v9'"),
        (["base", "nope"], "HEAD: unknown revision 'nope'"),
        ([""], "BASE: must be one commit, got ''"),
        (["base..slower"], "BASE: must be one commit, got 'base..slower'"),
        ([], "a base is needed"),
        (["base", "--fail-on", "slow"], "must be of regressed, changed"),
        (["base", "--tolerance", "5"], "must lie between 0 and 1"),
        (["base", "--budget", "0"], "must be a time such as 90s"),
        (["base", "--bench", "("], "--bench: must be a regular expression"),
        (["base", "--environment", "py2"], "got 'py2'"),
        (["base", "--tag", "long"], "[tool.sparsebench.grids]: unknown grid 'long'; known: "),
        (["--replay", "nowhere.json"], "nowhere.json: cannot be read; "),
        (["base", "--replay", "gate.json"], "give it, or BASE [HEAD] to measure"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], line: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["gate", *arguments]) == 2
    error = capsys.readouterr().err
    assert line in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_gate_ends_its_workers_and_excludes_others_while_it_runs(
    number: signal.Signals, home: Path, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "sparsebench", "gate", "base", "base", "--bench", "slowly"],
        env={**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2])},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as child:
        assert child.stderr
        lines = [child.stderr.readline()]
        while "round 1" not in lines[-1]:
            assert lines[-1], lines
            lines.append(child.stderr.readline())
        assert gate("base", "base") == 2
        assert "another run is in progress here" in capsys.readouterr().err
        os.kill(child.pid, number)
        _, error = child.communicate(timeout=30)
    assert child.returncode == 130
    assert error.splitlines()[-1] == (
        "sparsebench: interrupted; what was stored is kept, the same command continues"
    )
    assert "Traceback" not in error
    assert processes_in(project) == []


def test_an_editable_install_keeps_commits_apart(home: Path, project: Path, tmp_path: Path) -> None:
    editable = {key: value for key, value in CONFIG.items() if key != "build_command"}
    editable["build_command"] = []
    editable["install_command"] = [
        "in-dir={env_dir} python -m pip install --no-deps --no-build-isolation -e {build_dir}"
    ]
    (project / "asv.conf.json").write_text(json.dumps(editable))
    path = tmp_path / "gate.json"
    assert gate("base", "changed", "--bench", "track_digest", "--json", str(path)) == 1
    assert set(verdicts(path).values()) == {"CHANGED RESULT"}


def test_bisect_names_the_commit_that_changed_a_result(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The commits are base, slower (with the digests of base), changed."""
    changed = git(Path.cwd(), "rev-parse", "changed")
    assert cli.main(["bisect", "base", "changed", "--case", "suite.Short.track_digest(2)"]) == 0
    shown = capsys.readouterr()
    assert shown.out == f"first bad commit: {changed} changed\n"
    reported = [line for line in shown.err.splitlines() if "Side" not in line and ": " in line]
    assert [
        line.split()[1].rstrip(",") for line in reported if line.endswith((": changed", ": slower"))
    ] == [
        "CHANGED",
        "UNCHANGED",
    ]


def test_bisect_refuses_commits_without_a_change(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["bisect", "base", "slower", "--case", "track_digest"]) == 2
    assert "BAD must be worse than GOOD, but the gate says UNCHANGED" in capsys.readouterr().err
