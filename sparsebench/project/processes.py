"""Killing processes together with all that they started, by Linux's /proc."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

_PATIENCE: Final = 10.0  # seconds that a killed process may take to end
_POLL: Final = 0.005  # seconds


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

    Child processes inherit it, also in a session of their own. Returns when all have ended, or
    after 10 s. Without /proc none is found.
    """
    deadline = time.monotonic() + _PATIENCE
    killed: set[int] = set()
    while marked := [pid for pid in _process_ids() if _is_marked(pid, mark)]:
        for pid in marked:
            _kill(pid)
        killed.update(marked)
        if not _wait(killed, deadline):
            break


def is_running(pid: int) -> bool:
    """Whether a process still runs; one that only waits to be reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def _is_marked(pid: int, mark: str) -> bool:
    try:
        return mark.encode() in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:  # it has ended, or belongs to another user
        return False


def _wait(pids: set[int], deadline: float) -> bool:
    """Wait for processes that were killed; return whether they ended before ``deadline``."""
    while any(is_running(pid) for pid in pids):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL)
    return True


def _process_ids() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").glob("[0-9]*"))


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):  # it has ended
        os.kill(pid, signal.SIGKILL)
