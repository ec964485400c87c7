"""Tables of at most 80 columns, and the geometric mean that sums ratios up."""

from collections.abc import Iterable, Sequence
from math import exp, log

from benchmarks.workloads.grid import Case, Shape


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lines of right-aligned columns, the first one left-aligned."""
    lines = [list(head), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def geometric_mean(values: Sequence[float]) -> float:
    """The exponential of the mean logarithm of positive ``values``."""
    return exp(sum(map(log, values)) / len(values))


def short_name(case: Case) -> str:
    """For example ``4096x4096 .5 1x4`` or, where it is part of a block, ``... 1x4:2``."""
    zeros = "" if case.zeros is None else f":{case.zeros}"
    return f"{sides(case.shape)} {case.level:g} {sides(case.block)}{zeros}"


def sides(shape: Shape) -> str:
    """For example ``128x64``."""
    return f"{shape[0]}x{shape[1]}"
