"""What every statistic here returns: a value, its interval, and what is doubtful about it."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
CONFIDENCE_LEVEL: Final = 0.95


@dataclass(frozen=True)
class Interval:
    """A closed interval, ``low <= high``, in the unit of what it encloses."""

    low: float
    high: float

    def __post_init__(self) -> None:
        assert self.low <= self.high, f"an interval runs upwards, got {self.low}..{self.high}"

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Estimate:
    """A value computed from ``count`` numbers; doubt is carried along, never raised.

    ``interval`` is None where it cannot be known, and ``warnings`` then says why.
    """

    value: float
    interval: Interval | None
    count: int
    warnings: tuple[str, ...] = ()


def too_few(needed: int, got: int, level: float, what: str = "samples") -> str:
    """Return the footnote for an interval that cannot be given."""
    return f"needs {needed} {what} for an interval at {level:g}, got {got}"
