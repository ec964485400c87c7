"""Many pages at once: jobs on all cores, each in a process of its own."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Final, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Job(Generic[T]):
    """Work that can be pickled, and how many pages it makes."""

    work: Callable[[], T]
    pages: int


# A worker imports pandas and seaborn first, two seconds: less work than this is done here.
_LEAST_PAGES: Final = 8


def run(jobs: Sequence[Job[T]], progress: Callable[[int, int], None]) -> list[T]:
    """Return what each job returns, in order; ``progress(done, total)`` counts pages.

    An error in one ends all.
    """
    total = sum(job.pages for job in jobs)
    workers = min(os.cpu_count() or 1, total // _LEAST_PAGES, len(jobs))
    if workers < 2:
        return list(_one_by_one(jobs, total, progress))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        pages = {pool.submit(job.work): job.pages for job in jobs}
        try:
            for future, done in _counted(as_completed(pages), pages):
                future.result()
                progress(done, total)
        finally:
            pool.shutdown(cancel_futures=True)
        return [future.result() for future in pages]


def _one_by_one(
    jobs: Sequence[Job[T]], total: int, progress: Callable[[int, int], None]
) -> Iterator[T]:
    done = 0
    for job in jobs:
        yield job.work()
        done += job.pages
        progress(done, total)


def _counted(
    futures: Iterable[Future[T]], pages: Mapping[Future[T], int]
) -> Iterator[tuple[Future[T], int]]:
    done = 0
    for future in futures:
        done += pages[future]
        yield future, done
