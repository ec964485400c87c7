"""Text tables, and short names of cases."""

from collections.abc import Iterable, Sequence

from benchmarks.workloads.grid import MaskCase, Shape


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return lines of right-aligned columns, the first one left-aligned."""
    lines = [list(head), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def short_name(case: MaskCase) -> str:
    """Return for example ``4096x4096 0.5 1x4``, or ``... 1x4:2`` for 2 zeros per block."""
    zeros = "" if case.zeros is None else f":{case.zeros}"
    return f"{format_shape(case.shape)} {case.level:g} {format_shape(case.block)}{zeros}"


def format_shape(shape: Shape) -> str:
    """Return for example ``128x64``."""
    return f"{shape[0]}x{shape[1]}"
