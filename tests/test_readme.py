"""Every command and snippet of the README is run, here or by the project's own check."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sparsebench import cli
from sparsebench.cli import bench, gate
from sparsebench.gate.cases import BenchmarkCase
from sparsebench.gate.findings import Side
from sparsebench.gate.record import Record, RunPlan
from sparsebench.results import ingest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CHECK = (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands(program: str) -> list[list[str]]:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    found = [shlex.split(line, comments=True) for line in lines]
    return [words for words in found if words and words[0] == program]


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the stored dataset and results of asv, beside another project's results."""
    folder = tmp_path / "clone"
    shutil.copytree(ROOT / "results" / "parquet", folder / "results" / "parquet")
    (folder / "results" / "asv").symlink_to(ROOT / "tests" / "data" / "asv" / "v2")
    (tmp_path / "other-project").mkdir()
    (tmp_path / "other-project" / "results").symlink_to(ROOT / "tests" / "data" / "asv" / "v2")
    monkeypatch.chdir(folder)
    return folder


def test_every_command_is_of_a_kind_that_is_run() -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.strip()]
    scripts = ("scripts/bench", "scripts/gate", "scripts/test")
    known = [words for program in (*scripts, "sparsebench") for words in commands(program)]
    assert len(lines) == len(known)


def test_the_two_scripts_are_run_by_the_check() -> None:
    assert commands("scripts/test") == [["scripts/test"]]
    assert re.search(r"^scripts/test$", CHECK, re.MULTILINE)
    assert re.search(r"^scripts/bench\b", CHECK, re.MULTILINE)


@pytest.mark.parametrize("words", commands("scripts/bench"), ids=" ".join)
def test_bench_commands_are_understood(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    plans: list[bench.RunPlan] = []
    asked: list[Any] = []
    monkeypatch.setattr(bench, "resolve", lambda repository, commits: asked.append(commits) or [])
    monkeypatch.setattr(bench, "run_plan", lambda plan, console: plans.append(plan) or 0)
    monkeypatch.chdir(ROOT)
    assert cli.main(["bench", *words[1:]]) == 0
    assert len(plans) == 1
    assert asked == ([words[words.index("--commits") + 1]] if "--commits" in words else [None])


@pytest.mark.parametrize("words", commands("scripts/gate"), ids=" ".join)
def test_gate_commands_are_understood(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Measuring has tests of its own; here every option must be one, and every file be written."""
    asked: list[tuple[str | None, str | None]] = []

    def measured(_: object, base: str | None, head: str | None, __: object) -> Record:
        asked.append((base, head))
        side = Side("a" * 40, "a commit")
        case = BenchmarkCase(
            "m.time_x", (), (), "time", "seconds", 60, None, 60, None, {"base": None}
        )
        return Record(RunPlan("p", "m", "e", side, side, 0.05, (case,)))

    monkeypatch.setattr(gate, "measure", measured)
    monkeypatch.chdir(ROOT)
    files = [words[n + 1] for n, word in enumerate(words) if word in ("--json", "--markdown")]
    monkeypatch.setattr(gate, "write_text", lambda path, text: files.remove(str(path)))
    assert cli.main(["gate", *words[1:]]) == 0
    assert asked[0][0] == words[1]
    assert files == []


@pytest.mark.parametrize("words", commands("sparsebench"), ids=" ".join)
def test_commands_do_what_they_say(
    words: list[str], clone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words[1:]) == 0
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("code", blocks("python"), ids=lambda code: code.split("\n")[0])
def test_snippets_run_and_print(code: str, clone: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip()


def test_the_stored_dataset_is_still_readable_beside_new_results(tmp_path: Path) -> None:
    """What a newcomer has after scripts/bench: files of today's schema beside the stored ones."""
    dataset = tmp_path / "results" / "parquet"
    shutil.copytree(ROOT / "results" / "parquet", dataset)
    assert not ingest([ROOT / "tests" / "data" / "asv" / "v2"], str(dataset)).problems
    code = next(block for block in blocks("python") if "pandas" in block)
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=tmp_path)


def test_the_pruning_example_reaches_2_of_4() -> None:
    code = next(block for block in blocks("python") if "WeightNormSparsifier" in block)
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert ran.stdout.strip() == "tensor(0.5000)"


def test_links_and_pictures_exist() -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []
