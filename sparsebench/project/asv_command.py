"""Run asv as a child process, with its output in a log and its progress given to a callback."""

import fcntl
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Final, TextIO
from uuid import uuid4

from asv.machine import Machine, MachineCollection
from asv.util import UserError

from sparsebench import recorder
from sparsebench.errors import SparsebenchError
from sparsebench.project.processes import kill_session

# "[56.25%] ··· step.Short.time_step      ok"; other lines have a percentage as well
_PROGRESS = re.compile(
    r"^\[\s*(?P<percent>[\d.]+)%\] ··· (?!Running |Error )(?P<name>[\w.]+)\s+(?P<outcome>\S.*)$"
)
_NOT_BUILT = re.compile(r"^\[[\s\d.]+%\] ·· Skipping ")
_MARKS = re.compile(r"^\[[\s\d.]+%\]|[ ·\n]+$|^[ ·]+")  # asv's decoration of a line
_SOME_FAILED = 2  # asv's exit code when a benchmark failed and the rest was measured
_LOG_TAIL = 15  # last lines of the log that are searched for the reason of a failure

SELECT: Final = "SPARSEBENCH_SELECT"  # the pattern, for suites that measure in ``setup_cache``

Progress = Callable[[float, str], None]
OnLine = Callable[[str], None]  # called with each line that asv prints


def _new_run() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid4().hex[:6]}"


class AsvOutcome(Enum):
    """Result of measuring one commit."""

    ALL = "all"
    SOME_FAILED = "some failed"
    NOT_BUILT = "not built"


@dataclass(frozen=True)
class Asv:
    """asv in one project.

    Attributes:
        root: the folder of ``asv.conf.json``.
        machine: the name under which results are stored; None: this computer's.
        log: all output is appended here.
        config: the configuration that asv reads; None: that in ``root``.
        run: an id that is recorded with all that is measured.
    """

    root: Path
    machine: str | None
    log: Path
    config: Path | None = None
    run: str = field(default_factory=_new_run)

    @property
    def machine_name(self) -> str:
        """The name of the folder of asv's results."""
        return self.machine or str(Machine.get_unique_machine_name())

    def ensure_machine(self) -> None:
        """Add this machine to asv's file in the home folder, unless it is there."""
        try:
            MachineCollection.load(self.machine_name)
        except UserError:
            self._call("machine", "--yes", *(["--machine", self.machine] if self.machine else []))

    def discover(self, commit: str, environment: str | None = None) -> None:
        """Let asv build environments and write ``benchmarks.json``; nothing is measured.

        ``environment`` is as in `measure`; None: all of the matrix.
        """
        self._run(commit, environment, "--bench", "just-discover")

    def measure(
        self, commit: str, pattern: str, progress: Progress, environment: str
    ) -> AsvOutcome:
        """Run the benchmarks whose ``name(parameters)`` match, and record their samples.

        Args:
            commit: the hash under which results are stored.
            pattern: a regular expression, searched as asv does.
            progress: called with the percentage done and a text on the last benchmark.
            environment: asv's name of one in the matrix, where ``commit`` is installed, or
                "existing:PYTHON", where what is installed is measured.
        """
        built = True

        def on_line(line: str) -> None:
            nonlocal built
            built = built and not _NOT_BUILT.match(line)
            if match := _PROGRESS.match(line):
                progress(float(match["percent"]), f"{match['name']} {match['outcome']}")

        options = ("--record-samples", "--show-stderr", "--bench", pattern)
        variables = {SELECT: pattern, recorder.COMMIT: commit}
        code = self._run(commit, environment, *options, on_line=on_line, variables=variables)
        if not built:
            return AsvOutcome.NOT_BUILT
        return AsvOutcome.SOME_FAILED if code == _SOME_FAILED else AsvOutcome.ALL

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the project's lock; a running asv of a killed caller still holds it.

        Raises:
            SparsebenchError: another run holds it.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with (self.log.parent / "lock").open("w") as lock, _terminate_interrupts():
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SparsebenchError(
                    f"{self.root}: another run is in progress here; wait for it, or end it"
                ) from None
            os.set_inheritable(lock.fileno(), True)
            yield

    def _machine(self) -> list[str]:
        return ["--machine", self.machine] if self.machine else []

    def _run(
        self,
        commit: str,
        environment: str | None,
        *options: str,
        on_line: OnLine | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> int:
        """Call ``asv run``, which takes no commits to build for an existing environment."""
        arguments = ["run", *self._machine(), *options]
        if environment:
            arguments += ["--environment", environment]
        if environment and environment.startswith("existing:"):
            arguments += ["--set-commit-hash", commit]
            return self._call(*arguments, on_line=on_line, variables=variables)
        return self._call(*arguments, commits=[commit], on_line=on_line, variables=variables)

    def _call(
        self,
        *arguments: str,
        commits: Sequence[str] = (),
        on_line: OnLine | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> int:
        """Run asv and return its exit code; raise SparsebenchError if it failed.

        Commits are passed in a file: a range such as ``c^!`` fails at the end of a shallow clone.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with (
            self.log.open("a", encoding="utf-8", buffering=1) as log,
            tempfile.NamedTemporaryFile("w", suffix=".commits") as hashes,
        ):
            hashes.write("\n".join(commits))
            hashes.flush()
            command = [*arguments, f"HASHFILE:{hashes.name}"] if commits else list(arguments)
            if self.config:
                command += ["--config", str(self.config)]
            print("$ asv", *arguments, *commits, file=log)
            own = {recorder.RUN: self.run, recorder.MACHINE: self.machine_name}
            environment = {**os.environ, **own, **(variables or {})}
            command = [sys.executable, "-m", "asv", *command]
            code = run_child(command, self.root, log, on_line, environment)
        if code not in (0, _SOME_FAILED):
            raise SparsebenchError(
                f"asv {arguments[0]}: failed with exit code {code}; {reason(self.log)}; "
                f"complete log: {self.log}"
            )
        return code


def run_child(
    command: list[str],
    folder: Path,
    log: TextIO,
    on_line: OnLine | None = None,
    environment: Mapping[str, str] | None = None,
) -> int:
    """Run ``command`` and return its exit code; an exception, as Ctrl-C, ends its session."""
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
        close_fds=False,  # it inherits the lock, and holds it as long as it runs
    ) as child:
        assert child.stdout is not None
        try:
            for line in child.stdout:
                log.write(line)
                if on_line:
                    on_line(line)
        except BaseException:  # also Ctrl-C: no process that we started may remain
            # Asking asv to stop is not enough: interrupted, it waits for a fork server of another
            # process group that it does not end. Results are stored when a commit is done.
            kill_session(child.pid)
            raise
    return child.returncode


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
    """Return the last error line near the end of the log, or else its last line."""
    text = log.read_text(encoding="utf-8")
    lines = [_MARKS.sub("", _MARKS.sub("", line)).strip() for line in text.splitlines()]
    tail = [line for line in lines if line][-_LOG_TAIL:]
    errors = [line for line in tail if re.search(r"error|unknown|fail|not found", line, re.I)]
    return (errors or tail or ["it printed nothing"])[-1]
