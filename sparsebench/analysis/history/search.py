"""The change points of many series: from memory where possible, on all cores where worth it."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from multiprocessing import get_context
from typing import Final

from sparsebench.analysis.history.cache import Memory, key
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

_SHARE: Final = 100  # series handed to a process at once
_WORTH: Final = 3000  # windows to search: below, starting processes takes longer than they save


@dataclass(frozen=True)
class _Task:
    """A series and, by the place where each window begins, what is known of it."""

    values: Floats
    known: dict[int, list[int]]


def search(
    series: Sequence[Floats],
    tolerance: float,
    memory: Memory,
    processes: int = 1,
    progress: Progress | None = None,
) -> list[list[ChangePoint]]:
    """Return the change points of each of ``series`` (logs), the same for any memory and count.

    What is remembered: of a series that did not change all its points, of one that grew the
    candidates in its whole windows.
    """
    wholes = [key(values, f"points {tolerance}") for values in series]
    done = memory.recall(wholes)
    left = [number for number, name in enumerate(wholes) if name not in done]
    found, windowed = _searched_all(
        [series[n] for n in left], tolerance, memory, processes, progress
    )
    fresh = {wholes[n]: _plain(points) for n, points in zip(left, found, strict=True)}
    memory.keep(fresh | windowed)
    known = done | fresh
    return [[change_point(*numbers) for numbers in known[name]] for name in wholes]


def _searched_all(
    series: Sequence[Floats],
    tolerance: float,
    memory: Memory,
    processes: int,
    progress: Progress | None,
) -> tuple[list[list[ChangePoint]], dict[str, list[int]]]:
    """Return the change points of each series, and by name the candidates of new whole windows."""
    names = [_names(values) for values in series]
    known = memory.recall(chain.from_iterable(found.values() for found in names))
    tasks = [
        _Task(values, {begin: known[name] for begin, name in found.items() if name in known})
        for values, found in zip(series, names, strict=True)
    ]
    points: list[list[ChangePoint]] = []
    fresh: dict[str, list[int]] = {}
    for number, (found, added) in enumerate(_results(tasks, tolerance, processes), start=1):
        points.append(found)
        own = names[number - 1]
        fresh |= {own[begin]: places for begin, places in added.items() if begin in own}
        if progress:
            progress(number, len(tasks))
    return points, fresh


def _plain(points: Sequence[ChangePoint]) -> list[tuple[int, float, float, float, int]]:
    return [(p.place, p.before, p.after, p.doubt, p.change.count) for p in points]


_Result = tuple[list[ChangePoint], dict[int, list[int]]]


def _results(tasks: list[_Task], tolerance: float, processes: int) -> Iterator[_Result]:
    """Yield what each task gives, in order."""
    work = partial(_searched, tolerance=tolerance)
    missing = sum(sum(1 for _ in windows(task.values)) - len(task.known) for task in tasks)
    if processes < 2 or missing < _WORTH:
        yield from map(work, tasks)
        return
    # spawn: a fork would copy the locks that Arrow's threads hold
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(work, tasks, chunksize=_SHARE)


def _searched(task: _Task, tolerance: float) -> _Result:
    """Return the change points, and the candidates of the windows that nothing was known of."""
    places: set[int] = set()
    added = {}
    for begin, values in windows(task.values):
        found = task.known.get(begin)
        if found is None:
            found = added[begin] = within(values)
        places |= {begin + place for place in found}
    return change_points(task.values, tolerance, sorted(places)), added


def _names(values: Floats) -> dict[int, str]:
    return {
        begin: key(window, "candidates")
        for begin, window in windows(values)
        if window.size == WINDOW
    }
