"""Worker processes from the coordinator's side: requests with a timeout, and replacement."""

import json
import os
import random
import selectors
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self
from uuid import uuid4

from sparsebench.gate.findings import SIDES
from sparsebench.project.installations import Installation
from sparsebench.project.processes import kill_marked

_SCRIPT: Final = Path(__file__).with_name("worker.py")
_POLL: Final = 0.2  # seconds between checks whether a silent worker is alive
_PROCESSORS: Final = 4  # candidates for the quietest one, before each case
_MARK: Final = "SPARSEBENCH_WORKER"  # environment variable that child processes inherit
_PADDING: Final = 4096  # bytes by which environments, and so the stack's address, differ

Reply = dict[str, Any]


@dataclass(frozen=True)
class Launch:
    """How to start a worker for one commit."""

    installation: Installation
    benchmarks: Path
    folder: Path  # the worker's working directory
    log: Path


class WorkerProcess:
    """A process with one commit's benchmarks, started with the first request."""

    def __init__(self, launch: Launch, padding: int = 0) -> None:
        self._launch = launch
        self._padding = padding
        self._process: subprocess.Popen[bytes] | None = None
        self._requests = self._replies = -1
        self._mark = f"{_MARK}={uuid4()}"

    @property
    def pid(self) -> int | None:
        """The process's id while it is running."""
        return None if self._process is None else self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is running."""
        return self._process is not None

    def send(self, do: str, **request: Any) -> None:
        """Send a request; :meth:`receive` waits for the reply."""
        if self._process is None:
            self._start()
        with suppress(BrokenPipeError):  # it has ended: `receive` reports how
            os.write(self._requests, (json.dumps({"do": do, **request}) + "\n").encode())

    def receive(self, timeout: float) -> Reply:
        """Return the reply; "failed" and "lost" if the worker ended or took too long."""
        assert self._process
        line = self._line(time.monotonic() + timeout)
        if line.endswith(b"\n"):
            reply: Reply = json.loads(line)
            if reply.get("lost"):  # it says itself that nothing runs in it any more
                self.end()
            return reply
        alive = self._process.poll() is None
        if alive and not line:
            alive = self._is_still_running()
        code = self._process.returncode
        self.end()
        return {
            "failed": f"timed out after {timeout:g} s" if alive else _ending(code),
            "lost": True,
        }

    def ask(self, do: str, timeout: float, **request: Any) -> Reply:
        """Send a request and return the reply."""
        self.send(do, **request)
        return self.receive(timeout)

    def end(self) -> None:
        """Kill the worker and all that it started; the next request starts a new one."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        kill_marked(self._mark)
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
        """Return one line of the replies, incomplete if the worker ended or the time is over."""
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
                elif self._process.poll() is not None:  # a child process may keep the pipe open
                    break
        return line

    def _is_still_running(self) -> bool:
        """Return whether a process whose pipe has closed is still alive after a moment."""
        assert self._process
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_POLL)
        return self._process.returncode is None


class Pair:
    """A fresh worker per commit, for one round."""

    def __init__(self, launches: dict[str, Launch], seed: int) -> None:
        rng = random.Random(seed)  # noqa: S311  # varies memory layouts; not for security
        self.sides = {s: WorkerProcess(launches[s], rng.randrange(_PADDING)) for s in SIDES}
        self.processors = _sample_processors(rng)
        self.first = SIDES[seed % 2]  # alternates, because the side that is first has a bias

    @property
    def running(self) -> list[str]:
        """The sides whose process is running."""
        return [side for side in self.order if self.sides[side].running]

    @property
    def order(self) -> tuple[str, str]:
        """Both sides, in the order of requests in this round."""
        return (self.first, SIDES[1 - SIDES.index(self.first)])

    def both(self, do: str, timeout: float, **request: Any) -> dict[str, Reply]:
        """Send a request to both sides and return their replies."""
        return self.each(do, timeout, dict.fromkeys(SIDES, request))

    def each(self, do: str, timeout: float, requests: dict[str, Reply]) -> dict[str, Reply]:
        """Send each side its request and return the replies."""
        sides = [side for side in self.order if side in requests]
        for side in sides:
            self.sides[side].send(do, **requests[side])
        return {side: self.sides[side].receive(timeout) for side in sides}

    def restart(self) -> None:
        """End both workers; the next request starts new ones."""
        for side in self.sides.values():
            side.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.restart()


def _sample_processors(rng: random.Random) -> list[int]:
    """Return some of the allowed processors; none if processes cannot be bound."""
    if not hasattr(os, "sched_setaffinity"):
        return []
    allowed = sorted(os.sched_getaffinity(0))
    return rng.sample(allowed, min(len(allowed), _PROCESSORS))


def _environment(installation: Installation, padding: int, mark: str) -> dict[str, str]:
    """Return the variables with which asv starts a benchmark, and no PYTHONPATH."""
    variables = {**os.environ, **installation.variables}
    variables.pop("PYTHONPATH", None)
    if "ASV_PYTHONPATH" in variables:
        variables["PYTHONPATH"] = variables["ASV_PYTHONPATH"]
    programs = str(installation.folder / "bin")
    variables["PATH"] = os.pathsep.join([programs, variables.get("PATH", os.defpath)])
    name, _, value = mark.partition("=")
    return {**variables, name: value, "SPARSEBENCH_PADDING": "x" * padding}


def _ending(code: int | None) -> str:
    """Return how a process ended as a sentence."""
    if code is not None and code < 0:
        return f"its process was killed by {signal.Signals(-code).name}"
    return f"its process ended with exit code {code}"
