"""Batches stored by processes of their own, one a core."""

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Final

from sparsebench.errors import SparsebenchError
from sparsebench.results.batch import Batch, Result, store_batch

# Arrow would load pandas, a quarter of a second, only to ask of each list whether it is a Series.
_CODE: Final = """
import sys

class NoPandas:
    def find_spec(self, name, *_):
        if name == "pandas":
            raise ImportError(name)

sys.meta_path.insert(0, NoPandas())

from sparsebench.results.batch import main
main()
"""
_MOST: Final = 2  # each needs some 350 MB, and all of them are to stay below 1 GB


def cores() -> int:
    """How many processes may work at once."""
    allowed = getattr(os, "sched_getaffinity", None)  # Linux has it
    return min(len(allowed(0)) if allowed else os.cpu_count() or 1, _MOST)


def store_all(batches: Sequence[Batch], tick: Callable[[], None]) -> list[Result]:
    """Store all batches, one in this process, several side by side; see `store_batch`.

    Raises:
        SparsebenchError: the dataset cannot be written, or a worker was killed; what other batches
            stored stays.
    """
    if len(batches) < 2 or cores() < 2:
        return [result for batch in batches for result in store_batch(batch, tick)]
    waiting: SimpleQueue[Batch] = SimpleQueue()
    for batch in batches:
        waiting.put(batch)
    team = _Team(waiting, tick)
    with ThreadPoolExecutor(min(cores(), len(batches))) as pool:
        try:
            jobs = [pool.submit(team.work) for _ in range(min(cores(), len(batches)))]
            return [result for job in jobs for result in job.result()]
        finally:
            team.end()


class _Team:
    """Worker processes, and the threads of this process that feed them."""

    def __init__(self, waiting: "SimpleQueue[Batch]", tick: Callable[[], None]) -> None:
        self._waiting = waiting
        self._tick = tick
        self._lock = threading.Lock()
        self._processes: list[subprocess.Popen[bytes]] = []

    def work(self) -> list[Result]:
        """Have one process store batches until none is waiting."""
        results: list[Result] = []
        command = [sys.executable, "-c", _CODE]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_environment()
        ) as process:
            self._processes.append(process)
            with suppress(Empty):
                while True:
                    results += self._store(process, self._waiting.get_nowait())
        return results

    def end(self) -> None:
        """Stop every process; those that have stored everything have ended by themselves."""
        for process in self._processes:
            process.kill()

    def _store(self, process: "subprocess.Popen[bytes]", batch: Batch) -> list[Result]:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            pickle.dump(batch, process.stdin)
            process.stdin.flush()
            while (answer := pickle.load(process.stdout))[0] == "tick":  # noqa: S301 - our own
                with self._lock:
                    self._tick()
        except (EOFError, BrokenPipeError):
            raise SparsebenchError(
                f"{batch.dataset}: a process that stored results was killed (out of memory?); "
                "what was stored stays, the same command continues"
            ) from None
        kind, what = answer
        if kind == "error":
            raise SparsebenchError(what)
        found: list[Result] = what
        return found


def _environment() -> dict[str, str]:
    """Ours, and where this package lies: it may be run from a folder without being installed."""
    paths = os.pathsep.join(path for path in sys.path if path)
    return {**os.environ, "PYTHONPATH": paths}
