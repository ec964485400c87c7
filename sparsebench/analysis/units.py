"""Values scaled for reading: the only place where seconds become milliseconds.

Stored values are in base units; tables and axes call :func:`human`.
"""

import math
from itertools import pairwise
from typing import Final

_Scales = tuple[tuple[float, str], ...]

SECONDS: Final[_Scales] = (
    (1e-9, " ns"),
    (1e-6, " µs"),
    (1e-3, " ms"),
    (1.0, " s"),
    (60.0, " min"),
    (3600.0, " h"),
)
BYTES: Final[_Scales] = (
    (1.0, " B"),
    (2.0**10, " KiB"),
    (2.0**20, " MiB"),
    (2.0**30, " GiB"),
    (2.0**40, " TiB"),
)
_RATIO: Final[_Scales] = ((1.0, "x"),)
_NO_UNIT: Final[_Scales] = ((1.0, ""),)  # asv's unit of a tracked number is "unit" by default

_SCALES_OF_UNIT: Final[dict[str, _Scales]] = {
    "seconds": SECONDS,
    "s": SECONDS,
    "bytes": BYTES,
    "B": BYTES,
    "ratio": _RATIO,
    "x": _RATIO,
    "unit": _NO_UNIT,
    "": _NO_UNIT,
}


def human(value: float | None, unit: str | None, *, like: float | None = None) -> str:
    """Return ``value`` (in base ``unit``) scaled for reading: "1.23 ms", "4.2 MiB", "3.2x".

    Three significant digits; integers from 1000 up to a million keep all digits. A value that
    rounds up to the next scale is printed in it, never as "1000 µs". Unknown units follow the
    number unchanged ("12 widgets"). A missing value (None or NaN) is "-". With ``like``, the scale
    is that of another value, so that all labels of an axis have one scale.

    Example:
        >>> human(0.00123, "seconds"), human(3.2, "ratio"), human(None, "bytes")
        ('1.23 ms', '3.2x', '-')
    """
    if value is None or math.isnan(value):
        return "-"
    scales = _scales(unit)
    scale, suffix = _scale(abs(value if like is None else like), scales)
    number = abs(value) / scale
    if value and scale > scales[0][0] and like is None:
        number = max(number, 1.0)  # in this scale because it rounds to one
    return f"{'-' if value < 0 else ''}{_digits(number)}{suffix}"


def counted(number: int, noun: str) -> str:
    """Return "1 case" or "3 cases"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def scale_of(value: float, unit: str | None) -> float:
    """Return the scale that :func:`human` uses for ``value``, in base units."""
    return _scale(abs(value), _scales(unit))[0]


def _scales(unit: str | None) -> _Scales:
    return _SCALES_OF_UNIT.get(unit or "", ((1.0, f" {unit}"),))


def _scale(magnitude: float, scales: _Scales) -> tuple[float, str]:
    """Return the largest scale that ``magnitude`` reaches when rounded; base for 0 and infinity."""
    base = next((scale for scale in scales if scale[0] == 1.0), scales[0])
    if magnitude == 0 or math.isinf(magnitude):
        return base
    chosen = scales[0]
    for smaller, larger in pairwise(scales):
        rounded = float(_digits(magnitude / smaller[0])) * smaller[0]
        if rounded >= larger[0] * (1 - 1e-12):
            chosen = larger
    return chosen


def _digits(number: float) -> str:
    """Return three significant digits; all digits from 100 up to a million, then 1.23e+09."""
    if 99.95 <= abs(number) < 1e6:
        return f"{number:.0f}"
    return f"{number:.3g}"
