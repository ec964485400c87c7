"""The temporary memory of a call: the peak of what it allocates, not the process's RSS."""

import json
import sys
import tempfile
import tracemalloc
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

_NUMPY = np.lib.tracemalloc_domain


def temporary_memory(call: Callable[[], None], device: str) -> int:
    """The most bytes that ``call`` holds at once, above what it found allocated.

    On CUDA, of PyTorch's allocator. On the CPU the peak of PyTorch's allocations plus the peak of
    NumPy's arrays: their sum is never below the true peak of both, and equals it where both fall
    together. ``call`` runs once before, so that what it builds only once is not counted.

    On the CPU three things are left out. Python's own small objects, whose number differs between
    equal runs (67 bytes were seen), while this number must not. Arrays that compiled loops make for
    themselves: numba's memory is no allocator's that Python can watch. And what other threads
    allocate for NumPy while ``call`` waits for them and release before it returns; the benchmarks
    run on one thread.
    """
    call()
    return _cuda_peak(call) if device == "cuda" else _torch_peak(call) + _numpy_peak(call)


def _cuda_peak(call: Callable[[], None]) -> int:
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call()
    torch.cuda.synchronize()
    return int(torch.cuda.max_memory_allocated() - before)


def _torch_peak(call: Callable[[], None]) -> int:
    """The highest running total of the profiler's allocations and releases on the CPU."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        call()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder, "trace.json")
        profiled.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text())["traceEvents"]
    memory = sorted((e for e in events if e["name"] == "[memory]"), key=lambda event: event["ts"])
    changes = [event["args"]["Bytes"] for event in memory if event["args"]["Device Type"] == 0]
    peak: int = max(accumulate(changes, initial=0))
    return peak


def _numpy_peak(call: Callable[[], None]) -> int:
    """The most bytes of new NumPy arrays at any entry to or return from a function in ``call``.

    tracemalloc tells NumPy's data from all else, but keeps a peak of the sum alone. So the arrays
    are added up wherever Python calls or returns, which is after each of them is made.
    """
    peak = 0

    def look(*_: object) -> None:
        nonlocal peak
        peak = max(peak, _numpy_bytes())

    former = sys.getprofile()
    tracemalloc.start()
    try:
        sys.setprofile(look)
        call()
    finally:
        sys.setprofile(former)
        tracemalloc.stop()
    return peak


def _numpy_bytes() -> int:
    """Bytes of the arrays that were made since tracemalloc started."""
    traces = tracemalloc.take_snapshot().traces
    return sum(trace.size for trace in traces if trace.domain == _NUMPY)
