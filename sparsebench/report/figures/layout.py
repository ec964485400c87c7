"""Which parameters become panels, which become colours, and which are summarised."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from sparsebench.analysis.dimensions import ENVIRONMENT, MACHINE, varying

MOST_PANELS: Final = 12  # more are too small to read on one page
MOST_HUES: Final = 8  # the palette has ten colours, and eight lines already cross a lot

COMPARED: Final = (
    "implementation",
    "device",
    MACHINE,
    ENVIRONMENT,
)  # what a reader sets side by side
PANELS_FIRST: Final = ("shape", "block")  # of our own grid: the same picture at every commit
HUE_FIRST: Final = "level"


@dataclass(frozen=True)
class Layout:
    """A figure's plan: a panel each value of ``panels``, a colour each of ``hues``.

    Over the values of ``summarised`` a panel shows the median case and the spread; where it is
    empty every case has a line of its own.
    """

    panels: tuple[str, ...]
    hues: tuple[str, ...]
    summarised: tuple[str, ...]


def choose_layout(dims: pd.DataFrame, values: pd.Series) -> Layout:
    """Return the plan for one figure's rows, the same for the same parameters.

    Implementations, devices and machines are colours where there are several. The other parameters
    are panels while all their combinations fit on a page; else shape and block are, then whatever
    explains most of the values, and the rest is summarised.
    """
    names = list(varying(dims))
    hues = _fitting([name for name in COMPARED if name in names], dims, MOST_HUES)
    rest = _by_importance([name for name in names if name not in hues], dims, values)
    if _combinations(dims, rest) <= MOST_PANELS:
        return Layout(_fitting(rest, dims, MOST_PANELS), hues, ())
    if not hues:
        first = [HUE_FIRST] if HUE_FIRST in rest else []
        hues = _fitting([*first, *rest], dims, MOST_HUES)[:1]
    rest = [name for name in rest if name not in hues]
    panels = _fitting(rest, dims, MOST_PANELS)[:2]
    return Layout(panels, hues, tuple(name for name in rest if name not in panels))


def _by_importance(names: list[str], dims: pd.DataFrame, values: pd.Series) -> list[str]:
    """Return our own grid's names in their fixed order, then the others by what matters most."""
    own = [name for name in PANELS_FIRST if name in names]
    others = [name for name in names if name not in own]
    weight = {name: _explained(dims[name], values) for name in others}
    return own + sorted(others, key=lambda name: (-weight[name], names.index(name)))


def _explained(dimension: pd.Series, values: pd.Series) -> float:
    """Return how far the groups' typical values lie apart: variance of mean logs, two digits."""
    logs = np.log(values.where(values > 0))
    spread = logs.groupby(dimension).mean().var(ddof=0)
    return 0.0 if pd.isna(spread) else float(f"{spread:.2g}")


def _fitting(names: list[str], dims: pd.DataFrame, most: int) -> tuple[str, ...]:
    """Return the names, in order, that tell more rows apart without passing ``most`` groups."""
    chosen: list[str] = []
    told_apart = 1
    for name in names:
        count = _combinations(dims, [*chosen, name])
        if told_apart < count <= most:
            chosen.append(name)
            told_apart = count
    return tuple(chosen)


def _combinations(dims: pd.DataFrame, names: list[str]) -> int:
    return len(dims[names].drop_duplicates()) if names else 1
