"""Times that can be divided by each other: calls measured by turns in one run."""

from collections.abc import Callable, Mapping
from statistics import median
from time import perf_counter_ns, thread_time_ns

import torch

Call = Callable[[], object]

_SLICE = 3e-4  # seconds; shorter calls are repeated within one measurement, as the clock asks


def by_turns(calls: Mapping[str, Call], rounds: int) -> dict[str, float]:
    """Median seconds of each call over ``rounds``, one measurement each a round.

    Taking turns lets what slows the machine for a while slow all of them. Each call has run twice
    before, so compiling and first page faults do not count, and once more in its own turn: the
    caches are the other call's until then, and OpenMP's threads go on spinning for it, for up to
    5 ms on the core that this one wants. Where PyTorch is set to one thread it is that thread's
    processor time, to which other processes' turns do not add.
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
