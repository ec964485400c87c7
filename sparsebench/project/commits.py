"""Which commits to measure, by git."""

import re
import tarfile
from dataclasses import dataclass
from pathlib import Path

from sparsebench.errors import SparsebenchError, unknown_name
from sparsebench.project.git import git, run_git

RECENT = 3  # HEAD and up to two before it
_SHALLOW = (
    "; the clone is shallow and may lack it: `git fetch --unshallow --tags` "
    "(actions/checkout: fetch-depth: 0)"
)


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


def one(repository: Path, revision: str, where: str) -> Commit:
    """The commit that ``revision`` names; ``where`` is said in errors.

    Raises:
        SparsebenchError: it names none.
    """
    if not revision or revision.startswith("-") or ".." in revision:
        raise SparsebenchError(f"{where}: must be one commit, got {revision!r}")
    _check_known(repository, revision, where)
    return _log(repository, ["-n", "1", revision])[0]


def differs(repository: Path, commit: str, folder: Path) -> bool:
    """Whether files below ``folder`` in the working tree are not as they are in ``commit``."""
    listed = git(repository, "status", "--porcelain", "--", str(folder))
    return bool(listed) or bool(
        run_git(repository, "diff", "--quiet", commit, "HEAD", "--", str(folder)).returncode
    )


def extract(repository: Path, commit: str, folder: Path, into: Path) -> Path | None:
    """A copy, below ``into``, of ``folder`` as it is in ``commit``; None where it is not in it."""
    inside = folder.relative_to(repository)
    if run_git(repository, "cat-file", "-e", f"{commit}:{inside}").returncode:
        return None
    archive = into / "archive.tar"
    git(repository, "archive", f"--output={archive}", commit, "--", str(inside))
    with tarfile.open(archive) as tar:
        tar.extractall(into, filter="data")
    archive.unlink()
    return into / inside


def _check_known(repository: Path, revision: str, where: str = "--commits") -> None:
    """SparsebenchError, with near names of branches and tags, where an end names no commit."""
    for end in filter(None, re.split(r"\.{2,3}", revision)):
        ran = run_git(repository, "rev-parse", "--verify", "--quiet", f"{end}^{{commit}}")
        if ran.returncode:
            names = git(repository, "for-each-ref", "--format=%(refname:short)").split()
            hint = _SHALLOW if _is_shallow(repository) else ""
            raise SparsebenchError(f"{where}: {unknown_name('revision', end, names)}{hint}")


def _is_shallow(repository: Path) -> bool:
    """Whether the clone has a part of the history only, as CI systems make it."""
    return git(repository, "rev-parse", "--is-shallow-repository") == "true"


def uncommitted_changes(repository: Path) -> int:
    """How many tracked files differ from HEAD."""
    return len(git(repository, "status", "--porcelain", "--untracked-files=no").splitlines())


def _log(repository: Path, revisions: list[str]) -> list[Commit]:
    """Commits oldest first; first parents only."""
    options = ["--reverse", "--first-parent", "--format=%H%x09%s"]
    lines = git(repository, "log", *options, *revisions, "--").splitlines()
    return [Commit(*line.split("\t", 1)) for line in lines]
