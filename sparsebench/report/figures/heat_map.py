"""Heat maps of a comparison: each case's ratio over level, block and zeros, one panel per shape."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from sparsebench.analysis.comparison import ComparedBenchmark
from sparsebench.analysis.dimensions import labels, natural_order, natural_ranks
from sparsebench.analysis.sides import Sides
from sparsebench.analysis.units import counted, human
from sparsebench.report.figures import canvas
from sparsebench.report.text.comparison import verdict

CELL: Final = (0.46, 0.19)  # inches: "0.35" fits
MOST_PANELS: Final = 6
MOST_ROWS: Final = 48
MOST_COLUMNS: Final = 16
PALETTE: Final = "vlag"  # blue and red of equal lightness, distinct in every kind of vision
LEAST_FILLED: Final = 0.25  # a sparser map shows mostly grey; the table is clearer
LEAST_SPAN: Final = 0.5  # doublings: the colours reach 1.4x at least, so that noise is pale

_ROWS: Final = ("block", "zeros")
_COLUMN: Final = "level"


@dataclass(frozen=True)
class HeatMapAxes:
    """Which dimensions make the panels, the rows and the columns; others are averaged."""

    panels: tuple[str, ...]
    rows: tuple[str, ...]
    column: str
    averaged: tuple[str, ...]


def why_no_heat_map(group: ComparedBenchmark) -> str | None:
    """Return why a group has no heat map; None if its ratios fill a quarter of the cells."""
    if group.exact:
        return "exact values have no ratio"
    if len(group.dims) < 2:
        return f"needs two parameters that vary, got {', '.join(group.dims) or 'none'}"
    if not group.pairs["ratio"].notna().any():
        return "no case has a positive value on both sides"
    cells = sum(table.size for table in _tables(group, choose_axes(group)).values())
    if len(group.pairs) < LEAST_FILLED * cells:
        return f"its {counted(len(group.pairs), 'case')} would be spread over {cells} cells"
    return None


def choose_axes(group: ComparedBenchmark) -> HeatMapAxes:
    """Return the plan: always the same for our own grid, else by the order of the parameters."""
    sizes = {name: group.pairs[name].nunique() for name in group.dims}
    fitting = [name for name, size in sizes.items() if size <= MOST_COLUMNS]
    last_fitting = fitting[-1] if fitting else min(sizes, key=sizes.__getitem__)
    column = _COLUMN if _COLUMN in sizes else last_fitting
    rows: tuple[str, ...] = tuple(name for name in _ROWS if name in sizes and name != column)
    rest = [name for name in group.dims if name not in (*rows, column)]
    if not rows:
        rows, rest = (rest[-1],), rest[:-1]
    panels: list[str] = []
    for name in rest:
        if group.pairs[[*panels, name]].drop_duplicates().shape[0] <= MOST_PANELS:
            panels.append(name)
    averaged = tuple(name for name in rest if name not in panels)
    return HeatMapAxes(tuple(panels), rows, column, averaged)


def draw_heat_map(group: ComparedBenchmark, sides: Sides) -> Figure:
    """Return the figure; to be called, and saved, inside `canvas.style`."""
    axis = choose_axes(group)
    tables = _tables(group, axis)
    rows, columns = next(iter(tables.values())).shape
    width = len(tables) * (columns * CELL[0] + 0.25) + 2.2
    figure = Figure(figsize=(max(width, 5.0), max(rows * CELL[1], 1.6) + 1.0), layout="constrained")
    grid = figure.subplots(1, len(tables), squeeze=False, sharey=True)[0]
    limit = _limit(group.pairs["ratio"])
    unclear = _tables(group, axis, "unclear")
    for axes, (name, table) in zip(grid, tables.items(), strict=True):
        _draw_panel(axes, table, unclear[name] == 1, limit)
        axes.set(title=name, ylabel="")
    _colour_bar(figure, list(grid), group.unit)
    canvas.surround(figure, group.name, _about(group, sides, axis), _notes(group, axis, tables))
    return figure


def describe_heat_map(group: ComparedBenchmark, sides: Sides) -> str:
    """Return a description for readers who cannot see the figure."""
    pairs = group.pairs.dropna(subset="ratio").sort_values("ratio")
    ends = [f"{human(row.ratio, 'ratio')} at {row.case}" for row in (pairs.iloc[0], pairs.iloc[-1])]
    return (
        f"Heat map of {group.name}, the ratio of {len(pairs)} cases: "
        f"{verdict(group, sides)}; from {ends[0]} to {ends[1]}"
    )


def _tables(
    group: ComparedBenchmark, axis: HeatMapAxes, column: str = "log"
) -> dict[str, pd.DataFrame]:
    """Return one table per panel, in natural order: log2 ratios, or the share of unclear ones."""
    pairs = group.pairs.assign(
        log=np.log2(group.pairs["ratio"]),
        unclear=group.unclear.astype(float),
        panel=labels(group.pairs, axis.panels),
        row=labels(group.pairs, axis.rows),
    )
    rows = _sorted(pairs, axis.rows)["row"].unique()[:MOST_ROWS]
    columns = natural_order(pairs[axis.column].unique())
    return {
        str(name): pairs[pairs["panel"] == name]
        .pivot_table(column, "row", axis.column, aggfunc="mean")
        .reindex(index=rows, columns=columns)
        for name in _sorted(pairs, axis.panels)["panel"].unique()
    }


def _sorted(pairs: pd.DataFrame, names: tuple[str, ...]) -> pd.DataFrame:
    """Return the rows in the natural order of the named dimensions."""
    if not names:
        return pairs
    return pairs.loc[natural_ranks(pairs, names).sort_values(list(names)).index]


def _limit(ratios: pd.Series) -> float:
    """Return how far the colours reach, in doublings: to 95 % of the ratios."""
    logs = np.abs(np.log2(ratios[ratios > 0]))
    return max(LEAST_SPAN, float(np.quantile(logs, 0.95)))


def _draw_panel(axes: Axes, table: pd.DataFrame, unclear: pd.DataFrame, limit: float) -> None:
    numbers = table.map(lambda log: "" if pd.isna(log) else f"{2**log:.2g}")
    numbers = numbers.mask(unclear, "≈" + numbers)
    axes.set_facecolor("0.88")
    axes.grid(visible=False)
    sns.heatmap(
        table, ax=axes, cmap=PALETTE, norm=Normalize(-limit, limit), cbar=False,
        annot=numbers, fmt="", annot_kws={"fontsize": 7}, linewidths=0.4, linecolor="white",
    )  # fmt: skip
    axes.tick_params(axis="both", length=0, labelsize=7.5)
    axes.tick_params(axis="x", rotation=0)
    axes.tick_params(axis="y", rotation=0)


def _colour_bar(figure: Figure, axes: list[Axes], unit: str | None) -> None:
    mappable = axes[0].collections[0]
    bar: Colorbar = figure.colorbar(mappable, ax=axes, aspect=30, pad=0.015, extend="both")
    bar.ax.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda log, _position: human(2.0**log, "ratio")))
    bar.outline.set_visible(False)
    meaning = "takes longer" if unit == "seconds" else "needs more"
    bar.set_label(f"B/A: above 1x B {meaning}")


def _about(group: ComparedBenchmark, sides: Sides, axis: HeatMapAxes) -> str:
    fixed = (f"{name} {value}" for name, value in group.constants.items())
    return " · ".join([verdict(group, sides), f"each cell B/A, columns: {axis.column}", *fixed])


def _notes(
    group: ComparedBenchmark, axis: HeatMapAxes, tables: Mapping[str, pd.DataFrame]
) -> list[str]:
    notes = ["≈ the interval of the ratio contains 1"] if group.unclear.any() else []
    if axis.averaged:
        notes.append(f"each cell is the geometric mean over {', '.join(axis.averaged)}")
    if int(group.pairs["ratio"].isna().sum()):
        notes.append(f"{group.pairs['ratio'].isna().sum()} cases have no ratio")
    if any(table.isna().any(axis=None) for table in tables.values()):
        notes.append("grey: no case with a value on both sides")
    return notes
