"""Crossing points: from which shape, level or count on the other side is faster."""

import re
from dataclasses import dataclass
from math import prod
from typing import Final

import pandas as pd

from sparsebench.analysis.comparison import ComparedBenchmark
from sparsebench.analysis.sides import Sides
from sparsebench.analysis.units import counted
from sparsebench.stats import Estimate, Interval, geometric_mean

_SIZES: Final = re.compile(r"\d+(\.\d+)?(e[+-]?\d+)?(x\d+)*")


@dataclass(frozen=True)
class Crossing:
    """Along ``parameter``, ``winner`` is faster from ``start`` on, and not yet at ``before``.

    ``lines`` is the number of cases compared along it, all other parameters fixed.
    """

    parameter: str
    winner: str
    before: str
    start: str
    lines: int

    @property
    def text(self) -> str:
        """For example "shape: cuda wins from 255x324 on, not yet at 128x128 (144 cases each)"."""
        where = f"{self.parameter}: {self.winner} wins from {self.start} on"
        return f"{where}, not yet at {self.before} ({counted(self.lines, 'case')} each)"


def crossings(group: ComparedBenchmark, sides: Sides) -> list[Crossing]:
    """Return the crossing along each parameter with sizes: numbers, or shapes like 128x128.

    At the crossing and at each larger value, the interval of the geometric mean over the cases that
    have all values must be on one side of 1; for a single case, its own interval. A parameter along
    which the faster side does not change has no crossing.
    """
    if group.exact:
        return []
    crossings = (_along(group, sides, name) for name in group.dims)
    return [crossing for crossing in crossings if crossing]


def size_of(text: str) -> float | None:
    """Return the size of a parameter's value: 0.9, or 128 * 128 for "128x128"; None for text."""
    if not _SIZES.fullmatch(text):
        return None
    return prod(float(part) for part in text.split("x"))


def _along(group: ComparedBenchmark, sides: Sides, name: str) -> Crossing | None:
    sizes = {value: size_of(value) for value in group.pairs[name].unique()}
    ordered = {value: size for value, size in sizes.items() if size is not None}
    if len(ordered) < len(sizes):
        return None
    values = sorted(ordered, key=ordered.__getitem__)
    lines = _complete_lines(group, name)
    winners = [_winner(lines[lines[name] == value], sides) for value in values]
    last = winners[-1] if winners else None
    others = [index for index, winner in enumerate(winners) if winner != last]
    if last is None or not others:
        return None
    before, start = values[others[-1]], values[others[-1] + 1]
    return Crossing(name, last, before, start, len(lines) // len(values))


def _complete_lines(group: ComparedBenchmark, name: str) -> pd.DataFrame:
    """Return the pairs whose other parameters were measured at every value of ``name``."""
    pairs = group.pairs[group.pairs["ratio"] > 0]
    others = [other for other in group.dims if other != name]
    if not others:
        return pairs
    counts = pairs.groupby(others)[name].transform("nunique")
    return pairs[counts == group.pairs[name].nunique()]


def _winner(pairs: pd.DataFrame, sides: Sides) -> str | None:
    interval = _estimate(pairs).interval
    if interval is None or 1.0 in interval:
        return None
    return sides.b if interval.high < 1 else sides.a


def _estimate(pairs: pd.DataFrame) -> Estimate:
    if len(pairs) != 1:
        return geometric_mean(pairs["ratio"])
    pair = pairs.iloc[0]
    has_interval = pair["low"] <= pair["high"]
    interval = Interval(float(pair["low"]), float(pair["high"])) if has_interval else None
    return Estimate(float(pair["ratio"]), interval, 1)
