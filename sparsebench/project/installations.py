"""Commits installed side by side: a copy of asv's environment for each, made once and kept."""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sparsebench.errors import SparsebenchError
from sparsebench.project.asv_command import reason, run_child
from sparsebench.project.copying import copy_environment
from sparsebench.project.settings import Project

KEPT: Final = 16  # installed commits; the one used longest ago goes first


@dataclass(frozen=True)
class Installation:
    """One commit, installed.

    Attributes:
        folder: a Python environment of its own; files that no install changed are hard links, so
            that another commit costs little disk, and both share what the system has cached.
        variables: environment variables that asv gives to benchmarks.
    """

    folder: Path
    variables: dict[str, str]

    @property
    def python(self) -> Path:
        """The interpreter."""
        return self.folder / "bin" / "python"


def environment_name(project: Project, asked: str | None) -> str:
    """The environment to measure in: the one asked for, or the first of the matrix.

    Raises:
        SparsebenchError: the matrix has none of this name.
    """
    if asked is None:
        return project.environments[0]
    if asked not in project.environments:
        near = ", ".join(project.environments)
        raise SparsebenchError(
            f"--environment: must be one of asv's, got {asked!r}; there are: {near}"
        )
    return asked


def installed(
    project: Project, environment: str, commit: str, log: Path, tell: Callable[[str], None]
) -> Installation:
    """``commit`` built and installed by asv, or as it was left by an earlier call.

    Args:
        project: where to look for asv's settings.
        environment: asv's name of it.
        commit: the full hash.
        log: what asv prints is appended here.
        tell: called with what asv says it does.

    Raises:
        SparsebenchError: the commit does not build or install.
    """
    folder = _folder(project, environment, commit)
    if not (folder / "ready.json").is_file():
        tell(f"installing {commit[:8]}")
        _install(project, environment, commit, folder, log)
        _forget_old(folder.parent)
    os.utime(folder)
    return Installation(folder, json.loads((folder / "ready.json").read_text(encoding="utf-8")))


def twin(installation: Installation) -> Installation:
    """The same commit in another place, as a second commit would be."""
    folder = installation.folder.with_name(f"{installation.folder.name}-twin")
    variables = {**installation.variables, "ASV_ENV_DIR": str(folder)}
    copy_environment(installation.folder, folder, variables)
    return Installation(folder, variables)


def _folder(project: Project, environment: str, commit: str) -> Path:
    """Where a commit is kept; another environment or build recipe makes it another place."""
    recipe = hashlib.sha256(f"{environment}\n{project.recipe}".encode()).hexdigest()[:12]
    return project.root / ".asv" / "gate" / recipe / commit[:16]


def _install(project: Project, environment: str, commit: str, folder: Path, log: Path) -> None:
    module = "sparsebench.project.install"
    command = [sys.executable, "-m", module, str(project.root), environment, commit, str(folder)]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8", buffering=1) as output:
        print("$ install", commit, file=output)
        code = run_child(command, project.root, output)
    if code:
        raise SparsebenchError(
            f"commit {commit[:8]}: does not build or install; {reason(log)}; all of it: {log}"
        )


def _forget_old(folder: Path) -> None:
    """Delete all but the newest installations."""
    by_use = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in by_use[KEPT:]:
        shutil.rmtree(path, ignore_errors=True)
