"""A record's events, put together case by case."""

import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from statistics import median
from typing import Any

from sparsebench.gate.record import Blocks, Doubt, Event, Failure, Phase, Skip, Values
from sparsebench.gate.worker_process import SIDES
from sparsebench.stats import round_effect

_LARGEST = sys.float_info.max
_REPEATED = 2  # failures of one side after which it is not tried again


@dataclass
class Gathered:
    """All that was measured of one case."""

    blocks: list[Blocks] = field(default_factory=list)
    values: list[Values] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    skips: set[str] = field(default_factory=set)
    doubts: list[str] = field(default_factory=list)

    @property
    def rounds(self) -> int:
        """How many rounds gave something to compare."""
        return len(self.blocks) + len(self.values)

    def effects(self, phase: Phase) -> list[float]:
        """log(head/base) of each round.

        Bytes are counted from one, so that none at all has a logarithm as well.
        """
        timed = [_effect(b.order, b.seconds) for b in self.blocks if b.phase == phase]
        counted = [math.log1p(v.head) - math.log1p(v.base) for v in self.values if v.phase == phase]
        return timed + counted

    def typical(self, side: str) -> float | None:
        """The median over rounds: of blocks' medians, or of values; None where there is none."""
        letter = side[0].upper()
        timed = [
            median(s for place, s in zip(b.order, b.seconds, strict=True) if place == letter)
            for b in self.blocks
        ]
        numbers = timed + [v for v in self.tracked(side) if is_number(v)]
        return median(numbers) if numbers else None

    def seconds(self, side: str) -> list[float]:
        """All blocks of one side, in the order of time."""
        letter = side[0].upper()
        return [
            s
            for b in self.blocks
            for place, s in zip(b.order, b.seconds, strict=True)
            if place == letter
        ]

    def tracked(self, side: str) -> list[Any]:
        """The values of one side, in the order of rounds."""
        return [getattr(values, side) for values in self.values]

    def failing(self) -> dict[str, str]:
        """The sides that are not to be tried again, and why.

        One failure may have come from outside; a second, or a time-out, which costs too much to
        repeat, may not.
        """
        failed = {side: [f.text for f in self.failures if f.side == side] for side in SIDES}
        return {
            side: texts[-1]
            for side, texts in failed.items()
            if len(texts) >= _REPEATED or any("timed out" in text for text in texts)
        }


def gather(count: int, events: Iterable[Event]) -> list[Gathered]:
    """What the events say about each of ``count`` cases."""
    gathered = [Gathered() for _ in range(count)]
    for event in events:
        match event:
            case Blocks():
                gathered[event.case].blocks.append(event)
            case Values():
                gathered[event.case].values.append(event)
            case Failure():
                gathered[event.case].failures.append(event)
            case Skip():
                gathered[event.case].skips.add(event.side)
            case Doubt():
                gathered[event.case].doubts.append(event.text)
    return gathered


@lru_cache(maxsize=1 << 16)  # every round asks again about all rounds before it
def _effect(order: str, seconds: tuple[float, ...]) -> float:
    return round_effect(order, seconds)


def is_number(value: object) -> bool:
    """Whether it is a number that a float can hold."""
    return isinstance(value, int | float) and abs(value) <= _LARGEST
