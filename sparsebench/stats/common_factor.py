"""What all series of a machine have in common: the factor by which a whole run was slower."""

from typing import Final

import numpy as np

from sparsebench.stats.estimate import Floats

LEAST_SERIES: Final = 20  # of fewer, one series' own change would pass for everybody's
_MEMORY: Final = 8  # earlier values of a series that say where it usually lies


def common_factor(logs: Floats) -> Floats:
    """Return what the median series moved by, relative to the first snapshot.

    Args:
        logs: shape (series, snapshots), natural logarithms; NaN where nothing was measured.

    Returns:
        Shape (snapshots,), log scale, to be subtracted from every series. A series' usual place is
        the median of its last eight values, less this factor; so a series that begins late or
        changes alone does not move it, and later snapshots do not change earlier results. Where
        fewer than twenty series can be compared, the factor stays as it was.
    """
    series, snapshots = logs.shape
    factor = np.zeros(snapshots)
    memory = np.zeros((series, _MEMORY))
    seen = np.zeros(series, dtype=np.int64)
    for place in range(snapshots):
        values = logs[:, place]
        measured = ~np.isnan(values)
        known = measured & (seen > 0)
        previous = factor[place - 1] if place else 0.0
        moved = values[known] - _middle(memory[known])
        factor[place] = np.median(moved) if moved.size >= LEAST_SERIES else previous
        new = np.flatnonzero(measured & (seen == 0))
        memory[new] = (values[new] - factor[place])[:, None]
        rows = np.flatnonzero(measured)
        memory[rows, seen[rows] % _MEMORY] = values[rows] - factor[place]
        seen[rows] += 1
    return factor


def _middle(rows: Floats) -> Floats:
    """Return the median of each row; NumPy's own takes three times as long on so few numbers."""
    half = _MEMORY // 2
    both = np.partition(rows, (half - 1, half), axis=1)
    return np.asarray(both[:, half - 1] + both[:, half]) / 2
