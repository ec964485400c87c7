"""The workflows: what may write never runs a pull request's code, and their shell parses."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from sparsebench.report.text.gate_markdown import MARKER
from tests.conftest import git

FOLDER = Path(__file__).parents[1] / ".github" / "workflows"
NAMES = sorted(path.name for path in FOLDER.iterdir())


def load(name: str) -> Any:
    return yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))


def steps(name: str) -> list[dict[str, Any]]:
    return [step for job in load(name)["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("name", NAMES)
def test_what_sees_a_pull_requests_code_cannot_write(name: str) -> None:
    permissions = load(name)["permissions"]
    runs_its_code = any("checkout" in step.get("uses", "") for step in steps(name))
    if runs_its_code:
        assert permissions == {"contents": "read"}
    else:
        assert permissions == {"actions": "read", "pull-requests": "write"}
        assert [step for step in steps(name) if "uses" in step] == []


@pytest.mark.parametrize("name", NAMES)
def test_shell_parses_and_no_outside_text_is_pasted_into_it(name: str) -> None:
    for step in steps(name):
        if script := step.get("run"):
            assert "${{" not in script
            subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_the_comment_is_found_again_by_its_first_line() -> None:
    (job,) = load("gate-comment.yml")["jobs"].values()
    assert job["env"]["MARKER"] == MARKER


def test_the_gate_in_ci_writes_what_the_comment_reads() -> None:
    (script,) = [step["run"] for step in steps("gate.yml") if step.get("name") == "Gate"]
    (upload,) = [
        s["with"] for s in steps("gate.yml") if s.get("with", {}).get("name") == "gate-comment"
    ]
    assert re.search(r'--markdown "\$report/gate\.md"', script)
    assert upload["path"].endswith("/gate/gate.md")


def test_of_two_pushes_to_main_neither_takes_the_others_turn() -> None:
    concurrency = load("gate.yml")["concurrency"]
    assert concurrency["group"] == "gate-${{ github.event.pull_request.number || github.sha }}"


@pytest.fixture
def history(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """Three commits on main, one off the first, and a gate that prints its arguments."""
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "gate").write_text("#!/bin/sh\necho $1 $2\n")
    (tmp_path / "scripts" / "gate").chmod(0o755)
    for name in ("first", "second", "third"):
        git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", name)
    git(tmp_path, "checkout", "--quiet", "-b", "side", "main~2")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "side")
    names = {"first": "main~2", "second": "main~1", "third": "main", "side": "side"}
    hashes = {name: git(tmp_path, "rev-parse", revision) for name, revision in names.items()}
    return tmp_path, {**hashes, "nothing": "0" * 40}


@pytest.mark.parametrize(
    ("target", "head", "base"),
    [
        ("third", "side", "first"),  # a pull request: where it left main
        ("first", "third", "first"),  # a push of two commits: both are gated
        ("nothing", "third", "second"),  # the first push of a branch
    ],
)
def test_the_gate_is_against_what_was_before(
    target: str, head: str, base: str, history: tuple[Path, dict[str, str]]
) -> None:
    folder, hashes = history
    (script,) = [step["run"] for step in steps("gate.yml") if step.get("name") == "Gate"]
    given = {"TARGET": hashes[target], "HEAD": hashes[head], "BUDGET": "10m"}
    ran = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=folder,
        env={**os.environ, **given, "RUNNER_TEMP": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.split() == [hashes[base], hashes[head]]
    assert ran.stderr == ""


def test_a_gate_that_died_early_fails_once_only(tmp_path: Path) -> None:
    (script,) = [step["run"] for step in steps("gate.yml") if step.get("name") == "Summary"]
    given = {"RUNNER_TEMP": str(tmp_path), "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
    run = ["bash", "-eo", "pipefail", "-c", script]
    subprocess.run(run, env={**os.environ, **given}, check=True)
    (tmp_path / "gate").mkdir()
    (tmp_path / "gate" / "gate.md").write_text("found\n")
    subprocess.run(run, env={**os.environ, **given}, check=True)
    assert (tmp_path / "summary.md").read_text() == "found\n"
