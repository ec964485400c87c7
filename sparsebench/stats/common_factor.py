"""The change that all series of a machine have in common at each snapshot."""

from typing import Final

import numpy as np

from sparsebench.stats.estimate import Floats

LEAST_SERIES: Final = 20  # with fewer, one series' own change would count as the machine's
_MEMORY: Final = 8  # earlier values of a series that define its usual level


def common_factor(logs: Floats) -> Floats:
    """Return the change of the median series at each snapshot, relative to the first.

    Args:
        logs: shape (series, snapshots), natural logarithms; NaN where nothing was measured.

    Returns:
        Shape (snapshots,), log scale, to be subtracted from every series. A series' usual level is
        the median of its last eight values less this factor. So a series that begins late or
        changes alone does not influence the factor, and later snapshots do not change earlier ones.
        Where fewer than twenty series can be compared, the factor keeps its previous value.
    """
    series, snapshots = logs.shape
    factor = np.zeros(snapshots)
    memory = np.zeros((series, _MEMORY))
    seen = np.zeros(series, dtype=np.int64)
    for snapshot in range(snapshots):
        values = logs[:, snapshot]
        measured = ~np.isnan(values)
        comparable = measured & (seen > 0)
        previous = factor[snapshot - 1] if snapshot else 0.0
        moved = values[comparable] - _row_medians(memory[comparable])
        factor[snapshot] = np.median(moved) if moved.size >= LEAST_SERIES else previous
        new = np.flatnonzero(measured & (seen == 0))
        memory[new] = (values[new] - factor[snapshot])[:, None]
        rows = np.flatnonzero(measured)
        memory[rows, seen[rows] % _MEMORY] = values[rows] - factor[snapshot]
        seen[rows] += 1
    return factor


def _row_medians(rows: Floats) -> Floats:
    """Return the median of each row; NumPy's median takes three times as long on so few."""
    half = _MEMORY // 2
    both = np.partition(rows, (half - 1, half), axis=1)
    return np.asarray(both[:, half - 1] + both[:, half]) / 2
