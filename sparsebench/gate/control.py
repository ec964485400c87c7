"""How steady the machine was: what the control blocks of a run say."""

from collections.abc import Sequence

import numpy as np

from sparsebench.gate.record import Control, Event

DISTURBED = 1.25  # times the usual; a control block that took longer was disturbed
NOTABLE = 0.05  # share of disturbed control blocks from which a run says so
UNEQUAL = 0.02  # by which head's control blocks may differ from base's on the whole


def doubts(events: Sequence[Event]) -> list[str]:
    """What is to be said about the machine; nothing where it was steady.

    A control block is the same work at both commits. Most taking longer than the fastest tenth
    means a busy neighbour or a throttled processor; a lasting difference between the sides means
    that they were not measured alike.
    """
    controls = [(e.base, e.head) for e in events if isinstance(e, Control)]
    if not controls:
        return []
    seconds = np.array(controls)
    usual = np.quantile(seconds, 0.1)
    disturbed = float((seconds > DISTURBED * usual).mean())
    notes = []
    if disturbed > NOTABLE:
        worst = float(np.quantile(seconds, 0.99) / usual)
        notes.append(
            f"the machine was not steady: {disturbed:.0%} of control blocks were disturbed, up to "
            f"{worst:.1f} times slower; pairing cancels it, at the price of wider intervals"
        )
    drift = _drift(seconds.mean(axis=1))
    if abs(drift) > UNEQUAL * 5:
        notes.append(f"the machine became {_slower(drift, 0)} from the first to the last quarter")
    lean = float(np.expm1(np.median(np.log(seconds[:, 1] / seconds[:, 0]))))
    if abs(lean) > UNEQUAL:
        notes.append(
            f"the same work was {_slower(lean, 1)} in head's processes than in base's; doubt "
            "changes of that size"
        )
    return notes


def _slower(change: float, digits: int) -> str:
    return f"{abs(change):.{digits}%} {'slower' if change > 0 else 'faster'}"


def _drift(seconds: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    """How much slower the last quarter was than the first."""
    quarter = max(len(seconds) // 4, 1)
    return float(np.median(seconds[-quarter:]) / np.median(seconds[:quarter]) - 1)
