"""The workflows: what may write never runs a pull request's code, and their shell parses."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from sparsebench.report.gate.markdown import MARKER

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
