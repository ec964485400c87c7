"""Tasks run by several processes, behind the interface of `concurrent.futures`.

Callers use `run_all`: tasks in, results in order out. It uses `ProcessExecutor`; another executor
with the same interface (a cluster's) can take its place.

Tasks must be repeatable: a task whose process was killed is run once more in a new process. So a
killed process (out of memory, say) costs one repetition of its task, and the others go on.

`multiprocessing` is not used: its workers import the caller's ``__main__``, so that a script which
calls `sparsebench.results.ingest` would need a guard around its code.
"""

import os
import pickle
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor, as_completed
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, ParamSpec, TypeVar

from sparsebench.errors import SparsebenchError

P = ParamSpec("P")
T = TypeVar("T")

# The terminal's ^C reaches the workers too; this process decides what to do about it.
_CODE: Final = """
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
from sparsebench.executor import serve
serve()
"""
_ATTEMPTS: Final = 2


class WorkerKilledError(SparsebenchError):
    """The process that ran a task was killed, and so was the process that repeated it."""


def available_cores() -> int:
    """Return how many cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux has it
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def run_all(
    tasks: Sequence[Callable[[], T]],
    workers: int,
    done: Callable[[int], None] | None = None,
    initializer: Callable[[], None] | None = None,
) -> list[T]:
    """Return what each task returns, in the order of ``tasks``.

    Args:
        tasks: each is run once; with several workers tasks and results are pickled.
        workers: processes; with fewer than two, or a single task, tasks run in this process.
        done: called here with the index of each task that has ended, in the order of ending.
        initializer: called once in each new process.

    Raises:
        WorkerKilledError: a task's process was killed twice.
        Exception: the first error of a task; tasks that have not begun are cancelled.

    Example:
        >>> from functools import partial
        >>> run_all([partial(pow, 2, exponent) for exponent in range(4)], workers=2)
        [1, 2, 4, 8]
    """
    if min(workers, len(tasks)) < 2:
        results = []
        for index, task in enumerate(tasks):
            results.append(task())
            if done:
                done(index)
        return results
    with ProcessExecutor(min(workers, len(tasks)), initializer) as executor:
        indices = {executor.submit(task): index for index, task in enumerate(tasks)}
        for future in as_completed(indices):
            future.result()
            if done:
                done(indices[future])
        return [future.result() for future in indices]


class ProcessExecutor(Executor):
    """An executor of processes on this machine.

    Args:
        max_workers: processes at once; each starts with the first task that needs it.
        initializer: called once in each new process.
    """

    def __init__(self, max_workers: int, initializer: Callable[[], None] | None = None) -> None:
        self._initializer = initializer
        self._threads = ThreadPoolExecutor(max_workers, thread_name_prefix="sparsebench")
        self._worker = threading.local()  # each thread feeds one process
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run ``fn(*args, **kwargs)`` in a process; all of it and the result are pickled."""
        return self._threads.submit(self._run, fn, args, kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes once the submitted tasks have ended."""
        self._threads.shutdown(wait, cancel_futures=cancel_futures)
        if wait:
            self._kill()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for what was submitted; after an error, end the processes at once."""
        if kind is not None:
            self._kill()
        self.shutdown(cancel_futures=kind is not None)

    def _run(self, fn: Callable[..., T], args: Any, kwargs: Any) -> T:
        task = pickle.dumps((fn, args, kwargs))
        for _ in range(_ATTEMPTS):
            process = getattr(self._worker, "process", None) or self._start()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(task)
                process.stdin.flush()
                succeeded, result = pickle.load(process.stdout)  # noqa: S301 - our own process
            except (EOFError, BrokenPipeError, pickle.UnpicklingError):
                self._worker.process = None
                with self._lock:
                    self._processes.discard(process)
                _end(process)
                continue
            if succeeded:
                value: T = result
                return value
            raise result
        raise WorkerKilledError(
            "a worker process was killed twice at the same task (out of memory?)"
        )

    def _start(self) -> subprocess.Popen[bytes]:
        """Start this thread's process."""
        paths = os.pathsep.join(path for path in sys.path if path)  # we may not be installed
        with self._lock:
            if self._stopped:
                raise CancelledError
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", _CODE],  # -P: no modules of the current folder
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": paths},
            )
            self._processes.add(process)
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # then reading the first answer fails as well
            pickle.dump(self._initializer, process.stdin)
        self._worker.process = process
        return process

    def _kill(self) -> None:
        with self._lock:
            self._stopped = True
            for process in self._processes:
                process.kill()
        self._threads.shutdown(cancel_futures=True)  # no thread still reads from a process
        for process in self._processes:
            _end(process)
        self._processes.clear()


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and close its pipes."""
    process.kill()
    for pipe in (process.stdin, process.stdout):
        with suppress(BrokenPipeError):  # the rest of a task that it did not read
            if pipe:
                pipe.close()
    process.wait()


def serve() -> None:
    """Run tasks from stdin and write results to stdout until stdin ends: a worker's main function.

    A worker ends after its parent, also if that was killed, since the pipe then ends.
    """
    tasks, answers = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # what a task prints must not get between the results
    initializer = pickle.load(tasks)  # noqa: S301 - from the process that started this one
    if initializer is not None:
        initializer()
    while True:
        try:
            fn, args, kwargs = pickle.load(tasks)  # noqa: S301 - see above
        except EOFError:
            return
        except Exception as error:  # noqa: BLE001 - a module that does not import here, say
            answer = False, error
        else:
            try:
                answer = True, fn(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 - it is raised again by the parent
                error.add_note(traceback.format_exc())
                answer = False, error
        try:
            content = pickle.dumps(answer)
            pickle.loads(content)  # noqa: S301 - an exception may pickle and not unpickle
        except Exception as error:  # noqa: BLE001
            content = pickle.dumps((False, RuntimeError(f"result cannot be pickled: {error!r}")))
        try:
            answers.write(content)
            answers.flush()
        except BrokenPipeError:  # the parent was killed meanwhile
            os._exit(1)  # without Python's attempt to flush once more, which would complain
