"""Which dimensions become panels, which become colours, and which are summarised."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from sparsebench.analysis.dimensions import ENVIRONMENT, MACHINE, labels, natural_ranks, varying

MOST_PANELS: Final = 12  # more are too small to read on one page
MOST_COLOURS: Final = 8  # the palette has ten colours, and eight lines already cross a lot

# What a reader compares within a panel.
COMPARED: Final = ("implementation", "device", MACHINE, ENVIRONMENT)
PANELS_FIRST: Final = ("shape", "block")  # of our own grid: the same picture at every commit
COLOUR_FIRST: Final = "level"


@dataclass(frozen=True)
class Layout:
    """A figure's plan: one panel per value of ``panels``, one colour per value of ``colours``.

    A panel shows the median and the spread over the values of ``summarised``. If that is empty,
    every case has a line of its own.
    """

    panels: tuple[str, ...]
    colours: tuple[str, ...]
    summarised: tuple[str, ...]


def choose_layout(dims: pd.DataFrame, values: pd.Series) -> Layout:
    """Return the plan for one figure's rows, the same for the same parameters.

    Implementations, devices, machines and environments are colours if there are several. The other
    parameters are panels if all their combinations fit on a page. If not, shape and block are
    panels, then whatever explains most of the values; the rest is summarised.
    """
    names = list(varying(dims))
    colours = _fitting([name for name in COMPARED if name in names], dims, MOST_COLOURS)
    rest = _by_importance([name for name in names if name not in colours], dims, values)
    if _combinations(dims, rest) <= MOST_PANELS:
        return Layout(_fitting(rest, dims, MOST_PANELS), colours, ())
    if not colours:
        first = [COLOUR_FIRST] if COLOUR_FIRST in rest else []
        colours = _fitting([*first, *rest], dims, MOST_COLOURS)[:1]
    rest = [name for name in rest if name not in colours]
    panels = _fitting(rest, dims, MOST_PANELS)[:2]
    return Layout(panels, colours, tuple(name for name in rest if name not in panels))


def ordered_labels(dims: pd.DataFrame, names: tuple[str, ...]) -> pd.Series:
    """Return the label of each row's panel or colour, as categories in natural order.

    Of environments only the parts of the name are printed that not all of them have.
    """
    parts = {str(name): str(name).split("-") for name in dims[ENVIRONMENT].unique()}
    common = set.intersection(*map(set, parts.values())) if parts else set()
    short = {name: "-".join(p for p in own if p not in common) for name, own in parts.items()}
    shortened = dims
    if all(short.values()) and len(set(short.values())) > 1:
        shortened = dims.assign(**{ENVIRONMENT: dims[ENVIRONMENT].map(short)})
    texts = labels(shortened, names)
    order = natural_ranks(dims, names).assign(label=texts).sort_values([*names, "label"])
    return pd.Series(pd.Categorical(texts, order["label"].unique()), index=dims.index)


def _by_importance(names: list[str], dims: pd.DataFrame, values: pd.Series) -> list[str]:
    """Return our own grid's names in their fixed order, then the others by what explains most.

    A dimension explains as much as the mean logs of its groups vary, taken to two digits.
    """
    own = [name for name in PANELS_FIRST if name in names]
    logs = np.log(values.where(values > 0))
    spread = {
        name: logs.groupby(dims[name]).mean().var(ddof=0) for name in names if name not in own
    }
    weight = {name: 0.0 if pd.isna(s) else float(f"{s:.2g}") for name, s in spread.items()}
    return own + sorted(weight, key=lambda name: (-weight[name], names.index(name)))


def _fitting(names: list[str], dims: pd.DataFrame, most: int) -> tuple[str, ...]:
    """Return the names, in order, that separate more rows without passing ``most`` groups."""
    chosen: list[str] = []
    groups = 1
    for name in names:
        count = _combinations(dims, [*chosen, name])
        if groups < count <= most:
            chosen.append(name)
            groups = count
    return tuple(chosen)


def _combinations(dims: pd.DataFrame, names: list[str]) -> int:
    return len(dims[names].drop_duplicates()) if names else 1
