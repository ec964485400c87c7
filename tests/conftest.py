"""What several rooms' tests share: a small git repository, and a small asv project in one."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("no deadline", deadline=None)  # machines differ, and stall
settings.load_profile("no deadline")

IDENTITY = {
    f"GIT_{role}_{field}": value
    for role in ("AUTHOR", "COMMITTER")
    for field, value in (("NAME", "test"), ("EMAIL", "test@example.invalid"))
}


def git(folder: Path, *arguments: str) -> str:
    """Run git in ``folder`` and give its output."""
    return subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env={**os.environ, **IDENTITY},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


Commit = Callable[[str], str]


@pytest.fixture
def repository(tmp_path: Path) -> tuple[Path, Commit]:
    """An empty repository on branch main, and a function that adds a commit and gives its hash."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch", "main")

    def commit(subject: str) -> str:
        (folder / "file.txt").write_text(subject)
        git(folder, "add", "--all")
        git(folder, "commit", "--quiet", "--message", subject)
        return git(folder, "rev-parse", "HEAD")

    return folder, commit
