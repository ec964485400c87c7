"""The events of a record grouped by case."""

import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from statistics import median
from typing import Any

from sparsebench.gate.findings import SIDES
from sparsebench.gate.record import Blocks, Doubt, Event, Failure, Phase, Skip, Values
from sparsebench.stats import round_effect

_LARGEST = sys.float_info.max
_REPEATED = 2  # failures of a side after which it is not measured again

_effect = lru_cache(maxsize=1 << 16)(round_effect)  # each round asks again for all earlier rounds


@dataclass
class CaseMeasurements:
    """What was measured of one case."""

    blocks: list[Blocks] = field(default_factory=list)
    values: list[Values] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    skips: set[str] = field(default_factory=set)
    doubts: list[str] = field(default_factory=list)

    @property
    def rounds(self) -> int:
        """The number of rounds with a result."""
        return len(self.blocks) + len(self.values)

    def effects(self, phase: Phase) -> list[float]:
        """Return log(head/base) of each round.

        One is added to bytes, so that zero bytes have a logarithm.
        """
        timed = [_effect(b.order, b.seconds) for b in self.blocks if b.phase == phase]
        counted = [math.log1p(v.head) - math.log1p(v.base) for v in self.values if v.phase == phase]
        return timed + counted

    def typical(self, side: str) -> float | None:
        """Return the median over rounds, of blocks' medians or of values; None without any."""
        letter = side[0].upper()
        timed = [
            median(
                s for block_side, s in zip(b.order, b.seconds, strict=True) if block_side == letter
            )
            for b in self.blocks
        ]
        numbers = timed + [v for v in self.tracked(side) if is_number(v)]
        return median(numbers) if numbers else None

    def seconds(self, side: str) -> list[float]:
        """Return the times of all blocks of one side, in measuring order."""
        letter = side[0].upper()
        return [
            s
            for b in self.blocks
            for block_side, s in zip(b.order, b.seconds, strict=True)
            if block_side == letter
        ]

    def tracked(self, side: str) -> list[Any]:
        """Return the values of one side, by round."""
        return [getattr(values, side) for values in self.values]

    def failing(self) -> dict[str, str]:
        """Return the sides that are not measured again, each with its error.

        A first failure may have an outside cause, so it is repeated, unless it was a time-out.
        """
        failed = {side: [f.text for f in self.failures if f.side == side] for side in SIDES}
        return {
            side: texts[-1]
            for side, texts in failed.items()
            if len(texts) >= _REPEATED or any("timed out" in text for text in texts)
        }


def measurements_by_case(count: int, events: Iterable[Event]) -> list[CaseMeasurements]:
    """Return the measurements of each of ``count`` cases."""
    measurements = [CaseMeasurements() for _ in range(count)]
    for event in events:
        match event:
            case Blocks():
                measurements[event.case].blocks.append(event)
            case Values():
                measurements[event.case].values.append(event)
            case Failure():
                measurements[event.case].failures.append(event)
            case Skip():
                measurements[event.case].skips.add(event.side)
            case Doubt():
                measurements[event.case].doubts.append(event.text)
    return measurements


def is_number(value: object) -> bool:
    """Return whether ``value`` is a number that a float can hold."""
    return isinstance(value, int | float) and abs(value) <= _LARGEST
