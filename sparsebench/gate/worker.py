"""The worker: a process that runs one commit's benchmarks and measures blocks on request.

It is started as a script in asv's environment, which has the standard library, asv_runner and the
measured project only, so it imports nothing of sparsebench. Requests and replies are JSON lines on
two pipes; what a benchmark prints goes to the log.
"""

from __future__ import annotations  # asv's environments may have an older Python, from 3.9

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

LEAST_CALLS = 2  # the first call compiles and fills caches, the second is timed
SAMPLE_SECONDS = 2e-4  # if neither number nor sample_time is declared
WARMUP_SECONDS = 0.01  # if warmup_time is not declared; asv's default takes 0.1
ASV_SAMPLE, ASV_WARMUP = 0.01, -1  # asv's defaults; other values were declared
CONTROL_ADDITIONS = 20_000  # of a control block, about half a millisecond
COPIED, COPIES = 64 << 20, 8  # bytes and copies of a control block on a GPU
LONGEST_VALUE = 10_000  # characters of a tracked value; a record has one per round and side
PROBES, QUADRUPLES, ADJUSTMENTS = 12, 2, 3  # for measuring the cost of wrapping a call
CACHE_FILE = "cache.pickle"  # asv's name, in the benchmarks' working directory
KILL_WITH_PARENT = 1  # prctl's PR_SET_PDEATHSIG

Reply = dict[str, Any]


class SkippedError(Exception):
    """The benchmark skips these parameters."""


class LoadedCase:
    """A benchmark with one combination of parameters, set up and ready to be called."""

    def __init__(self, root: str, name: str, index: int | None) -> None:
        self.threads = threading.active_count()
        self.benchmark = _load(root, name if index is None else f"{name}-{index}")
        if self.benchmark.setup_cache_key is not None:
            _insert_cache(self.benchmark)
        if self.benchmark.do_setup():
            raise SkippedError
        self.timer: Any = None
        self.number = 0
        self.warmup = 0.0

    def warm(self) -> Reply:
        """Call it until it is warm; return a sample's duration, its calls, and the busy cores."""
        self.benchmark.benchmark_timing = self._take_settings  # asv's `run` calls it
        self.benchmark.do_run()
        auto, self.number = not self.number, self.number or 1
        sample = self.benchmark.sample_time
        sample = SAMPLE_SECONDS if sample == ASV_SAMPLE else sample
        start, busy = default_timer(), _processor_time()
        calls = 0
        while True:
            before = default_timer()
            self.timer.timeit(self.number)
            wall = default_timer() - before
            calls += self.number
            if auto and wall < sample:
                self.number *= min(max(round(sample / max(wall, 1e-9)), 2), 10)
            elif calls >= LEAST_CALLS and default_timer() >= start + self.warmup:
                threads = (_processor_time() - busy) / (default_timer() - start)
                return {"wall": wall, "number": self.number, "processors": threads}

    def _take_settings(self, timer: Any, *_: float, **decided: Any) -> tuple[list[float], int]:
        self.timer, self.number = timer, decided["number"]
        declared = self.benchmark.warmup_time != ASV_WARMUP
        self.warmup = decided["warmup_time"] if declared else WARMUP_SECONDS
        return [0.0], 1

    def block(self, number: int, repeat: int) -> Reply:
        """Return the lower quartile of ``repeat`` samples of ``number`` calls, in seconds per call.

        Of the statistics compared it is the steadiest that changes if most calls become slower.
        """
        taken = sorted(self.timer.timeit(number) / number for _ in range(repeat))
        return {"seconds": taken[(repeat - 1) // 4]}

    def slow_down(self, share: float) -> None:
        """Wrap the measured call in extra work that takes this share of its time.

        The cost of wrapping and of reading the clock is measured alternately with the bare call,
        and is part of the share.
        """
        if type(self.benchmark).__name__ == "TimerawBenchmark":
            raise RuntimeError("its call runs in another process and cannot be slowed down")
        number, bare, cost = self.number, self.benchmark.func, 0.0
        for _ in range(ADJUSTMENTS):
            calls = [bare, slowed_call(bare, share, cost)]
            timers = [self._timer_of(call) for call in calls]
            seconds: list[list[float]] = [[], []]
            for side in [0, 1, 1, 0] * QUADRUPLES:
                self.benchmark.func, self.timer = calls[side], timers[side]
                seconds[side].append(self.block(number, PROBES)["seconds"])
            alone, wrapped = map(median, seconds)
            cost += wrapped - (1 + share) * alone
        self._timer_of(slowed_call(bare, share, cost))

    def _timer_of(self, call: Any) -> Any:
        self.benchmark.func = call
        self.benchmark.do_run()  # calls `_take_settings` with asv's timer
        return self.timer

    def value(self) -> Any:
        """Return the benchmark's value; peak memory is measured in a child process."""
        if _kind(self.benchmark) == "peakmemory":
            return _in_child_process(self.benchmark.do_run)
        value = self.benchmark.do_run()
        value = value.item() if hasattr(value, "item") else value  # numbers of NumPy and torch
        if (length := len(json.dumps(value))) > LONGEST_VALUE:
            raise ValueError(
                f"tracks {length} characters, at most {LONGEST_VALUE} are stored; track a hash"
            )
        return value

    def drop(self) -> Reply:
        """Tear it down, and return the number of threads that it left."""
        self.benchmark.do_teardown()
        return {"threads": max(threading.active_count() - self.threads, 0)}


class CapturedOutput:
    """The output streams of benchmarks, restored after one has closed them."""

    def __init__(self) -> None:
        self.copies = [os.dup(1), os.dup(2)]
        self.streams = (sys.stdout, sys.stderr)

    def restore(self) -> None:
        """Restore the descriptors and streams that the worker began with."""
        for number, copy in enumerate(self.copies, start=1):
            os.dup2(copy, number)
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
        self.output = CapturedOutput()
        self.case: LoadedCase | None = None
        self.copied: Any = None  # two tensors on the GPU

    def answer(self, do: str, **request: Any) -> Reply:
        """Return the reply to a request; an exception of a benchmark is a reply too."""
        self.output.restore()
        try:
            os.chdir(self.home)  # a benchmark may have changed it
            reply: Reply = getattr(self, "do_" + do)(**request)
            finish_device_work()  # of one side before the other side's begins
        except SkippedError:
            return {"skipped": True}
        except BaseException as error:  # noqa: BLE001  # also SystemExit: it is the benchmark's
            traceback.print_exc()
            return {"failed": _one_line(error)} | ({"lost": True} if device_is_broken() else {})
        return reply

    def do_discover(self) -> Reply:
        """Return all benchmarks, and the modules that cannot be imported with their errors."""
        benchmarks = [
            _description(b) for b in disc_benchmarks(self.root, ignore_import_errors=True)
        ]
        return {"benchmarks": benchmarks, "broken": _broken(self.root)}

    def do_load(self, name: str) -> Reply:
        """Import a benchmark's module, which may take longer than the benchmark."""
        _load(self.root, name)
        return {}

    def do_cache(self, name: str, folder: str) -> Reply:
        """Run ``setup_cache`` in ``folder`` and store its result there."""
        self._enter(folder)
        cache = _load(self.root, name).do_setup_cache()
        Path(CACHE_FILE).write_bytes(pickle.dumps(cache))
        return {}

    def do_prepare(self, name: str, index: int | None, folder: str, slowdown: float = 0.0) -> Reply:
        """Set a case up in ``folder``, and warm it up if it is timed.

        ``slowdown``: share by which its calls are slowed, for calibration.
        """
        self._enter(folder)
        self.case = None
        self.case = LoadedCase(self.root, name, index)
        warm = self.case.warm() if _kind(self.case.benchmark) == "time" else {}
        if slowdown and warm:
            self.case.slow_down(slowdown)
        return warm

    def do_block(self, number: int, repeat: int, cpu: int | None) -> Reply:
        """Measure one block of the prepared case, the thread bound to ``cpu`` if given."""
        assert self.case
        with _bound_to(cpu):
            return self.case.block(number, repeat)

    def do_value(self) -> Reply:
        """Return the value of the prepared case."""
        assert self.case
        return {"value": self.case.value()}

    def do_drop(self) -> Reply:
        """Tear the prepared case down, if there is one."""
        case, self.case = self.case, None
        return case.drop() if case else {}

    def do_control(self, cpu: int | None) -> Reply:
        """Return the seconds of a fixed piece of work, which measures the machine's speed.

        "cpu": additions. "cuda": copies on the current GPU, if benchmarks have used one and the
        thread is not to be bound to a processor.
        """
        with _bound_to(cpu):
            start = default_timer()
            total = 0
            for number in range(CONTROL_ADDITIONS):
                total += number
            reply = {"cpu": default_timer() - start}
        if cpu is None and (torch := _torch_on_cuda()):
            reply["cuda"] = self._copy_on(torch)
        return reply

    def _copy_on(self, torch: Any) -> float:
        if self.copied is None:
            source = torch.zeros(COPIED // 4, dtype=torch.int32, device="cuda")
            self.copied = source, source.clone()
        source, target = self.copied
        torch.cuda.synchronize()
        start = default_timer()
        for _ in range(COPIES):
            target.copy_(source)
        torch.cuda.synchronize()
        return default_timer() - start

    def _enter(self, folder: str) -> None:
        self.home = folder
        os.chdir(folder)


def finish_device_work() -> None:
    """Wait for the work that PyTorch has queued on a GPU, if benchmarks have used one."""
    if torch := _torch_on_cuda():
        torch.cuda.synchronize()


def device_is_broken() -> bool:
    """Return whether the GPU's context has an error that stays, so that nothing runs any more."""
    try:
        finish_device_work()
    except BaseException:  # noqa: BLE001  # whichever error it is
        return True
    return False


def _torch_on_cuda() -> Any:
    """Return the module torch if it has started CUDA in this process; else None."""
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    return torch if cuda is not None and cuda.is_initialized() else None


@contextmanager
def _bound_to(cpu: int | None) -> Iterator[None]:
    """Bind the calling thread to one processor; existing threads are not bound."""
    if cpu is None:
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def _text_to(descriptor: int) -> TextIO:
    """Return a stream like Python's own; closing it leaves the descriptor open."""
    return open(descriptor, "w", buffering=1, encoding="utf-8", closefd=False)


def slowed_call(call: Any, share: float, cost: float) -> Any:
    """Return ``call`` followed by busy waiting for ``share`` of its time, less ``cost`` seconds."""

    def wrapped(*args: Any) -> Any:
        start = default_timer()
        result = call(*args)
        end = default_timer()
        goal = end + share * (end - start) - cost
        while default_timer() < goal:
            pass
        return result

    return wrapped


def _load(root: str, name: str) -> Any:
    """Return a new instance of a benchmark, and remove the import hook that asv_runner adds."""
    benchmark = get_benchmark_from_name(root, name)
    del sys.meta_path[0]
    return benchmark


def _insert_cache(benchmark: Any) -> None:
    """Give a benchmark the result of its ``setup_cache``, by new or old asv_runner's method."""
    cache = pickle.loads(Path(CACHE_FILE).read_bytes())  # noqa: S301  # by do_cache of this commit
    if hasattr(benchmark, "set_cache"):
        benchmark.set_cache(cache)
    elif cache is not None:
        benchmark.insert_param(cache)


def _description(benchmark: Any) -> Reply:
    names = ["name", "type", "unit", "params", "param_names", "timeout", "version"]
    description = {name: getattr(benchmark, name) for name in names}
    description["type"] = _kind(benchmark)
    description["setup_cache_key"] = benchmark.setup_cache_key
    description["setup_cache_timeout"] = benchmark.setup_cache_timeout
    owner = getattr(benchmark.func, "__self__", None)
    tolerance = getattr(benchmark.func, "tolerance", getattr(owner, "tolerance", None))
    description["tolerance"] = None if tolerance is None else float(tolerance)
    return description


def _kind(benchmark: Any) -> str:
    """Return the benchmark's type; a ``track_*`` may declare any other name as its type."""
    return "track" if type(benchmark).__name__ == "TrackBenchmark" else str(benchmark.type)


def _broken(root: str) -> dict[str, str]:
    """Return the modules below ``root`` that cannot be imported, with their errors."""
    name = Path(root).name
    broken = {}
    modules = [m.name for m in pkgutil.walk_packages([root], name + ".", onerror=lambda _: None)]
    for module in [name, *modules]:
        if module not in sys.modules:
            try:
                importlib.import_module(module)
            except BaseException as error:  # noqa: BLE001  # like asv: other modules are still used
                broken[module.partition(".")[2]] = _one_line(error)
    return broken


def _in_child_process(call: Any) -> Any:
    """Return what ``call`` returns in a forked process, which has its own peak memory."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            reply: Reply = {"value": call()}
        except BaseException as error:  # noqa: BLE001  # the parent raises it
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
    """Return the seconds of processor time of all threads and ended child processes.

    `os.times` is too coarse: its resolution, 0.01 s, is as long as a warm-up.
    """
    return time.process_time() + sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])


def _one_line(error: BaseException) -> str:
    """Return the error's type and the first line of its text."""
    text = (str(error).strip().splitlines() or [""])[0][:300]
    return type(error).__name__ + (f": {text}" if text else "")


def _serve(requests: TextIO, replies: TextIO, root: str) -> None:
    update_sys_path(root)
    worker = Worker(root)
    for line in requests:
        reply = worker.answer(**json.loads(line))
        try:
            text = json.dumps(reply)
        except (TypeError, ValueError, RecursionError) as error:  # no JSON for a tracked value
            text = json.dumps({"failed": _one_line(error)})
        replies.write(text + "\n")
        replies.flush()


def _main() -> None:
    """Run ``worker.py REQUESTS REPLIES BENCHMARK_DIR``: descriptors of two pipes, and a folder."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(KILL_WITH_PARENT, signal.SIGKILL)
    del sys.path[0]  # this file's folder, whose modules benchmarks must not import
    pipes = [int(number) for number in sys.argv[1:3]]
    for pipe in pipes:
        os.set_inheritable(pipe, False)  # child processes of a benchmark must not keep them open
    with os.fdopen(pipes[0]) as requests, os.fdopen(pipes[1], "w") as replies:
        _serve(requests, replies, sys.argv[3])
    os._exit(0)  # remaining threads of a benchmark would keep the process alive


if __name__ == "__main__":
    _main()
