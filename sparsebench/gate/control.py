"""Control blocks: notes on disturbances and drift of the machine during a run."""

from collections.abc import Sequence

import numpy as np

from sparsebench.gate.record import Control, Event

DISTURBED = 1.25  # times the usual duration; a longer control block was disturbed
NOTABLE = 0.05  # share of disturbed control blocks from which there is a note
UNEQUAL = 0.02  # relative difference between the sides' control blocks from which there is a note


def doubts(events: Sequence[Event]) -> list[str]:
    """Return notes on the machine; none if it was steady.

    A control block is the same work at both commits, on the processor and, if cases use one, on the
    GPU. Blocks that take longer than the fastest tenth indicate other programs, or a throttled
    processor or GPU. A lasting difference between the sides means that they were not measured under
    equal conditions.
    """
    controls = [event for event in events if isinstance(event, Control)]
    devices = dict.fromkeys(event.device for event in controls)
    return [
        note
        for device in devices
        for note in _doubts(
            "machine" if device == "cpu" else "GPU",
            "work" if device == "cpu" else "copy on the GPU",
            np.array([(e.base, e.head) for e in controls if e.device == device]),
        )
    ]


def _doubts(
    what: str, work: str, seconds: np.ndarray[tuple[int, int], np.dtype[np.float64]]
) -> list[str]:
    """Return notes on one device; ``seconds`` has a row per control block, base and head."""
    usual = np.quantile(seconds, 0.1)
    disturbed = float((seconds > DISTURBED * usual).mean())
    notes = []
    if disturbed > NOTABLE:
        worst = float(np.quantile(seconds, 0.99) / usual)
        notes.append(
            f"the {what} was not steady: {disturbed:.0%} of control blocks were disturbed, up to "
            f"{worst:.1f} times slower; pairing compensates for it, but intervals are wider"
        )
    drift = _drift(seconds.mean(axis=1))
    if abs(drift) > UNEQUAL * 5:
        notes.append(f"the {what} became {_slower(drift, 0)} from the first to the last quarter")
    difference = float(np.expm1(np.median(np.log(seconds[:, 1] / seconds[:, 0]))))
    if abs(difference) > UNEQUAL:
        notes.append(
            f"the same {work} was {_slower(difference, 1)} in head's processes than in base's; "
            "doubt changes of that size"
        )
    return notes


def _slower(change: float, digits: int) -> str:
    return f"{abs(change):.{digits}%} {'slower' if change > 0 else 'faster'}"


def _drift(seconds: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    """Return the relative slow-down of the last quarter against the first."""
    quarter = max(len(seconds) // 4, 1)
    return float(np.median(seconds[-quarter:]) / np.median(seconds[:quarter]) - 1)
