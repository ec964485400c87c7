"""Killing processes together with all that they started, by Linux's /proc."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def kill_session(leader: int) -> None:
    """Kill all processes of the session of ``leader``; without /proc the leader alone."""
    members = [leader]
    for pid in _process_ids():
        with suppress(ProcessLookupError, PermissionError):
            if os.getsid(pid) == leader:
                members.append(pid)
    for pid in members:
        _kill(pid)


def kill_marked(mark: str) -> None:
    """Kill all processes whose initial environment contains ``mark``, "NAME=value".

    Child processes inherit it, also in a session of their own. Without /proc none is found.
    """
    for pid in _process_ids():
        with suppress(OSError):  # it has ended, or belongs to another user
            if mark.encode() in Path(f"/proc/{pid}/environ").read_bytes():
                _kill(pid)


def _process_ids() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").glob("[0-9]*"))


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):  # it has ended
        os.kill(pid, signal.SIGKILL)
