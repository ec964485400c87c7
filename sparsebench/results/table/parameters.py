"""Parameters as asv stores them (reprs), as typed grid columns and one readable line.

Typed columns come from the parameters' names: shape, level, block, zeros, device, dtype, weights
and implementation. They are parameters of their own, or ``name=value`` pairs joined by commas in
one parameter named ``case``: ``'shape=128x128,level=0.3,block=1x4,zeros=all'``.
"""

import ast
import itertools
import math
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, Final

import numpy as np
import pyarrow as pa

from sparsebench.results.asv.result_files import BenchmarkResult
from sparsebench.results.table.encoding import take_column
from sparsebench.results.table.schema import GRID

_SIDES = re.compile(r"\d+(x\d+)+")
_PAIRS = re.compile(r"\w+=[^,=\s]*(,\s*\w+=[^,=\s]*)*")
_WORD = re.compile(r"[\w.:+-]+")


@dataclass(frozen=True)
class GridColumns:
    """The typed columns of one combination; None: no such parameter, or a value of another type."""

    shape: str | None = None
    level: float | None = None
    block: str | None = None
    zeros: int | None = None
    device: str | None = None
    dtype: str | None = None
    weights: str | None = None
    implementation: str | None = None


@dataclass(frozen=True)
class GridPoint:
    """One parameter combination: ``text`` is "name=value, name=value", "" without parameters."""

    text: str
    columns: GridColumns


@lru_cache(maxsize=65_536)  # thousands of files repeat the same few hundred combinations
def describe(names: tuple[str, ...], values: tuple[str, ...]) -> GridPoint:
    """Return the typed columns and the readable line of one combination.

    Numbers, strings and tuples that differ get different lines: '1' keeps its quotes, 'a' does not.

    Args:
        names: the parameters' names; () if they are not known, and then nothing is typed.
        values: asv's reprs, in the same order.

    Example:
        >>> describe(("shape", "device"), ("(128, 64)", "'cpu'")).text
        'shape=128x64, device=cpu'
    """
    if not names:
        return GridPoint(", ".join(map(_readable, values)), GridColumns())
    pairs: list[tuple[str, str]] = []
    for name, value in zip(names, values, strict=True):
        joined = _literal(value)
        if name == "case" and isinstance(joined, str) and _PAIRS.fullmatch(joined):
            parts = (part.strip().partition("=") for part in joined.split(","))
            pairs += [(key, item) for key, _, item in parts]
        else:
            pairs.append((name, value))
    typed = {name: _TYPES[name](value) for name, value in pairs if name in _TYPES}
    texts = [
        f"{name}={(name in ('shape', 'block') and _sides(value)) or _readable(value)}"
        for name, value in pairs
    ]
    return GridPoint(", ".join(texts), GridColumns(**typed))


class Combinations:
    """Parameter combinations, each benchmark's stored once, and the columns made of them."""

    def __init__(self) -> None:
        self._starts: dict[Any, int] = {}
        self._params: list[list[str] | None] = []
        self._points: list[GridPoint] = []

    def start(self, names: tuple[str, ...], result: BenchmarkResult) -> int:
        """Return the index of the first combination of ``result``; the others follow in order."""
        key = (names, result.params, result.problem is None)
        if key not in self._starts:
            self._starts[key] = len(self._params)
            if result.problem:
                self._params.append(None)
                self._points.append(GridPoint("", GridColumns()))
            else:
                combinations = list(itertools.product(*result.params))
                self._params.extend(map(list, combinations))
                self._points.extend(describe(names, values) for values in combinations)
        return self._starts[key]

    def columns(self, indices: np.ndarray) -> dict[str, pa.Array]:
        """Return the columns "params", "case" and those of `GRID` of the combinations' rows."""
        values: dict[str, list[Any]] = {
            "params": self._params,
            "case": [point.text for point in self._points],
            **{f.name: [getattr(p.columns, f.name) for p in self._points] for f in GRID},
        }
        return {name: take_column(column, indices, name) for name, column in values.items()}


def _readable(value: str) -> str:
    """Return a string without its quotes, unless it would then look like another value."""
    text = _literal(value)
    if isinstance(text, str) and _WORD.fullmatch(text) and isinstance(_literal(text), str):
        return text
    return value


def _literal(text: str) -> Any:
    """Return the Python value that ``text`` is the repr of; ``text`` itself if it is none."""
    try:
        with warnings.catch_warnings():  # of what is nearly Python, like "0or1" or "'\\d'"
            warnings.simplefilter("ignore")
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _sides(text: str) -> str | None:
    """Return a size as "128x128", however it is written."""
    value = _literal(text)
    if isinstance(value, tuple | list) and value and all(type(side) is int for side in value):
        return "x".join(map(str, value))
    return value if isinstance(value, str) and _SIDES.fullmatch(value) else None


def _finite(text: str) -> float | None:
    value = _literal(text)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and abs(value) < 1e300 and math.isfinite(value) else None


def _count(text: str) -> int | None:
    """Return a 32-bit count; None for None and "all", which mean the whole block."""
    value = _literal(text)
    return value if type(value) is int and abs(value) < 2**31 else None


def _name(text: str) -> str | None:
    value = _literal(text)
    return value if isinstance(value, str) and _WORD.fullmatch(value) else None


def _dtype(text: str) -> str | None:
    """Return a dtype's name, "float32" for "torch.float32"."""
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
assert list(_TYPES) == [field.name for field in fields(GridColumns)]
