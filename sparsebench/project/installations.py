"""Installed commits: a copy of asv's environment for each, made once and reused."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sparsebench.errors import SparsebenchError
from sparsebench.project.asv_command import reason, run_child
from sparsebench.project.settings import Project

KEPT: Final = 16  # installed commits; the least recently used are deleted
# asv's own files, which benchmarks do not need
_ASV_FILES: Final = {"asv-build-cache", "asv-env-info.json", "asv-install-status.json"}
# Files that contain the environment's path, besides scripts: links to editable installs.
_FILES_WITH_PATH: Final = ("*.pth", "__editable__*", "*.egg-link", "direct_url.json")


@dataclass(frozen=True)
class Installation:
    """An installed commit.

    Attributes:
        folder: a Python environment of its own; unchanged files are hard links, so that another
            commit needs little disk and shares the system's cache.
        variables: environment variables that asv sets for benchmarks.
        interpreter: of an existing environment; None: that in ``folder``.
    """

    folder: Path
    variables: dict[str, str]
    interpreter: Path | None = None

    @property
    def python(self) -> Path:
        """The path of the interpreter."""
        return self.interpreter or self.folder / "bin" / "python"


def environment_name(project: Project, name: str | None) -> str:
    """Return the environment to measure in: ``name``, or the first of the matrix.

    Raises:
        SparsebenchError: the matrix has none of this name.
    """
    if name is None:
        return project.environments[0]
    if name not in project.environments:
        names = ", ".join(project.environments)
        raise SparsebenchError(f"--environment: must be one of {names}, got {name!r}")
    return name


def installed(
    project: Project, environment: str, commit: str, log: Path, report: Callable[[str], None]
) -> Installation:
    """Return ``commit``, built and installed by asv now or by an earlier call.

    Args:
        project: where to look for asv's settings.
        environment: asv's name of it.
        commit: the full hash.
        log: what asv prints is appended here.
        report: called with a line before an installation.

    Raises:
        SparsebenchError: the commit does not build or install.
    """
    folder = _folder(project, environment, commit)
    if not (folder / "ready.json").is_file():
        report(f"installing {commit[:8]}")
        install_commit(project, environment, commit, folder, log)
        _delete_old(folder.parent)
    os.utime(folder)
    return Installation(folder, json.loads((folder / "ready.json").read_text(encoding="utf-8")))


def existing_installation(project: Project, python: Path) -> Installation:
    """Return what an interpreter imports, with the project's own folder before it.

    Raises:
        SparsebenchError: there is no such interpreter, or it lacks asv_runner.
    """
    python = Path(shutil.which(python) or python).absolute()
    command = [str(python), "-c", "import asv_runner, sys; print(sys.prefix)"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        lines = str(getattr(error, "stderr", "") or error).strip().splitlines()
        raise SparsebenchError(f"--python: {python} must import asv_runner; {lines[-1]}") from None
    paths = [str(project.root), *filter(None, [os.environ.get("PYTHONPATH")])]
    variables = {"ASV_PYTHONPATH": os.pathsep.join(paths)}
    return Installation(Path(done.stdout.strip()), variables, python)


def copy_installation(installation: Installation) -> Installation:
    """Return a copy of an installation in another folder."""
    folder = installation.folder.with_name(f"{installation.folder.name}-copy")
    variables = {**installation.variables, "ASV_ENV_DIR": str(folder)}
    copy_environment(installation.folder, folder, variables)
    return Installation(folder, variables)


def _folder(project: Project, environment: str, commit: str) -> Path:
    """Return the folder of a commit, which depends on environment and build settings."""
    recipe = hashlib.sha256(f"{environment}\n{project.recipe}".encode()).hexdigest()[:12]
    return project.root / ".asv" / "gate" / recipe / commit[:16]


def install_commit(
    project: Project, environment: str, commit: str, folder: Path, log: Path
) -> None:
    """Let asv build and install a commit in a child process, and copy its environment.

    Raises:
        SparsebenchError: the commit does not build or install.
    """
    module = "sparsebench.project.install"
    command = [sys.executable, "-m", module, str(project.root), environment, commit, str(folder)]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8", buffering=1) as output:
        print("$ install", commit, file=output)
        code = run_child(command, project.root, output)
    if code:
        raise SparsebenchError(
            f"commit {commit[:8]}: does not build or install; {reason(log)}; complete log: {log}"
        )


def _delete_old(folder: Path) -> None:
    """Delete the least recently used installations."""
    by_use = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in by_use[KEPT:]:
        shutil.rmtree(path, ignore_errors=True)


def copy_environment(source: Path, target: Path, variables: dict[str, str]) -> None:
    """Copy an environment by hard links; ``target`` appears when it is complete."""
    unfinished = target.with_name(target.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.rmtree(target, ignore_errors=True)
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, unfinished, symlinks=True, ignore=_asv_files, copy_function=_link)
    _replace_paths(unfinished, str(source), str(target))
    (unfinished / "ready.json").write_text(json.dumps(variables), encoding="utf-8")
    unfinished.rename(target)


def _asv_files(_: str, names: list[str]) -> set[str]:
    return _ASV_FILES.intersection(names)


def _link(source: str, target: str) -> None:
    """Make a hard link, or a copy if the file system has no links."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def _replace_paths(folder: Path, old: str, new: str) -> None:
    """Replace the old environment's path in files of the new one.

    Otherwise console scripts and editable installs would use whatever commit asv installed last.
    """
    scripts = [path for path in (folder / "bin").iterdir() if not path.is_symlink()]
    for path in scripts + [p for pattern in _FILES_WITH_PATH for p in folder.rglob(pattern)]:
        content = path.read_bytes() if path.is_file() else b""
        if old.encode() in content and b"\0" not in content:
            mode = path.stat().st_mode
            path.unlink()  # only this link to the file
            path.write_bytes(content.replace(old.encode(), new.encode()))
            path.chmod(mode)
