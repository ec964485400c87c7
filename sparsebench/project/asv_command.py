"""Running asv as a child process: its output into a log, its progress to a callback."""

import fcntl
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TextIO

from asv.machine import Machine, MachineCollection
from asv.util import UserError

from sparsebench.errors import SparsebenchError

# "[56.25%] ··· step.Short.time_step      ok"; other lines carry a percentage as well
_PROGRESS = re.compile(
    r"^\[\s*(?P<percent>[\d.]+)%\] ··· (?!Running |Error )(?P<name>[\w.]+)\s+(?P<outcome>\S.*)$"
)
_NOT_BUILT = re.compile(r"^\[[\s\d.]+%\] ·· Skipping ")
_MARKS = re.compile(r"^\[[\s\d.]+%\]|[ ·\n]+$|^[ ·]+")  # what asv puts around a line's words
_SOME_FAILED = 2  # asv's exit code when a benchmark failed and the rest was measured
_LOG_TAIL = 15  # lines of the log in which the reason of a failure is looked for

Progress = Callable[[float, str], None]
Tell = Callable[[str], None]  # called with every line that asv prints


class Outcome(Enum):
    """How measuring one commit went."""

    ALL = "all"
    SOME_FAILED = "some failed"
    NOT_BUILT = "not built"


@dataclass(frozen=True)
class Asv:
    """asv, ready to run in one project.

    Attributes:
        root: the folder of ``asv.conf.json``.
        machine: the name under which results are stored; None: this computer's.
        log: all output is appended here.
    """

    root: Path
    machine: str | None
    log: Path

    @property
    def machine_name(self) -> str:
        """The name of the folder that asv's results go to."""
        return self.machine or str(Machine.get_unique_machine_name())

    def ensure_machine(self) -> None:
        """Describe this machine in asv's file in the home folder, unless it is there already."""
        try:
            MachineCollection.load(self.machine_name)
        except UserError:
            self._call("machine", "--yes", *(["--machine", self.machine] if self.machine else []))

    def discover(self, commits: Sequence[str]) -> None:
        """Have asv build what it needs and write ``benchmarks.json``; nothing is measured."""
        self._call("run", *self._machine(), "--bench", "just-discover", commits=commits)

    def measure(self, commit: str, pattern: str, progress: Progress) -> Outcome:
        """Run the benchmarks whose ``name(parameters)`` match, and keep their samples.

        ``progress`` is called with the percentage that is done and what was done last.
        """
        built = True

        def tell(line: str) -> None:
            nonlocal built
            built = built and not _NOT_BUILT.match(line)
            if match := _PROGRESS.match(line):
                progress(float(match["percent"]), f"{match['name']} {match['outcome']}")

        options = ("--record-samples", "--show-stderr", "--bench", pattern)
        code = self._call("run", *self._machine(), *options, commits=[commit], tell=tell)
        if not built:
            return Outcome.NOT_BUILT
        return Outcome.SOME_FAILED if code == _SOME_FAILED else Outcome.ALL

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the project's lock; an asv that outlived its caller goes on holding it.

        Raises:
            SparsebenchError: somebody else holds it.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with (self.log.parent / "lock").open("w") as lock, _terminate_interrupts():
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SparsebenchError(
                    f"{self.root}: another run is under way here; wait for it, or end it"
                ) from None
            os.set_inheritable(lock.fileno(), True)
            yield

    def _machine(self) -> list[str]:
        return ["--machine", self.machine] if self.machine else []

    def _call(self, *arguments: str, commits: Sequence[str] = (), tell: Tell | None = None) -> int:
        """The exit code of asv; SparsebenchError where it could not do its work.

        Commits go in by a file: a range such as ``c^!`` fails at a shallow clone's edge.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with (
            self.log.open("a", encoding="utf-8", buffering=1) as log,
            tempfile.NamedTemporaryFile("w", suffix=".commits") as hashes,
        ):
            hashes.write("\n".join(commits))
            hashes.flush()
            command = [*arguments, f"HASHFILE:{hashes.name}"] if commits else list(arguments)
            print("$ asv", *arguments, *commits, file=log)
            code = run_child([sys.executable, "-m", "asv", *command], self.root, log, tell)
        if code not in (0, _SOME_FAILED):
            raise SparsebenchError(
                f"asv {arguments[0]}: failed with exit code {code}; {reason(self.log)}; "
                f"all of it: {self.log}"
            )
        return code


def run_child(command: list[str], folder: Path, log: TextIO, tell: Tell | None = None) -> int:
    """The exit code of ``command``, run to its end, or until Ctrl-C: then it is ended too."""
    with subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
        close_fds=False,  # so that the lock lasts as long as asv does
    ) as child:
        assert child.stdout is not None
        try:
            for line in child.stdout:
                log.write(line)
                if tell:
                    tell(line)
        except BaseException:  # Ctrl-C above all: nothing that we started may outlive us
            _end(child)
            raise
    return child.returncode


def _end(child: subprocess.Popen[str]) -> None:
    """Kill asv and every process of its session.

    Asking asv to stop is not enough: interrupted, it waits for a fork server that it never ends
    and that has a process group of its own. What asv stores it has stored when a commit is done.
    """
    for pid in _session(child.pid):
        with suppress(ProcessLookupError):  # it ended by itself
            os.kill(pid, signal.SIGKILL)


def _session(leader: int) -> list[int]:
    """The processes of a session, from Linux's /proc; elsewhere the leader alone."""
    members = [leader]
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(ProcessLookupError, PermissionError):
            if os.getsid(int(entry.name)) == leader:
                members.append(int(entry.name))
    return members


@contextmanager
def _terminate_interrupts() -> Iterator[None]:
    """Treat SIGTERM, which `timeout` and CI systems send, as Ctrl-C."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def reason(log: Path) -> str:
    """The line near the log's end that says most: an error's last line, or just the last."""
    text = log.read_text(encoding="utf-8")
    lines = [_MARKS.sub("", _MARKS.sub("", line)).strip() for line in text.splitlines()]
    tail = [line for line in lines if line][-_LOG_TAIL:]
    telling = [line for line in tail if re.search(r"error|unknown|fail|not found", line, re.I)]
    return (telling or tail or ["it printed nothing"])[-1]
