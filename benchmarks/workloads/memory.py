"""The temporary memory of a call: the peak of its allocations, not the process's RSS."""

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


def temporary_memory(call: Callable[[], object], device: str) -> int:
    """Return the peak bytes that ``call`` allocates, above those allocated before it.

    On CUDA, bytes of PyTorch's allocator. On the CPU, the peak of PyTorch's allocations plus the
    peak of NumPy's arrays: the sum is never below the true peak of both, and equals it where both
    peaks coincide. ``call`` runs once before, so that what it builds only once is not counted.

    Three things are not counted on the CPU. Python's own small objects, because their size differs
    between equal runs (by 67 bytes), and this number must not. Arrays that compiled loops allocate,
    because Python cannot observe numba's memory. NumPy arrays that other threads allocate and
    release while ``call`` waits for them; the benchmarks run on one thread.
    """
    call()
    return _cuda_peak(call) if device == "cuda" else _torch_peak(call) + _numpy_peak(call)


def _cuda_peak(call: Callable[[], object]) -> int:
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call()
    torch.cuda.synchronize()
    return int(torch.cuda.max_memory_allocated() - before)


def _torch_peak(call: Callable[[], object]) -> int:
    """Return the peak of the profiler's CPU allocations minus releases."""
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


def _numpy_peak(call: Callable[[], object]) -> int:
    """Return the peak bytes of new NumPy arrays at any function call or return inside ``call``.

    tracemalloc separates NumPy's data from the rest, but records the peak of their sum only. So the
    arrays are summed at every Python call and return, which follow each allocation.
    """
    peak = 0

    def record(*_: object) -> None:
        nonlocal peak
        traces = tracemalloc.take_snapshot().traces
        peak = max(peak, sum(trace.size for trace in traces if trace.domain == _NUMPY))

    previous = sys.getprofile()
    tracemalloc.start()
    try:
        sys.setprofile(record)
        call()
    finally:
        sys.setprofile(previous)
        tracemalloc.stop()
    return peak
