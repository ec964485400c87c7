"""Base units scaled for people: the one place where seconds become milliseconds.

Stored values stay in base units (STYLE); tables and axes call :func:`human`.
"""

import math
from itertools import pairwise
from typing import Final

_Steps = tuple[tuple[float, str], ...]

SECONDS: Final[_Steps] = (
    (1e-9, " ns"),
    (1e-6, " µs"),
    (1e-3, " ms"),
    (1.0, " s"),
    (60.0, " min"),
    (3600.0, " h"),
)
BYTES: Final[_Steps] = (
    (1.0, " B"),
    (2.0**10, " KiB"),
    (2.0**20, " MiB"),
    (2.0**30, " GiB"),
    (2.0**40, " TiB"),
)
_RATIO: Final[_Steps] = ((1.0, "x"),)
_BARE: Final[_Steps] = ((1.0, ""),)  # asv calls a tracked number without a unit "unit"

_KNOWN: Final[dict[str, _Steps]] = {
    "seconds": SECONDS,
    "s": SECONDS,
    "bytes": BYTES,
    "B": BYTES,
    "ratio": _RATIO,
    "x": _RATIO,
    "unit": _BARE,
    "": _BARE,
}


def human(value: float | None, unit: str | None, *, like: float | None = None) -> str:
    """Return ``value`` (in base ``unit``) as a person reads it: "1.23 ms", "4.2 MiB", "3.2x".

    Three significant digits, and never "1000 µs": what rounds up to the next scale is printed in
    it. A number of more than three digits keeps them all up to a million. Unknown units stand
    behind the number as they are ("12 widgets"); a missing value (None or NaN) is "-". With
    ``like``, the scale is the one that suits that value, so that an axis has one scale throughout.
    """
    if value is None or math.isnan(value):
        return "-"
    steps = _steps(unit)
    scale, suffix = _step(abs(value if like is None else like), steps)
    number = abs(value) / scale
    if value and scale > steps[0][0] and like is None:
        number = max(number, 1.0)  # carried up because it rounds to one
    return f"{'-' if value < 0 else ''}{_digits(number)}{suffix}"


def counted(number: int, noun: str) -> str:
    """Return "1 case" or "3 cases"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def scale_of(value: float, unit: str | None) -> float:
    """Return how many base units one of the unit is that :func:`human` prints ``value`` in."""
    return _step(abs(value), _steps(unit))[0]


def _steps(unit: str | None) -> _Steps:
    return _KNOWN.get(unit or "", ((1.0, f" {unit}"),))


def _step(magnitude: float, steps: _Steps) -> tuple[float, str]:
    """Return the largest step that ``magnitude`` reaches once rounded; zero and infinity: base."""
    base = next((step for step in steps if step[0] == 1.0), steps[0])
    if magnitude == 0 or math.isinf(magnitude):
        return base
    chosen = steps[0]
    for smaller, larger in pairwise(steps):
        rounded = float(_digits(magnitude / smaller[0])) * smaller[0]
        if rounded >= larger[0] * (1 - 1e-12):
            chosen = larger
    return chosen


def _digits(number: float) -> str:
    """Print three significant digits; whole numbers from 100 up to a million, then 1.23e+09."""
    if 99.95 <= abs(number) < 1e6:
        return f"{number:.0f}"
    return f"{number:.3g}"
