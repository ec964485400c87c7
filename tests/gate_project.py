"""A project to gate whose commits need no installing: their modules lie in a folder each."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from sparsebench.gate import runner
from sparsebench.gate.cases import selection
from sparsebench.gate.findings import Finding, GateResult, Side
from sparsebench.gate.record import Record
from sparsebench.gate.request import Request
from sparsebench.gate.runner import Progress
from sparsebench.gate.verdicts import gate_result
from sparsebench.project.installations import Installation
from sparsebench.project.settings import Project
from tests.conftest import git


@dataclass
class GateProject:
    """Two commits of a module ``lib``, and benchmarks for it."""

    root: Path
    request: Request
    messages: list[str]
    sides: dict[str, str]  # commit to the folder that is its code

    @property
    def project(self) -> Project:
        return Project(
            root=self.root,
            name="tiny",
            repository=self.root,
            results=self.root / "results",
            benchmarks=self.root / "benchmarks",
            recipe="",
            timeout=20.0,
            environments=("here",),
        )

    @property
    def log(self) -> str:
        return (self.root / ".asv" / "gate.log").read_text(errors="replace")

    @property
    def journal(self) -> Path:
        (path,) = (self.root / ".asv" / "gate").glob("*.jsonl")
        return path

    def benchmarks(self, text: str, name: str = "suite") -> None:
        """Write one of the benchmark files."""
        (self.root / "benchmarks" / f"{name}.py").write_text(text)

    def library(self, base: str, head: str | None = None) -> None:
        """Write the module ``lib`` of both commits; without ``head`` they are alike."""
        for side, text in (("base", base), ("head", base if head is None else head)):
            (self.root / ".asv" / side / "lib.py").write_text(text)

    def base_is_the_newest_commit(self) -> None:
        """Take the branch's newest commit as the base; what it builds is the base's still."""
        commit = git(self.root, "rev-parse", "HEAD")
        self.sides[commit] = "base"
        self.request = replace(self.request, base=Side(commit, "base"))

    def measure(self, bench: str = ".", **changed: float) -> Record:
        request = replace(self.request, wanted=selection(bench, None), **changed)
        return runner.run(self.project, request, Progress(self.messages.append, lambda *_: None))

    def gate(self, bench: str = ".", **changed: float) -> GateResult:
        return gate_result(self.measure(bench, **changed))


def by_name(result: GateResult) -> dict[str, Finding]:
    """The findings by name, without the benchmark file's."""
    return {finding.name.removeprefix("suite."): finding for finding in result.findings}


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GateProject:
    """A project whose two commits differ in ``lib`` alone."""
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    (tmp_path / ".gitignore").write_text(".asv\n__pycache__\n")
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "__init__.py").write_text("")
    hashes = {}
    for side in ("base", "head"):
        (tmp_path / ".asv" / side).mkdir(parents=True)
        git(tmp_path, "add", "--all")
        git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", side)
        hashes[git(tmp_path, "rev-parse", "HEAD")] = side

    def installed(_: Project, __: str, commit: str, *___: object) -> Installation:
        code = tmp_path / ".asv" / hashes[commit]
        return Installation(Path(sys.prefix), {"ASV_PYTHONPATH": str(code)})

    monkeypatch.setattr(runner, "installed", installed)
    base, head = (Side(commit, side) for commit, side in hashes.items())
    request = Request(base, head, selection(".", None), 0.5, 20.0, "here", "lab")
    project = GateProject(tmp_path, request, [], hashes)
    project.library("")
    return project
