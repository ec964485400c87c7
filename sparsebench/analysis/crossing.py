"""The crossing point of a comparison: from which shape, level or count on the other side wins."""

import re
from dataclasses import dataclass
from math import prod
from typing import Final

import pandas as pd

from sparsebench.analysis.comparison import Group
from sparsebench.analysis.sides import Sides
from sparsebench.analysis.units import counted
from sparsebench.stats import Estimate, Interval, geometric_mean

_SIZES: Final = re.compile(r"\d+(\.\d+)?(e[+-]?\d+)?(x\d+)*")


@dataclass(frozen=True)
class Crossing:
    """Along one parameter, one side wins from ``start`` on and did not at ``before``.

    ``lines`` is how many cases (all other parameters fixed) were followed along it.
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


def crossings(group: Group, sides: Sides) -> list[Crossing]:
    """Return the crossing along each parameter that has sizes: a number, or sides like 128x128.

    At each of its values the geometric mean of the ratios over the cases that have all values must
    lie wholly on one side of 1, here and at every larger value; of a single case its own interval
    must. A parameter along which nobody overtakes the other has no crossing.
    """
    if group.exact:
        return []
    found = (_along(group, sides, name) for name in group.dims)
    return [crossing for crossing in found if crossing]


def size_of(text: str) -> float | None:
    """Return how large a parameter's value is: 0.9, or 128 * 128 for "128x128"; None for words."""
    if not _SIZES.fullmatch(text):
        return None
    return prod(float(part) for part in text.split("x"))


def _along(group: Group, sides: Sides, name: str) -> Crossing | None:
    sizes = {value: size_of(value) for value in group.pairs[name].unique()}
    ordered = {value: size for value, size in sizes.items() if size is not None}
    if len(ordered) < len(sizes):
        return None
    values = sorted(ordered, key=ordered.__getitem__)
    lines = _complete_lines(group, name)
    winners = [_winner(lines[lines[name] == value], sides) for value in values]
    last = winners[-1] if winners else None
    behind = [place for place, winner in enumerate(winners) if winner != last]
    if last is None or not behind:
        return None
    before, start = values[behind[-1]], values[behind[-1] + 1]
    return Crossing(name, last, before, start, len(lines) // len(values))


def _complete_lines(group: Group, name: str) -> pd.DataFrame:
    """Return the pairs whose other parameters occur with every value, so that means compare."""
    known = group.pairs[group.pairs["ratio"] > 0]
    others = [other for other in group.dims if other != name]
    if not others:
        return known
    counts = known.groupby(others)[name].transform("nunique")
    return known[counts == group.pairs[name].nunique()]


def _winner(pairs: pd.DataFrame, sides: Sides) -> str | None:
    interval = _estimate(pairs).interval
    if interval is None or 1.0 in interval:
        return None
    return sides.b if interval.high < 1 else sides.a


def _estimate(pairs: pd.DataFrame) -> Estimate:
    if len(pairs) != 1:
        return geometric_mean(pairs["ratio"])
    one = pairs.iloc[0]
    known = one["low"] <= one["high"]
    interval = Interval(float(one["low"]), float(one["high"])) if known else None
    return Estimate(float(one["ratio"]), interval, 1)
