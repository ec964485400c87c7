"""Commits of a repository: by revision, of the working tree, and their web addresses."""

import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from asv.config import Config
from asv.util import UserError

from sparsebench.errors import SparsebenchError, unknown_name
from sparsebench.results.asv.context import find_config

RECENT = 3  # HEAD and up to two before it
_SHALLOW = (
    "; the clone is shallow and may lack it: `git fetch --unshallow --tags` "
    "(actions/checkout: fetch-depth: 0)"
)

_IDENTITY = {
    f"GIT_{role}_{field}": value
    for role in ("AUTHOR", "COMMITTER")
    for field, value in (("NAME", "sparsebench"), ("EMAIL", "sparsebench@localhost"))
}
# git@host:owner/repo.git and ssh://git@host/owner/repo.git, as well as https://host/owner/repo.git
_REMOTE: Final = re.compile(
    r"(?:https?://(?:[^@/]+@)?|ssh://(?:[^@/]+@)?|[\w.-]+@)(?P<host>[\w.-]+)(?::\d+(?=/))?[:/]"
    r"(?P<path>[\w./~-]+?)(?:\.git)?/?"
)


@dataclass(frozen=True)
class Commit:
    """A commit with its subject line."""

    hash: str
    subject: str

    @property
    def short(self) -> str:
        """The first eight digits of the hash."""
        return self.hash[:8]


def resolve(repository: Path, commits: str | None) -> list[Commit]:
    """Return the commits to measure, oldest first, each once.

    Args:
        repository: a git work tree.
        commits: revisions and ranges in git's syntax, separated by commas or blanks: ``main``,
            ``v1..v2``, ``HEAD~3,HEAD``. Ranges follow first parents. None: HEAD and up to two
            commits before it (fewer in a young or shallow clone).

    Raises:
        SparsebenchError: an unknown revision, an empty range, or no commit at all.
    """
    if commits is None:
        return _log(repository, ["-n", str(RECENT), "HEAD"])
    resolved: dict[str, Commit] = {}
    for revision in commits.replace(",", " ").split():
        if revision.startswith("-"):
            raise SparsebenchError(
                f"--commits: a revision may not start with a dash, got {revision!r}"
            )
        _check_known(repository, revision)
        revisions = [revision] if ".." in revision else ["-n", "1", revision]
        listed = _log(repository, revisions)
        if not listed:
            raise SparsebenchError(
                f"--commits: a range must hold commits, got {revision!r}, which is empty"
            )
        resolved |= {commit.hash: commit for commit in listed}
    if not resolved:
        raise SparsebenchError("--commits: must name a commit or a range, got nothing")
    return list(resolved.values())


def find_commit(repository: Path, revision: str, where: str) -> Commit:
    """Return the commit that ``revision`` names; errors begin with ``where``.

    Raises:
        SparsebenchError: it names none.
    """
    if not revision or revision.startswith("-") or ".." in revision:
        raise SparsebenchError(f"{where}: must be one commit, got {revision!r}")
    _check_known(repository, revision, where)
    return _log(repository, ["-n", "1", revision])[0]


def differs(repository: Path, commit: str, folder: Path) -> bool:
    """Return whether files below ``folder`` differ between the working tree and ``commit``."""
    listed = git(repository, "status", "--porcelain", "--", str(folder))
    return bool(listed) or bool(
        run_git(repository, "diff", "--quiet", commit, "HEAD", "--", str(folder)).returncode
    )


def extract(repository: Path, commit: str, folder: Path, into: Path) -> Path | None:
    """Copy ``folder`` of ``commit`` below ``into``; return its path, or None without one."""
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
    """Raise an error with near names of branches and tags if an end of a range is no commit."""
    for end in filter(None, re.split(r"\.{2,3}", revision)):
        ran = run_git(repository, "rev-parse", "--verify", "--quiet", f"{end}^{{commit}}")
        if ran.returncode:
            names = git(repository, "for-each-ref", "--format=%(refname:short)").split()
            hint = _SHALLOW if _is_shallow(repository) else ""
            raise SparsebenchError(f"{where}: {unknown_name('revision', end, names)}{hint}")


def _is_shallow(repository: Path) -> bool:
    """Return whether the clone has only a part of the history, as in CI systems."""
    return git(repository, "rev-parse", "--is-shallow-repository") == "true"


def uncommitted_changes(repository: Path) -> int:
    """Return the number of tracked files that differ from HEAD."""
    return len(git(repository, "status", "--porcelain", "--untracked-files=no").splitlines())


def _log(repository: Path, revisions: list[str]) -> list[Commit]:
    """Return commits, oldest first, first parents only."""
    options = ["--reverse", "--first-parent", "--format=%H%x09%s"]
    lines = git(repository, "log", *options, *revisions, "--").splitlines()
    return [Commit(*line.split("\t", 1)) for line in lines]


def work_tree_commit(repository: Path) -> tuple[str, int]:
    """Return the hash of a commit with the working tree's content, and the number of changed files.

    Untracked files are included, ignored ones are not. No branch has the commit. Without changes it
    is HEAD. The same content gives the same hash. Index, branches and files are not changed.

    Raises:
        SparsebenchError: there is no commit yet, or git fails.
    """
    head = git(repository, "rev-parse", "--verify", "HEAD")
    with tempfile.TemporaryDirectory() as folder:
        index = Path(folder) / "index"
        current = Path(git(repository, "rev-parse", "--absolute-git-dir")) / "index"
        if current.is_file():
            shutil.copy2(current, index)  # tells git which files it need not read again
        variables = {"GIT_INDEX_FILE": str(index)}
        git(repository, "add", "--all", "--", ":/", variables=variables)
        tree = git(repository, "write-tree", variables=variables)
    changed = git(repository, "diff-tree", "-r", "--name-only", head, tree).splitlines()
    if not changed:
        return head, 0
    date = git(repository, "show", "--no-patch", "--format=%cI", head)
    variables = {**_IDENTITY, "GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
    message = "Uncommitted changes"
    return (
        git(repository, "commit-tree", tree, "-p", head, "-m", message, variables=variables),
        len(changed),
    )


def commit_url(start: Path) -> tuple[str, str] | None:
    """Return the name of the project at ``start`` or above, and the web address of its commits.

    The address, which a hash follows, is ``show_commit_url`` of asv.conf.json, else that of the
    remote ``origin``. None without an asv project or without a web address.
    """
    path = find_config(start)
    if path is None:
        return None
    try:
        config: Any = Config.load(str(path))
    except (UserError, ValueError, RuntimeError):
        return None  # `sparsebench bench` reports it; a page needs no links
    url = str(config.show_commit_url or "")
    if not is_web_address(url):
        url = _from_remote((path.parent / config.repo).resolve()) or ""
    return (str(config.project), url) if url else None


def is_web_address(url: str) -> bool:
    """Return whether ``url`` begins with http:// or https://, as links of a page must."""
    return re.match(r"https?://[^\s\"'<>]+$", url) is not None


def web_address(remote: str) -> str | None:
    """Return the web address of a remote's commits; None for a remote that is a folder."""
    match = _REMOTE.fullmatch(remote)
    return f"https://{match['host']}/{match['path']}/commit/" if match else None


def _from_remote(repository: Path) -> str | None:
    if not repository.is_dir():
        return web_address(str(repository))
    ran = run_git(repository, "remote", "get-url", "origin")
    return web_address(ran.stdout.strip()) if ran.returncode == 0 else None


def git(repository: Path, *arguments: str, variables: Mapping[str, str] | None = None) -> str:
    """Return what git prints, without surrounding blanks.

    Raises:
        SparsebenchError: git fails; the message has its first line.
    """
    ran = run_git(repository, *arguments, variables=variables)
    if ran.returncode:
        reason = (ran.stderr.strip().splitlines() or ["no reason given"])[0]
        raise SparsebenchError(f"git {arguments[0]} in {repository}: {reason}")
    return ran.stdout.strip()


def run_git(
    repository: Path, *arguments: str, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run git and return its exit code and output; ``variables`` are added to the environment."""
    command = ["git", "-C", str(repository), *arguments]
    environment = {**os.environ, **(variables or {})}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
