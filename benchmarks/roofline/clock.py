"""Times that can be divided by each other: calls measured by turns in one run."""

from collections.abc import Callable, Mapping
from statistics import median
from time import perf_counter_ns

Call = Callable[[], object]

_SLICE = 3e-4  # seconds; shorter calls are repeated within one measurement, as the clock asks


def by_turns(calls: Mapping[str, Call], rounds: int) -> dict[str, float]:
    """Median seconds of each call over ``rounds``, one measurement each a round.

    Taking turns lets what slows the machine for a while slow all of them. Each call has run twice
    before, so compiling, first page faults and cold caches do not count.
    """
    numbers = {name: _number(call) for name, call in calls.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            times[name].append(_seconds(call, numbers[name]))
    return {name: median(seconds) for name, seconds in times.items()}


def _number(call: Call) -> int:
    call()
    return max(1, round(_SLICE / _seconds(call, 1)))


def _seconds(call: Call, number: int) -> float:
    start = perf_counter_ns()
    for _ in range(number):
        call()
    return (perf_counter_ns() - start) / number / 1e9
