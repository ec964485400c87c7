"""Running git in a repository."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from sparsebench.errors import SparsebenchError


def git(repository: Path, *arguments: str, variables: Mapping[str, str] | None = None) -> str:
    """What git prints, without blanks around it.

    Raises:
        SparsebenchError: git fails; with the first line of its reason.
    """
    ran = run_git(repository, *arguments, variables=variables)
    if ran.returncode:
        reason = (ran.stderr.strip().splitlines() or ["no reason given"])[0]
        raise SparsebenchError(f"git {arguments[0]} in {repository}: {reason}")
    return ran.stdout.strip()


def run_git(
    repository: Path, *arguments: str, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """How git ended and what it printed; ``variables`` are added to the environment."""
    command = ["git", "-C", str(repository), *arguments]
    environment = {**os.environ, **(variables or {})}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
