"""Which commits to measure, by git."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from sparsebench.errors import SparsebenchError, unknown_name

RECENT = 3  # HEAD and up to two before it


@dataclass(frozen=True)
class Commit:
    """One commit, and its subject line."""

    hash: str
    subject: str

    @property
    def short(self) -> str:
        """The hash as people write it."""
        return self.hash[:8]


def resolve(repository: Path, commits: str | None) -> list[Commit]:
    """The commits to measure, oldest first, each once.

    Args:
        repository: a git work tree.
        commits: revisions and ranges as git knows them, separated by commas or blanks: ``main``,
            ``v1..v2``, ``HEAD~3,HEAD``. Ranges follow first parents. None: HEAD and up to two
            commits before it (fewer in a young or shallow clone).

    Raises:
        SparsebenchError: an unknown revision, an empty range, or no commit at all.
    """
    if commits is None:
        return _log(repository, ["-n", str(RECENT), "HEAD"])
    found: dict[str, Commit] = {}
    for revision in commits.replace(",", " ").split():
        if revision.startswith("-"):
            raise SparsebenchError(
                f"--commits: a revision may not start with a dash, got {revision!r}"
            )
        _check_known(repository, revision)
        chosen = [revision] if ".." in revision else ["-n", "1", revision]
        listed = _log(repository, chosen)
        if not listed:
            raise SparsebenchError(
                f"--commits: a range must hold commits, got {revision!r}, which is empty"
            )
        found |= {commit.hash: commit for commit in listed}
    if not found:
        raise SparsebenchError("--commits: must name a commit or a range, got nothing")
    return list(found.values())


def _check_known(repository: Path, revision: str) -> None:
    """SparsebenchError, with near names of branches and tags, where an end names no commit."""
    for end in filter(None, re.split(r"\.{2,3}", revision)):
        ran = _run(repository, "rev-parse", "--verify", "--quiet", f"{end}^{{commit}}")
        if ran.returncode:
            names = _git(repository, "for-each-ref", "--format=%(refname:short)").split()
            raise SparsebenchError(f"--commits: {unknown_name('revision', end, names)}")


def uncommitted_changes(repository: Path) -> int:
    """How many tracked files differ from HEAD."""
    return len(_git(repository, "status", "--porcelain", "--untracked-files=no").splitlines())


def _log(repository: Path, revisions: list[str]) -> list[Commit]:
    """Commits oldest first; first parents only."""
    options = ["--reverse", "--first-parent", "--format=%H%x09%s"]
    lines = _git(repository, "log", *options, *revisions, "--").splitlines()
    return [Commit(*line.split("\t", 1)) for line in lines]


def _git(repository: Path, *arguments: str) -> str:
    ran = _run(repository, *arguments)
    if ran.returncode:
        reason = (ran.stderr.strip().splitlines() or ["no reason given"])[0]
        raise SparsebenchError(f"git {arguments[0]} in {repository}: {reason}")
    return ran.stdout


def _run(repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["git", "-C", str(repository), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)
