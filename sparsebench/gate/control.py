"""Control blocks: notes on disturbances and drift of the machine during a run."""

from collections.abc import Sequence

import numpy as np

from sparsebench.gate.record import Control, Event

DISTURBED = 1.25  # times the usual duration; a longer control block was disturbed
NOTABLE = 0.05  # share of disturbed control blocks from which there is a note
UNEQUAL = 0.02  # relative difference between the sides' control blocks from which there is a note


def doubts(events: Sequence[Event]) -> list[str]:
    """Return notes on the machine; none if it was steady.

    A control block is the same work at both commits. Blocks that take longer than the fastest tenth
    indicate other programs or a throttled processor. A lasting difference between the sides means
    that they were not measured under equal conditions.
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
            f"{worst:.1f} times slower; pairing compensates for it, but intervals are wider"
        )
    drift = _drift(seconds.mean(axis=1))
    if abs(drift) > UNEQUAL * 5:
        notes.append(f"the machine became {_slower(drift, 0)} from the first to the last quarter")
    difference = float(np.expm1(np.median(np.log(seconds[:, 1] / seconds[:, 0]))))
    if abs(difference) > UNEQUAL:
        notes.append(
            f"the same work was {_slower(difference, 1)} in head's processes than in base's; doubt "
            "changes of that size"
        )
    return notes


def _slower(change: float, digits: int) -> str:
    return f"{abs(change):.{digits}%} {'slower' if change > 0 else 'faster'}"


def _drift(seconds: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    """Return the relative slow-down of the last quarter against the first."""
    quarter = max(len(seconds) // 4, 1)
    return float(np.median(seconds[-quarter:]) / np.median(seconds[:quarter]) - 1)
