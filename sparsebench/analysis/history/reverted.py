"""Steps that a later step undid: a return to an earlier level is not a finding of its own."""

from collections.abc import Iterator, Sequence

import numpy as np

from sparsebench.stats import ChangePoint


def reported_steps(
    points: Sequence[ChangePoint], tolerance: float
) -> Iterator[tuple[ChangePoint, ChangePoint | None]]:
    """Yield the change points of a series that are reported, each with the one that undid it.

    A later step in the other direction undoes a step if the level after it is nearer to the level
    before that step. The undoing step itself is reported only if it goes beyond that level by more
    than the tolerance and its own doubt: losing an improvement is no regression, and the end of a
    regression is no improvement. An undone step stays undone, whatever happens later.
    """
    current: list[ChangePoint] = []  # reported and not undone so far
    reported: list[ChangePoint] = []
    undone_by: dict[int, ChangePoint] = {}
    for point in points:
        undone = [step for step in current if _undoes(point, step)]
        current = [step for step in current if step not in undone]
        undone_by |= {step.index: point for step in undone}
        if not any(_only_returns(point, step, tolerance) for step in undone):
            current.append(point)
            reported.append(point)
    yield from ((point, undone_by.get(point.index)) for point in reported)


def _undoes(point: ChangePoint, step: ChangePoint) -> bool:
    """Return whether ``point`` leads back towards the level before ``step``."""
    opposite = (point.after > point.before) != (step.after > step.before)
    return opposite and abs(point.after - step.before) < abs(point.after - step.after)


def _only_returns(point: ChangePoint, step: ChangePoint, tolerance: float) -> bool:
    """Return whether ``point`` goes no further than the level before ``step``."""
    direction = np.sign(point.after - point.before)
    beyond = (point.after - step.before) * direction
    return bool(beyond <= np.log1p(tolerance) + point.doubt)
