"""Comparable times: calls that are measured alternately in one run."""

from collections.abc import Callable, Mapping
from statistics import median
from time import perf_counter_ns, thread_time_ns

import torch

Call = Callable[[], object]

_SLICE = (
    3e-4  # seconds; shorter calls are repeated within one measurement, for the clock's resolution
)


def interleaved_medians(calls: Mapping[str, Call], rounds: int) -> dict[str, float]:
    """Return the median seconds of each call over ``rounds``, one measurement of each per round.

    A temporary slowdown of the machine then affects all calls. Each call runs twice before the
    first round, so that compiling and first page faults are not measured, and once untimed before
    each measurement: the caches hold the other call's data, and its OpenMP threads spin for up to
    5 ms on a core that this call needs. If PyTorch is set to one thread, the processor time of that
    thread is measured, which excludes other processes; otherwise wall time.
    """
    numbers = {name: _number(call) for name, call in calls.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            call()
            times[name].append(_seconds(call, numbers[name]))
    return {name: median(seconds) for name, seconds in times.items()}


def _number(call: Call) -> int:
    call()
    return max(1, round(_SLICE / _seconds(call, 1)))


def _seconds(call: Call, number: int) -> float:
    now = thread_time_ns if torch.get_num_threads() == 1 else perf_counter_ns
    start = now()
    for _ in range(number):
        call()
    return (now() - start) / number / 1e9
