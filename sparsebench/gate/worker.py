"""The process that holds one commit's benchmarks and measures a block whenever it is asked.

It is started as a script in asv's environment, where nothing but the standard library, asv_runner
and the measured project can be relied on, so it imports nothing of sparsebench. Requests and
replies are JSON lines on two pipes of their own; what a benchmark prints goes to the log.
"""

from __future__ import annotations  # asv's environments may hold an older Python, from 3.9 up

import ctypes
import importlib
import json
import os
import pickle
import pkgutil
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from timeit import default_timer
from typing import Any, TextIO

from asv_runner._aux import update_sys_path
from asv_runner.discovery import disc_benchmarks, get_benchmark_from_name

FEW_CALLS = 2  # the first call compiles and fills caches, the second tells its time
SAMPLE = 2e-4  # seconds of a sample where neither number nor sample_time is declared
WARMUP = 0.01  # seconds, where warmup_time is not declared; asv's own default takes 0.1
ASV_SAMPLE, ASV_WARMUP = 0.01, -1  # asv's defaults: what differs from them was declared
CONTROL = 20_000  # additions of a control block, about half a millisecond
LONGEST = 10_000  # characters of a tracked value: a record holds one a round and side
PROBES, QUADRUPLES, ADJUSTMENTS = 12, 2, 3  # that tell what wrapping a call costs
CACHE = "cache.pickle"  # as asv names it, in the folder that its benchmarks run in
KILL_WITH_PARENT = 1  # prctl's PR_SET_PDEATHSIG

Reply = dict[str, Any]


class SkippedError(Exception):
    """The benchmark asks not to be run with these parameters."""


class Case:
    """One benchmark with one combination of parameters, set up and ready to be called."""

    def __init__(self, root: str, name: str, index: int | None) -> None:
        self.threads = threading.active_count()
        self.benchmark = _load(root, name if index is None else f"{name}-{index}")
        if self.benchmark.setup_cache_key is not None:
            _hand_over(self.benchmark)
        if self.benchmark.do_setup():
            raise SkippedError
        self.timer: Any = None
        self.number = 0
        self.warmup = 0.0

    def warm(self) -> Reply:
        """Call it until it is warm; how long a sample takes, and how many cores it keeps busy."""
        self.benchmark.benchmark_timing = self._take  # asv's `run` hands over what it decided
        self.benchmark.do_run()
        auto, self.number = not self.number, self.number or 1
        sample = self.benchmark.sample_time
        sample = SAMPLE if sample == ASV_SAMPLE else sample
        start, busy = default_timer(), _processor_time()
        calls = 0
        while True:
            before = default_timer()
            self.timer.timeit(self.number)
            wall = default_timer() - before
            calls += self.number
            if auto and wall < sample:
                self.number *= min(max(round(sample / max(wall, 1e-9)), 2), 10)
            elif calls >= FEW_CALLS and default_timer() >= start + self.warmup:
                threads = (_processor_time() - busy) / (default_timer() - start)
                return {"wall": wall, "number": self.number, "processors": threads}

    def _take(self, timer: Any, *_: float, **decided: Any) -> tuple[list[float], int]:
        self.timer, self.number = timer, decided["number"]
        declared = self.benchmark.warmup_time != ASV_WARMUP
        self.warmup = decided["warmup_time"] if declared else WARMUP
        return [0.0], 1

    def block(self, number: int, repeat: int) -> Reply:
        """The lower quartile of ``repeat`` samples of ``number`` calls, in seconds a call.

        Of what was tried it is the steadiest that still moves when most calls become slower.
        """
        taken = sorted(self.timer.timeit(number) / number for _ in range(repeat))
        return {"seconds": taken[(repeat - 1) // 4]}

    def slow_down(self, share: float) -> None:
        """Wrap the benchmarked call in extra work of that share of the time that it took.

        What the wrapping itself costs, and the clock overshoots, is measured beside the bare call
        in turns, and is part of the share.
        """
        if type(self.benchmark).__name__ == "TimerawBenchmark":
            raise RuntimeError("its call runs in another process and cannot be slowed down")
        number, bare, cost = self.number, self.benchmark.func, 0.0
        for _ in range(ADJUSTMENTS):
            calls = [bare, _slowed(bare, share, cost)]
            timers = [self._timer_of(call) for call in calls]
            seconds: list[list[float]] = [[], []]
            for side in [0, 1, 1, 0] * QUADRUPLES:
                self.benchmark.func, self.timer = calls[side], timers[side]
                seconds[side].append(self.block(number, PROBES)["seconds"])
            alone, wrapped = map(median, seconds)
            cost += wrapped - (1 + share) * alone
        self._timer_of(_slowed(bare, share, cost))

    def _timer_of(self, call: Any) -> Any:
        self.benchmark.func = call
        self.benchmark.do_run()  # hands over asv's timer
        return self.timer

    def value(self) -> Any:
        """What the benchmark returns; a peak memory is that of a process of its own."""
        if _kind(self.benchmark) == "peakmemory":
            return _in_a_child(self.benchmark.do_run)
        value = _plain(self.benchmark.do_run())
        if (length := len(json.dumps(value))) > LONGEST:
            raise ValueError(
                f"tracks {length} characters, at most {LONGEST} are kept; track a hash"
            )
        return value

    def drop(self) -> Reply:
        """Tear it down; how many threads it leaves behind."""
        self.benchmark.do_teardown()
        return {"threads": max(threading.active_count() - self.threads, 0)}


class Output:
    """Where benchmarks print, and how it is found again after one has closed it."""

    def __init__(self) -> None:
        self.kept = [os.dup(1), os.dup(2)]
        self.streams = (sys.stdout, sys.stderr)

    def restore(self) -> None:
        """Make descriptors and streams what they were when the worker began."""
        for number, kept in enumerate(self.kept, start=1):
            os.dup2(kept, number)
        for stream in self.streams:
            if not stream.closed:
                stream.flush()
        if any(stream.closed for stream in self.streams):
            self.streams = (_text_to(1), _text_to(2))
        sys.stdout, sys.stderr = self.streams


class Worker:
    """Answers requests about the benchmarks below ``root``."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.home = str(Path.cwd())
        self.output = Output()
        self.case: Case | None = None

    def answer(self, do: str, **request: Any) -> Reply:
        """The reply to one request; whatever a benchmark raises becomes a reply too."""
        self.output.restore()
        try:
            os.chdir(self.home)  # a benchmark may have left it
            reply: Reply = getattr(self, "do_" + do)(**request)
        except SkippedError:
            return {"skipped": True}
        except BaseException as error:  # noqa: BLE001  # SystemExit and all: a benchmark's, not ours
            traceback.print_exc()
            return {"failed": _one_line(error)}
        return reply

    def do_discover(self) -> Reply:
        """All benchmarks, and the modules that could not be imported with the reason."""
        found = [_described(b) for b in disc_benchmarks(self.root, ignore_import_errors=True)]
        return {"benchmarks": found, "broken": _broken(self.root)}

    def do_load(self, name: str) -> Reply:
        """Import what a benchmark needs, which may take longer than the benchmark itself."""
        _load(self.root, name)
        return {}

    def do_cache(self, name: str, folder: str) -> Reply:
        """Run ``setup_cache`` in ``folder`` and keep there what it returns."""
        self._settle(folder)
        cache = _load(self.root, name).do_setup_cache()
        Path(CACHE).write_bytes(pickle.dumps(cache))
        return {}

    def do_prepare(self, name: str, index: int | None, folder: str, slowdown: float = 0.0) -> Reply:
        """Set a case up in ``folder``, and warm it if it is timed.

        ``slowdown``: a share by which its calls are made slower, to find out whether that is found.
        """
        self._settle(folder)
        self.case = None
        self.case = Case(self.root, name, index)
        warm = self.case.warm() if _kind(self.case.benchmark) == "time" else {}
        if slowdown and warm:
            self.case.slow_down(slowdown)
        return warm

    def do_block(self, number: int, repeat: int, cpu: int | None) -> Reply:
        """One block of the prepared case, its calling thread on one processor if that is named."""
        assert self.case
        with _on(cpu):
            return self.case.block(number, repeat)

    def do_value(self) -> Reply:
        """The value of the prepared case."""
        assert self.case
        return {"value": self.case.value()}

    def do_drop(self) -> Reply:
        """Tear the prepared case down, if there is one."""
        case, self.case = self.case, None
        return case.drop() if case else {}

    def do_control(self, cpu: int | None) -> Reply:
        """Seconds of a fixed piece of work that no commit changes: the machine's speed."""
        with _on(cpu):
            start = default_timer()
            total = 0
            for number in range(CONTROL):
                total += number
            return {"seconds": default_timer() - start}

    def _settle(self, folder: str) -> None:
        self.home = folder
        os.chdir(folder)


@contextmanager
def _on(cpu: int | None) -> Iterator[None]:
    """Keep the calling thread on one processor; threads that exist already stay where they may."""
    if cpu is None:
        yield
        return
    all_of_them = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, all_of_them)


def _text_to(descriptor: int) -> TextIO:
    """A stream like Python's own; closing it leaves the descriptor open."""
    return open(descriptor, "w", buffering=1, encoding="utf-8", closefd=False)


def _slowed(call: Any, share: float, cost: float) -> Any:
    """``call``, then busy until ``share`` more of its time has passed, less ``cost`` seconds."""

    def slowed(*args: Any) -> Any:
        start = default_timer()
        result = call(*args)
        end = default_timer()
        goal = end + share * (end - start) - cost
        while default_timer() < goal:
            pass
        return result

    return slowed


def _load(root: str, name: str) -> Any:
    """A new instance of a benchmark; asv_runner leaves an import hook behind each time."""
    benchmark = get_benchmark_from_name(root, name)
    del sys.meta_path[0]
    return benchmark


def _hand_over(benchmark: Any) -> None:
    """Give it what its ``setup_cache`` returned, in the way of asv_runner new or old."""
    cache = pickle.loads(Path(CACHE).read_bytes())  # noqa: S301  # by do_cache of this commit
    if hasattr(benchmark, "set_cache"):
        benchmark.set_cache(cache)
    elif cache is not None:
        benchmark.insert_param(cache)


def _described(benchmark: Any) -> Reply:
    names = ["name", "type", "unit", "params", "param_names", "timeout", "version"]
    described = {name: getattr(benchmark, name) for name in names}
    described["type"] = _kind(benchmark)
    described["setup_cache_key"] = benchmark.setup_cache_key
    described["setup_cache_timeout"] = benchmark.setup_cache_timeout
    owner = getattr(benchmark.func, "__self__", None)
    tolerance = getattr(benchmark.func, "tolerance", getattr(owner, "tolerance", None))
    described["tolerance"] = None if tolerance is None else float(tolerance)
    return described


def _kind(benchmark: Any) -> str:
    """The type by what asv does with it; a ``track_*`` may give itself any other name."""
    return "track" if type(benchmark).__name__ == "TrackBenchmark" else str(benchmark.type)


def _broken(root: str) -> dict[str, str]:
    """The modules below ``root`` that discovery could not import."""
    name = Path(root).name
    broken = {}
    found = [m.name for m in pkgutil.walk_packages([root], name + ".", onerror=lambda _: None)]
    for module in [name, *found]:
        if module not in sys.modules:
            try:
                importlib.import_module(module)
            except BaseException as error:  # noqa: BLE001  # as asv: one module, not the suite
                broken[module.partition(".")[2]] = _one_line(error)
    return broken


def _in_a_child(call: Any) -> Any:
    """What ``call`` returns in a forked process, which has a peak memory of its own."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            reply: Reply = {"value": call()}
        except BaseException as error:  # noqa: BLE001  # told to the parent, which raises it
            reply = {"failed": _one_line(error)}
        os.write(writing, json.dumps(reply).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    reply = json.loads(text) if text else {"failed": f"its process ended with status {status}"}
    if "failed" in reply:
        raise RuntimeError(reply["failed"])
    return reply["value"]


def _processor_time() -> float:
    """Seconds of processor time so far, of all threads and of children that have ended.

    Not by os.times, whose hundredths of a second are as long as a whole warm-up.
    """
    return time.process_time() + sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])


def _plain(value: Any) -> Any:
    """Numbers of NumPy and torch as Python's own; anything else as it is."""
    return value.item() if hasattr(value, "item") else value


def _one_line(error: BaseException) -> str:
    """The error as one line: its type, and the first line of its text."""
    text = (str(error).strip().splitlines() or [""])[0][:300]
    return type(error).__name__ + (f": {text}" if text else "")


def _serve(requests: TextIO, replies: TextIO, root: str) -> None:
    update_sys_path(root)
    worker = Worker(root)
    for line in requests:
        reply = worker.answer(**json.loads(line))
        try:
            text = json.dumps(reply)
        except (TypeError, ValueError, RecursionError) as error:  # a tracked value without a text
            text = json.dumps({"failed": _one_line(error)})
        replies.write(text + "\n")
        replies.flush()


def _main() -> None:
    """``worker.py REQUESTS REPLIES BENCHMARK_DIR``: the numbers of two open pipes, and a folder."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(KILL_WITH_PARENT, signal.SIGKILL)
    del sys.path[0]  # this file's folder: nothing in it is for benchmarks
    pipes = [int(number) for number in sys.argv[1:3]]
    for pipe in pipes:
        os.set_inheritable(pipe, False)  # a benchmark's own children must not hold them open
    with os.fdopen(pipes[0]) as requests, os.fdopen(pipes[1], "w") as replies:
        _serve(requests, replies, sys.argv[3])
    os._exit(0)  # threads that a benchmark left behind would keep it


if __name__ == "__main__":
    _main()
