"""The result type of all statistics: a value, its interval and warnings; and a proportion."""

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
    """A value computed from ``count`` numbers.

    Doubts are listed in ``warnings``, not raised. ``interval`` is None where it cannot be known;
    a warning then says why.
    """

    value: float
    interval: Interval | None
    count: int
    warnings: tuple[str, ...] = ()


def too_few(needed: int, got: int, level: float, what: str = "samples") -> str:
    """Return the footnote for an interval that cannot be given."""
    return f"needs {needed} {what} for an interval at {level:g}, got {got}"


def proportion(count: int, trials: int, confidence_level: float = CONFIDENCE_LEVEL) -> Estimate:
    """Return ``count / trials`` with Clopper and Pearson's exact interval.

    The trials must be independent. The interval covers the true proportion at least as often as
    ``confidence_level`` says, also at 0 and 1: for 0 of 100 it is 0 to 0.036. No trials give NaN
    and a warning.

    Source: doi:10.1093/biomet/26.4.404, by `scipy.stats.binomtest`.

    Example:
        >>> round(proportion(0, 100).interval.high, 3)
        0.036
    """
    from scipy.stats import binomtest  # half a second to import

    if not trials:
        return Estimate(float("nan"), None, 0, ("no trials",))
    exact = binomtest(count, trials).proportion_ci(confidence_level, method="exact")
    return Estimate(count / trials, Interval(float(exact.low), float(exact.high)), trials)
