"""The effect of one round of a paired measurement, and its standard error."""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from sparsebench.errors import SparsebenchError
from sparsebench.stats.estimate import Floats

_UNDISTURBED: Final = 0.25  # quantile of a side's blocks: interference only slows blocks down


def round_effect(order: str, seconds: ArrayLike) -> float:
    """Return log(head/base) of one case from the blocks of one pair of processes.

    Args:
        order: which side each block measured, in time order, quadruples ``BHHB`` or ``HBBH``
            (B base, H head).
        seconds: time per call of each block, best the lower quartile or the median of its calls; a
            quadruple with a number that is not positive and finite is left out.

    Returns:
        The log ratio of the sides' lower quartiles over blocks; NaN where no quadruple is left.

    Quadruples give both sides the same share of every stretch of time, so a steady drift of D over
    n blocks moves the result by less than 2 D/n, and a sudden change not at all unless it falls at
    a quarter of the round, within a block or two. Chosen on blocks of identical code (61 cases of
    the grid, rounds of 10 quadruples of 5 ms): on two overloaded cores (6 rounds) and with both
    processes bound to one quiet core (4 rounds) 95 % of the effects lay within 3.6 and 2.5 %. The
    median over quadruples gave 3.7 and 2.7 %, Huber's estimate over them 4.9 and 3.2 %, and the
    mean instead of the lower quartile of a block's calls 70 and 3.7 %.

    Raises:
        SparsebenchError: the order is not made of quadruples, or has another length than
            ``seconds``.
    """
    base, head = _logs(order, seconds)
    if not base.size:
        return float("nan")
    return float(np.quantile(head, _UNDISTURBED) - np.quantile(base, _UNDISTURBED))


def round_error(order: str, seconds: ArrayLike) -> float:
    """Return the standard error of :func:`round_effect`, from the scatter of the blocks.

    Half the distance between the quantiles one standard error of rank to each side of the lower
    quartile, both sides together. Variation between pairs of processes is not included. Infinite
    where no quadruple is left.
    """
    sides = _logs(order, seconds)
    if not sides[0].size:
        return float("inf")
    reach = np.sqrt(_UNDISTURBED * (1 - _UNDISTURBED) / sides[0].size)
    ends = (_UNDISTURBED - reach, _UNDISTURBED + reach)
    base, head = (np.ptp(np.quantile(side, ends)) / 2 for side in sides)
    return float(np.hypot(base, head))


def _logs(order: str, seconds: ArrayLike) -> tuple[Floats, Floats]:
    """Return base's and head's log times of the quadruples that were measured completely."""
    times = np.asarray(seconds, dtype=np.float64).ravel()
    _check(order, times.size)
    heads = np.array([side == "H" for side in order], dtype=bool)
    measured = np.repeat((np.isfinite(times) & (times > 0)).reshape(-1, 4).all(axis=1), 4)
    return np.log(times[measured & ~heads]), np.log(times[measured & heads])


def _check(order: str, blocks: int) -> None:
    quadruples = {order[start : start + 4] for start in range(0, len(order), 4)}
    if not quadruples <= {"BHHB", "HBBH"}:
        raise SparsebenchError(
            f"round: blocks must come in quadruples BHHB or HBBH, got order={order!r}; "
            "measure whole quadruples"
        )
    if blocks != len(order):
        raise SparsebenchError(
            f"round: needs one time per block, got {blocks} for {len(order)} blocks; "
            "give order and seconds the same length"
        )
