"""The temporary memory of a call: the peak of what it allocates, not the process's RSS."""

import json
import tempfile
import tracemalloc
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile


def temporary_memory(call: Callable[[], None], device: str) -> int:
    """The most bytes that ``call`` holds at once, above what it found allocated.

    On CUDA, of PyTorch's allocator. On the CPU the peak of PyTorch's allocations plus the peak of
    NumPy's and Python's: their sum is never below the true peak, and equals it where both fall
    together. ``call`` runs once before, so that what it builds only once is not counted.
    """
    call()
    return _cuda_peak(call) if device == "cuda" else _torch_peak(call) + _python_peak(call)


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


def _python_peak(call: Callable[[], None]) -> int:
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        call()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
