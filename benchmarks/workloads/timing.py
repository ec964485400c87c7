"""Times of a call: wall time, and on CUDA device time with a cold or a warm L2 cache.

Device time is that of a captured graph's replay between two events. Events around an eager call
would include the gaps in which the host prepares the next launch. A call that cannot be captured is
queued behind a kernel that blocks the stream until all of it is queued.
"""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Final

import torch
from torch import Tensor

from benchmarks.workloads.devices import synchronize

WARM_UPS: Final = 3  # calls before the first sample
LEAST, MOST, SECONDS = 10, 200, 0.02  # samples of the wall time: until the seconds have passed
DEVICE_SAMPLES: Final = 30
FLUSHED: Final = 256 << 20  # bytes that are written before a cold sample; more than any L2 cache
BLOCKING: Final = 100_000  # clock cycles of the first blocking kernel, some 50 us
LONGEST: Final = BLOCKING << 11  # some 0.1 s

Call = Callable[[], object]


class HostWaitsError(RuntimeError):
    """The call waits for the device, so events around it would count the host's time, too."""


def wall_times(call: Call, device: str) -> list[float]:
    """Return seconds of single calls, each until the work that it queued on ``device`` is done."""
    for _ in range(WARM_UPS):
        call()
    synchronize(device)
    times: list[float] = []
    with _no_collection():
        end = time.perf_counter() + SECONDS
        while len(times) < LEAST or (len(times) < MOST and time.perf_counter() < end):
            start = time.perf_counter_ns()
            call()
            synchronize(device)
            times.append((time.perf_counter_ns() - start) / 1e9)
    return times


class DeviceTimer:
    """Measures the time that the current CUDA device spends on a call.

    Attributes:
        method: "graph", or "events" for a call that cannot be captured.
    """

    def __init__(self, call: Call, method: str | None = None) -> None:
        """Capture ``call``, unless ``method`` is "events"; None: whichever is possible."""
        self.method = method or "graph"
        self._run: Call = call
        if self.method == "graph":
            try:
                self._run = captured(call).replay
            except RuntimeError:
                if method:
                    raise
                self.method = "events"

    def times(self, *, cold: bool) -> list[float]:
        """Return seconds of single calls, with the L2 cache overwritten or warm before each.

        Raises:
            HostWaitsError: the call cannot be captured, and waits for the device.
        """
        before = _flush if cold else self._run
        for _ in range(WARM_UPS):
            self._run()
        torch.cuda.synchronize()
        # A flush keeps the device busy while a replay is queued; else a blocking kernel does.
        cycles = 0 if cold and self.method == "graph" else BLOCKING
        times: list[float] = []
        with _no_collection():
            while len(times) < DEVICE_SAMPLES:
                seconds, was_queued = _sample(before, self._run, cycles)
                if was_queued:
                    times.append(seconds)
                elif cycles >= LONGEST:
                    raise HostWaitsError(
                        "the call waits for the device; its device time cannot be measured"
                    )
                else:
                    cycles = max(2 * cycles, BLOCKING)
        return times


def captured(call: Call) -> torch.cuda.CUDAGraph:
    """Return a CUDA graph of ``call``, after three calls on a side stream as capture needs them.

    Raises:
        RuntimeError: the call waits for the device, or does what a graph cannot hold.
    """
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UPS):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph


def _sample(before: Call, run: Call, cycles: int) -> tuple[float, bool]:
    """Return the seconds between two events, and whether all was queued before the first one."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    before()
    if cycles:
        torch.cuda._sleep(cycles)
    start.record()
    run()
    end.record()
    was_queued = not start.query()
    end.synchronize()
    return start.elapsed_time(end) / 1e3, was_queued


def _flush() -> None:
    _buffer(torch.cuda.current_device()).zero_()


@lru_cache(maxsize=1)
def _buffer(device: int) -> Tensor:
    return torch.empty(FLUSHED // 4, dtype=torch.int32, device=f"cuda:{device}")


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep Python's garbage collector from running inside a sample, as timeit does."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
