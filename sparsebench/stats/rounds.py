"""One round of a paired measurement: what its blocks say about head over base."""

import numpy as np
from numpy.typing import ArrayLike

from sparsebench.errors import SparsebenchError
from sparsebench.stats.median import Floats
from sparsebench.stats.robust import location, scale


def round_effect(order: str, seconds: ArrayLike) -> float:
    """Return log(head/base) of one case from the blocks of one pair of processes.

    Args:
        order: which side each block measured, in time order, quadruples ``BHHB`` or ``HBBH``
            (B base, H head).
        seconds: time per call of each block; a quadruple with a number that is not positive and
            finite is left out.

    Returns:
        A robust location of the quadruples' log ratios; NaN where none is left. In a quadruple
        whatever drifts evenly hits both sides alike. A disturbed one pulls no harder than
        ``robust.CLIP`` standard deviations.

    Raises:
        SparsebenchError: the order is not made of quadruples, or has another length than
            ``seconds``.
    """
    ratios = _log_ratios(order, np.asarray(seconds, dtype=np.float64).ravel())
    ratios = ratios[np.isfinite(ratios)]
    return float(location(ratios, scale(ratios))) if ratios.size else float("nan")


def _log_ratios(order: str, seconds: Floats) -> Floats:
    quadruples = [order[start : start + 4] for start in range(0, len(order), 4)]
    if not set(quadruples) <= {"BHHB", "HBBH"}:
        raise SparsebenchError(
            f"round: blocks must come in quadruples BHHB or HBBH, got order={order!r}; "
            "measure whole quadruples"
        )
    if seconds.size != len(order):
        raise SparsebenchError(
            f"round: needs one time a block, got {seconds.size} for {len(order)} blocks; "
            "give order and seconds the same length"
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(seconds).reshape(-1, 4)
    outer_minus_inner = (logs[:, 0] + logs[:, 3] - logs[:, 1] - logs[:, 2]) / 2
    return np.where([quadruple[0] == "H" for quadruple in quadruples], 1, -1) * outer_minus_inner


def round_error(order: str, seconds: ArrayLike) -> float:
    """Return the standard error of :func:`round_effect` as the quadruples tell it.

    What this pair of processes has in common is not in it. Infinite below two quadruples.
    """
    ratios = _log_ratios(order, np.asarray(seconds, dtype=np.float64).ravel())
    ratios = ratios[np.isfinite(ratios)]
    return float(scale(ratios) / np.sqrt(ratios.size)) if ratios.size > 1 else float("inf")
