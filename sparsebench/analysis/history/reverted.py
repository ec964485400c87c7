"""Steps that a later one undid: what returns to an earlier level is no finding of its own."""

from collections.abc import Iterator, Sequence
from itertools import compress

import numpy as np

from sparsebench.stats import ChangePoint


def told(
    points: Sequence[ChangePoint], tolerance: float
) -> Iterator[tuple[ChangePoint, ChangePoint | None]]:
    """Yield the change points of one series that are told, each with the one that undid it.

    A later step in the other direction undoes one if the level after it lies nearer to the level
    before that one. It is told itself only where it goes on beyond that level, by more than the
    tolerance and its own doubt: losing an improvement is no regression, and the end of a
    regression no improvement. What is undone stays so, whatever happens later.
    """
    standing: list[ChangePoint] = []
    new: list[ChangePoint] = []
    undoing: dict[int, ChangePoint] = {}
    for point in points:
        over = [_undoes(point, old) for old in standing]
        undone = list(compress(standing, over))
        standing = [old for old, gone in zip(standing, over, strict=True) if not gone]
        undoing |= {old.place: point for old in undone}
        if not any(_only_returns(point, old, tolerance) for old in undone):
            standing.append(point)
            new.append(point)
    yield from ((point, undoing.get(point.place)) for point in new)


def _undoes(point: ChangePoint, old: ChangePoint) -> bool:
    opposite = (point.after > point.before) != (old.after > old.before)
    return opposite and abs(point.after - old.before) < abs(point.after - old.after)


def _only_returns(point: ChangePoint, old: ChangePoint, tolerance: float) -> bool:
    direction = np.sign(point.after - point.before)
    beyond = (point.after - old.before) * direction
    return bool(beyond <= np.log1p(tolerance) + point.doubt)
