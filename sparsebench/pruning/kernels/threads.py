"""A pool of our own threads for compiled calls that release the GIL, safe to fork.

numba's threading layers are not: with OpenMP a forked child that computes is killed, and the
workqueue aborts the process when two Python threads compute at once.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

_pools: dict[int, ThreadPoolExecutor] = {}


def run(calls: Sequence[Callable[[], T]], threads: int) -> list[T]:
    """The results of ``calls`` in their order, computed by this thread and ``threads - 1`` more."""
    if threads == 1 or len(calls) == 1:
        return [call() for call in calls]
    waiting = iter(enumerate(calls))
    results: dict[int, T] = {}

    def work() -> None:
        for index, call in waiting:  # an enumerate hands each item to one thread only
            results[index] = call()

    helpers = [_pool(threads - 1).submit(work) for _ in range(threads - 1)]
    try:
        work()
    finally:
        for helper in helpers:
            helper.result()
    return [results[index] for index in range(len(calls))]


def _pool(size: int) -> ThreadPoolExecutor:
    if size not in _pools:
        _pools[size] = ThreadPoolExecutor(size, thread_name_prefix="sparsebench")
    return _pools[size]


# A forked child has its parent's pool, but none of the pool's threads.
os.register_at_fork(after_in_child=_pools.clear)
