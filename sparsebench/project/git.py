"""Running git in a repository."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from sparsebench.errors import SparsebenchError


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
