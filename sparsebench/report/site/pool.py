"""Many pages at once: jobs on all cores, each in a process of its own."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Final, TypeVar

T = TypeVar("T")

# A worker imports pandas and seaborn first, two seconds: less work than this is done here.
_LEAST_JOBS: Final = 8


def run(jobs: Sequence[Callable[[], T]], progress: Callable[[int, int], None]) -> list[T]:
    """Return what each job returns, in order; ``progress(done, total)`` is called after each.

    Jobs must be picklable. An error in one ends all.
    """
    workers = min(os.cpu_count() or 1, len(jobs) // _LEAST_JOBS)
    if workers < 2:
        return [_counted(job, done, len(jobs), progress) for done, job in enumerate(jobs, start=1)]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(job) for job in jobs]
        try:
            for done, future in enumerate(as_completed(futures), start=1):
                future.result()
                progress(done, len(jobs))
        finally:
            pool.shutdown(cancel_futures=True)
        return [future.result() for future in futures]


def _counted(
    job: Callable[[], T], done: int, total: int, progress: Callable[[int, int], None]
) -> T:
    result = job()
    progress(done, total)
    return result
