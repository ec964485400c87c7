"""Change points of many series: cached where possible, on several processes where worth it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Final

from sparsebench.analysis.history.cache import SearchCache, cache_key
from sparsebench.executor import run_all
from sparsebench.stats import Floats
from sparsebench.stats.change_points import (
    WINDOW,
    ChangePoint,
    change_point,
    change_points,
    windows,
    within,
)

Progress = Callable[[int, int], None]  # series done, series in all

_CHUNK: Final = 100  # series per task
# Windows to search from which further processes are started: with fewer, starting them takes
# longer than they save.
LEAST_WINDOWS: Final = 3000


@dataclass(frozen=True)
class _Task:
    """A series, and the candidates of its windows that are cached, by the window's first index."""

    values: Floats
    cached: dict[int, list[int]]


@dataclass(frozen=True)
class _SearchedSeries:
    """The change points of a series, and the candidates of windows that were not cached."""

    points: list[ChangePoint]
    new_candidates: dict[int, list[int]]


def search(
    series: Sequence[Floats],
    tolerance: float,
    cache: SearchCache,
    processes: int = 1,
    progress: Progress | None = None,
) -> list[list[ChangePoint]]:
    """Return the change points of each series, given as logs.

    The result does not depend on ``cache`` and ``processes``. Cached are the change points of whole
    series, for those that did not change, and the candidates of full windows, for those that grew.
    """
    keys = [cache_key(values, f"points {tolerance}") for values in series]
    cached = cache.get(keys)
    missing = [number for number, key in enumerate(keys) if key not in cached]
    window_keys = [_window_keys(series[number]) for number in missing]
    candidates = cache.get(chain.from_iterable(own.values() for own in window_keys))
    tasks = [
        _Task(
            series[number],
            {begin: candidates[key] for begin, key in own.items() if key in candidates},
        )
        for number, own in zip(missing, window_keys, strict=True)
    ]
    new: dict[str, list[tuple[int, float, float, float, int]]] = {}
    new_candidates: dict[str, list[int]] = {}
    results = _search_all(tasks, tolerance, processes, progress)
    for number, own, result in zip(missing, window_keys, results, strict=True):
        new[keys[number]] = [
            (point.index, point.before, point.after, point.doubt, point.change.count)
            for point in result.points
        ]
        new_candidates |= {
            own[begin]: indices for begin, indices in result.new_candidates.items() if begin in own
        }
    cache.put({**new, **new_candidates})
    points = {**cached, **new}
    return [[change_point(*numbers) for numbers in points[key]] for key in keys]


def _window_keys(values: Floats) -> dict[int, str]:
    """Return the cache keys of the full windows of a series, by their first index."""
    return {
        begin: cache_key(window, "candidates")
        for begin, window in windows(values)
        if window.size == WINDOW
    }


def _search_all(
    tasks: list[_Task], tolerance: float, processes: int, progress: Progress | None
) -> list[_SearchedSeries]:
    """Return the result of each task, in order."""
    uncached = sum(sum(1 for _ in windows(task.values)) - len(task.cached) for task in tasks)
    chunks = [tasks[start : start + _CHUNK] for start in range(0, len(tasks), _CHUNK)]
    ended: list[int] = []

    def count(index: int) -> None:
        ended.append(len(chunks[index]))
        if progress:
            progress(sum(ended), len(tasks))

    work = [partial(_search_chunk, chunk, tolerance) for chunk in chunks]
    workers = processes if uncached >= LEAST_WINDOWS else 1
    return list(chain.from_iterable(run_all(work, workers, count)))


def _search_chunk(tasks: Sequence[_Task], tolerance: float) -> list[_SearchedSeries]:
    results = []
    for task in tasks:
        indices: set[int] = set()
        new = {}
        for begin, values in windows(task.values):
            candidates = task.cached.get(begin)
            if candidates is None:
                candidates = new[begin] = within(values)
            indices |= {begin + index for index in candidates}
        results.append(_SearchedSeries(change_points(task.values, tolerance, sorted(indices)), new))
    return results
