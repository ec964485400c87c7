"""Where a project's commits can be seen in a browser."""

import re
import subprocess
from pathlib import Path
from typing import Any, Final

from asv.config import Config
from asv.util import UserError

# git@host:owner/repo.git and ssh://git@host/owner/repo.git, as well as https://host/owner/repo.git
_REMOTE: Final = re.compile(
    r"(?:https?://(?:[^@/]+@)?|ssh://(?:[^@/]+@)?|[\w.-]+@)(?P<host>[\w.-]+)(?::\d+(?=/))?[:/]"
    r"(?P<path>[\w./~-]+?)(?:\.git)?/?"
)


def commit_url(start: Path) -> tuple[str, str] | None:
    """The name of the project that ``start`` lies in, and the address to put a hash behind.

    ``show_commit_url`` of asv.conf.json, or else what the remote ``origin`` of the repository says.
    None where there is no asv project, or neither gives a web address.
    """
    root = next((p for p in (start, *start.parents) if (p / "asv.conf.json").is_file()), None)
    if root is None:
        return None
    try:
        config: Any = Config.load(str(root / "asv.conf.json"))
    except (UserError, ValueError, RuntimeError):
        return None  # `sparsebench bench` says what is wrong with it; a page can do without
    url = str(config.show_commit_url or "")
    if not is_web_address(url):
        url = _from_remote((root / config.repo).resolve()) or ""
    return (str(config.project), url) if url else None


def is_web_address(url: str) -> bool:
    """Whether ``url`` begins with http:// or https://, the only links that a page may hold."""
    return re.match(r"https?://[^\s\"'<>]+$", url) is not None


def web_address(remote: str) -> str | None:
    """The address of a remote's commits, the hash to follow; None for a remote that is a folder."""
    found = _REMOTE.fullmatch(remote)
    return f"https://{found['host']}/{found['path']}/commit/" if found else None


def _from_remote(repository: Path) -> str | None:
    if not repository.is_dir():
        return web_address(str(repository))
    command = ["git", "-C", str(repository), "remote", "get-url", "origin"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    return web_address(ran.stdout.strip()) if ran.returncode == 0 else None
