"""Worker processes as the coordinator sees them: ask, wait no longer than agreed, replace."""

import json
import os
import random
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self
from uuid import uuid4

from sparsebench.project.installations import Installation

_SCRIPT: Final = Path(__file__).with_name("worker.py")
_POLL: Final = 0.2  # seconds between looks at whether a silent worker still lives
_PROCESSORS: Final = 4  # of which the quietest is looked for, before each case
_MARK: Final = "SPARSEBENCH_WORKER"  # an environment variable, which all descendants inherit
_PADDING: Final = 4096  # bytes by which environments differ, and with them the stack's place

SIDES: Final = ("base", "head")
Reply = dict[str, Any]


@dataclass(frozen=True)
class Launch:
    """What it takes to start a worker for one commit."""

    installation: Installation
    benchmarks: Path
    folder: Path  # the worker's own, where it starts every benchmark
    log: Path


class WorkerProcess:
    """One commit's benchmarks in a process of their own, started when first asked."""

    def __init__(self, launch: Launch, padding: int = 0) -> None:
        self._launch = launch
        self._padding = padding
        self._process: subprocess.Popen[bytes] | None = None
        self._requests = self._replies = -1
        self._mark = f"{_MARK}={uuid4()}"

    @property
    def running(self) -> bool:
        """Whether it was started, and has not been lost or ended since."""
        return self._process is not None

    def send(self, do: str, **request: Any) -> None:
        """Ask; :meth:`receive` waits for the reply."""
        if self._process is None:
            self._start()
        with suppress(BrokenPipeError):  # it died: `receive` tells how
            os.write(self._requests, (json.dumps({"do": do, **request}) + "\n").encode())

    def receive(self, timeout: float) -> Reply:
        """The reply; a worker that dies or takes too long is gone, and that is its reply."""
        assert self._process
        line = self._line(time.monotonic() + timeout)
        if line.endswith(b"\n"):
            reply: Reply = json.loads(line)
            return reply
        alive = self._process.poll() is None
        if alive and not line:
            alive = self._settles()
        code = self._process.returncode
        self.end()
        return {
            "failed": f"timed out after {timeout:g} s" if alive else _ending(code),
            "lost": True,
        }

    def ask(self, do: str, timeout: float, **request: Any) -> Reply:
        """Send and receive."""
        self.send(do, **request)
        return self.receive(timeout)

    def end(self) -> None:
        """Kill the worker with everything it started; the next request starts a new one."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pid in _started_with(self._mark):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        os.close(self._requests)
        os.close(self._replies)
        self._process = None

    def _start(self) -> None:
        theirs_in, self._requests = os.pipe()
        self._replies, theirs_out = os.pipe()
        launch = self._launch
        try:
            with launch.log.open("ab") as log:
                self._process = subprocess.Popen(
                    [
                        str(launch.installation.python),
                        str(_SCRIPT),
                        *(str(theirs_in), str(theirs_out), str(launch.benchmarks)),
                    ],
                    cwd=launch.folder,
                    env=_environment(launch.installation, self._padding, self._mark),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=(theirs_in, theirs_out),
                    start_new_session=True,
                )
        finally:
            os.close(theirs_in)
            os.close(theirs_out)

    def _line(self, deadline: float) -> bytes:
        """One line of the replies; less than that where the worker died or time is up."""
        assert self._process
        line = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._replies, selectors.EVENT_READ)
            while not line.endswith(b"\n") and time.monotonic() < deadline:
                if selector.select(min(_POLL, max(deadline - time.monotonic(), 0))):
                    chunk = os.read(self._replies, 1 << 16)
                    if not chunk:
                        break
                    line += chunk
                elif self._process.poll() is not None:  # a child of it may hold the pipe open
                    break
        return line

    def _settles(self) -> bool:
        """Whether it lives on: a process whose pipe has just closed may not have ended yet."""
        assert self._process
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_POLL)
        return self._process.returncode is None


class Pair:
    """A fresh process for each commit: what one round measures in."""

    def __init__(self, launches: dict[str, Launch], seed: int) -> None:
        rng = random.Random(seed)  # noqa: S311  # spreads memory layouts, guards nothing
        self.sides = {s: WorkerProcess(launches[s], rng.randrange(_PADDING)) for s in SIDES}
        self.processors = _some_processors(rng)
        self.first = SIDES[seed % 2]  # who is started and asked first alternates: it has a bias

    @property
    def running(self) -> list[str]:
        """The sides whose process is there."""
        return [side for side in self.order if self.sides[side].running]

    @property
    def order(self) -> tuple[str, str]:
        """The sides, the one first that is asked first in this round."""
        return (self.first, SIDES[1 - SIDES.index(self.first)])

    def both(self, do: str, timeout: float, **request: Any) -> dict[str, Reply]:
        """Ask both at once; their replies."""
        return self.each(do, timeout, dict.fromkeys(SIDES, request))

    def each(self, do: str, timeout: float, requests: dict[str, Reply]) -> dict[str, Reply]:
        """Ask those sides that have a request, all at once; their replies."""
        asked = [side for side in self.order if side in requests]
        for side in asked:
            self.sides[side].send(do, **requests[side])
        return {side: self.sides[side].receive(timeout) for side in asked}

    def restart(self) -> None:
        """End both; the next request starts fresh ones."""
        for side in self.sides.values():
            side.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.restart()


def _some_processors(rng: random.Random) -> list[int]:
    """A few of those that we may run on; none where the system does not let us choose."""
    if not hasattr(os, "sched_setaffinity"):
        return []
    allowed = sorted(os.sched_getaffinity(0))
    return rng.sample(allowed, min(len(allowed), _PROCESSORS))


def _started_with(mark: str) -> Iterator[int]:
    """The processes that inherited a worker's mark, even from a session of their own.

    From Linux's /proc; elsewhere only what stays in the worker's process group is found.
    """
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # it has ended, or is somebody else's
            if mark.encode() in entry.read_bytes():
                yield int(entry.parent.name)


def _environment(installation: Installation, padding: int, mark: str) -> dict[str, str]:
    """As asv starts a benchmark: the environment's programs first, and no PYTHONPATH."""
    variables = {**os.environ, **installation.variables}
    variables.pop("PYTHONPATH", None)
    if "ASV_PYTHONPATH" in variables:
        variables["PYTHONPATH"] = variables["ASV_PYTHONPATH"]
    programs = str(installation.folder / "bin")
    variables["PATH"] = os.pathsep.join([programs, variables.get("PATH", os.defpath)])
    name, _, value = mark.partition("=")
    return {**variables, name: value, "SPARSEBENCH_PADDING": "x" * padding}


def _ending(code: int | None) -> str:
    """How a process ended, for people."""
    if code is not None and code < 0:
        return f"its process was killed by {signal.Signals(-code).name}"
    return f"its process ended with exit code {code}"
