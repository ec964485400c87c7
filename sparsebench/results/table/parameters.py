"""Parameters as asv stores them (reprs) into the grid's typed columns and one readable line.

Typed columns come from the parameters' names: shape, level, block, zeros, device, dtype, weights
and implementation, given one by one, or together in one parameter named ``case`` whose value joins
``name=value`` pairs by commas: ``'shape=128x128,level=0.3,block=1x4,zeros=all'``.
"""

import ast
import math
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, Final

Scalar = str | int | float | None

_SIDES = re.compile(r"\d+(x\d+)+")
_PAIRS = re.compile(r"\w+=[^,=\s]*(,\s*\w+=[^,=\s]*)*")
_WORD = re.compile(r"[\w.:+-]+")


@dataclass(frozen=True)
class Grid:
    """The typed columns of one combination; None: no such parameter, or an odd value."""

    shape: str | None = None
    level: float | None = None
    block: str | None = None
    zeros: int | None = None
    device: str | None = None
    dtype: str | None = None
    weights: str | None = None
    implementation: str | None = None


@dataclass(frozen=True)
class Case:
    """One parameter combination: ``text`` is "name=value, name=value", "" without any."""

    text: str
    grid: Grid


@lru_cache(maxsize=65_536)  # thousands of files repeat the same few hundred combinations
def describe(names: tuple[str, ...], values: tuple[str, ...]) -> Case:
    """The typed columns and the readable line of one combination.

    Args:
        names: the parameters' names; () where they are not known, and then nothing is typed.
        values: asv's reprs, in the same order.

    Numbers, strings and tuples that differ get different lines: '1' keeps its quotes, 'a' does not.
    """
    if not names:
        return Case(", ".join(map(_readable, values)), Grid())
    each = zip(names, values, strict=True)
    pairs = [pair for name, value in each for pair in _pairs(name, value)]
    typed = {name: _TYPES[name](value) for name, value in pairs if name in _TYPES}
    return Case(", ".join(f"{name}={_shown(name, value)}" for name, value in pairs), Grid(**typed))


def _pairs(name: str, value: str) -> list[tuple[str, str]]:
    """One parameter as itself; the parameter ``case`` as the pairs that it joins."""
    joined = _literal(value)
    if name != "case" or not isinstance(joined, str) or not _PAIRS.fullmatch(joined):
        return [(name, value)]
    return [(key, item) for key, _, item in (p.strip().partition("=") for p in joined.split(","))]


def _shown(name: str, value: str) -> str:
    """Sizes as 128x128, whatever they were written as; the rest as `_readable`."""
    sides = _sides(value) if name in ("shape", "block") else None
    return sides or _readable(value)


def _readable(value: str) -> str:
    """A string without its quotes, unless it would then be taken for something else."""
    text = _literal(value)
    if isinstance(text, str) and _WORD.fullmatch(text) and isinstance(_literal(text), str):
        return text
    return value


def _literal(text: str) -> Any:
    """The Python value that ``text`` is the repr of; ``text`` itself where it is none."""
    try:
        with warnings.catch_warnings():  # of what is nearly Python, like "0or1" or "'\\d'"
            warnings.simplefilter("ignore")
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _sides(text: str) -> str | None:
    value = _literal(text)
    if isinstance(value, tuple | list) and value and all(type(side) is int for side in value):
        return "x".join(map(str, value))
    return value if isinstance(value, str) and _SIDES.fullmatch(value) else None


def _finite(text: str) -> float | None:
    value = _literal(text)
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if known and abs(value) < 1e300 and math.isfinite(value) else None


def _count(text: str) -> int | None:
    """A 32-bit count; null for None and "all", the whole block."""
    value = _literal(text)
    return value if type(value) is int and abs(value) < 2**31 else None


def _name(text: str) -> str | None:
    value = _literal(text)
    return value if isinstance(value, str) and _WORD.fullmatch(value) else None


def _dtype(text: str) -> str | None:
    """A dtype's name, "float32" for "torch.float32"."""
    name = _name(text)
    return name and name.removeprefix("torch.")


_TYPES: Final[dict[str, Callable[[str], Any]]] = {
    "shape": _sides,
    "level": _finite,
    "block": _sides,
    "zeros": _count,
    "device": _name,
    "dtype": _dtype,
    "weights": _name,
    "implementation": _name,
}
assert list(_TYPES) == [field.name for field in fields(Grid)]
