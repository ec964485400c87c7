"""Where zeros pay, as two figures: a map of break-even levels, and the ratios behind it."""

from typing import Any, Final

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from sparsebench.analysis.break_even import LEVEL, BreakEven, varying_settings
from sparsebench.analysis.dimensions import natural_order, value_label
from sparsebench.analysis.units import human
from sparsebench.report.figures import canvas

COLUMN: Final = "batch"  # the parameter that makes columns, if there is one
CELL: Final = (1.25, 0.34)  # inches: "0.87 (0.85-0.9)" fits
PANEL: Final = (2.9, 2.3)
NEVER_COLOUR: Final = "0.88"

Panels = dict[str, list[BreakEven]]

_MAP_NOTE: Final = (
    "each cell: sparsity level from which the format is faster than dense; in brackets its range "
    "by the 95 % intervals of this run's times (another run can differ by more); grey: not faster "
    "at any measured level"
)
_CURVE_NOTE: Final = "below 1x the format is faster than dense; bar: 95 % interval of the ratio"


def draw_level_map(break_evens: list[BreakEven]) -> Figure:
    """Return the map of levels: a row per format and block, a column per batch.

    There is one panel per combination of the other parameters. To be called, and saved, inside
    `canvas.style`.
    """
    panels, column = _panels(break_evens)
    columns = natural_order({item.setting.get(column, "") for item in break_evens})
    rows = list(dict.fromkeys(item.name for item in break_evens))
    width = len(panels) * (len(columns) * CELL[0] + 0.3) + 1.2
    figure = Figure(figsize=(max(width, 5.0), len(rows) * CELL[1] + 0.9), layout="constrained")
    grid = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axes, (title, members) in zip(grid, panels.items(), strict=True):
        cells = {(item.name, item.setting.get(column, "")): item for item in members}
        _draw_cells(axes, cells, rows, columns)
        axes.set(title=title, xlabel=column, ylabel="")
    canvas.surround(figure, break_evens[0].benchmark, _about(break_evens), [_MAP_NOTE])
    return figure


def draw_ratio_curves(break_evens: list[BreakEven]) -> Figure:
    """Return the ratios to dense over the level: a colour per format and block.

    Batches are columns of panels, combinations of the other parameters rows. To be called, and
    saved, inside `canvas.style`.
    """
    panels, column = _panels(break_evens)
    columns = natural_order({item.setting.get(column, "") for item in break_evens})
    names = list(dict.fromkeys(item.name for item in break_evens if len(item.curve) > 1))
    size = (len(columns) * PANEL[0], len(panels) * PANEL[1] + 0.5)
    figure = Figure(figsize=size, layout="constrained")
    # A subfigure keeps the legend below the lines that `surround` writes.
    body = figure.add_subfigure(figure.add_gridspec()[0])
    grid = body.subplots(len(panels), len(columns), squeeze=False, sharey=True)
    for row, (title, members) in zip(grid, panels.items(), strict=True):
        for axes, value in zip(row, columns, strict=True):
            own = [item for item in members if item.setting.get(column, "") == value]
            _draw_ratios(axes, own, canvas.palette(names))
            parts = [title, value_label(column, value) if value else ""]
            axes.set_title(" · ".join(filter(None, parts)))
    shown = pd.concat([item.curve for item in break_evens])
    for axes in grid.flat:
        _scale(axes, shown)
    handles, labels = grid[0][0].get_legend_handles_labels()
    body.legend(handles, labels, loc="outside upper left", ncols=min(len(names), 6))
    body.supxlabel("sparsity level", fontsize=8, color=canvas.QUIET)
    canvas.surround(figure, break_evens[0].benchmark, _about(break_evens), [_CURVE_NOTE])
    return figure


def describe_break_evens(break_evens: list[BreakEven]) -> str:
    """Return a description for readers who cannot see the figures."""
    facts = "; ".join(f"{_where(item)}{item.name} {item.text}" for item in break_evens)
    return f"{break_evens[0].benchmark}: level from which each format is faster than dense. {facts}"


def _panels(break_evens: list[BreakEven]) -> tuple[Panels, str]:
    """Return the break-evens per panel title, and the parameter that makes columns."""
    parameters = varying_settings(break_evens)
    column = COLUMN if COLUMN in parameters or not parameters else list(parameters)[-1]
    panels: Panels = {}
    for item in break_evens:
        rest = [value_label(key, item.setting.get(key, "")) for key in parameters if key != column]
        panels.setdefault(" · ".join(rest), []).append(item)
    return panels, column


def _draw_cells(
    axes: Axes, cells: dict[tuple[str, str], BreakEven], rows: list[str], columns: list[str]
) -> None:
    table = [[cells.get((row, column)) for column in columns] for row in rows]
    texts = np.array([[cell.text if cell else "" for cell in row] for row in table], dtype=object)
    levels = np.array([[_colour_level(cell) for cell in row] for row in table])
    axes.set_facecolor(NEVER_COLOUR)
    axes.grid(visible=False)
    sns.heatmap(
        pd.DataFrame(levels, rows, columns), ax=axes, cmap="crest", norm=Normalize(0.4, 1.0),
        cbar=False, annot=texts, fmt="", annot_kws={"fontsize": 7.5}, linewidths=0.6,
        linecolor="white",
    )  # fmt: skip
    for row, column in np.argwhere(np.isnan(levels)):  # seaborn writes on coloured cells only
        axes.text(
            column + 0.5, row + 0.5, texts[row, column], ha="center", va="center", fontsize=7.5,
            color=canvas.QUIET,
        )  # fmt: skip
    axes.tick_params(axis="both", length=0, rotation=0)


def _colour_level(cell: BreakEven | None) -> float:
    """Return the level to colour by: NaN for "never", the lowest measured for "always"."""
    if cell is None or cell.level == float("inf"):
        return float("nan")
    return max(cell.level, float(cell.curve[LEVEL].min()))


def _draw_ratios(axes: Axes, break_evens: list[BreakEven], colours: dict[str, Any]) -> None:
    """Draw a line per format; a format with one level only is a dashed line with its name."""
    axes.axhline(1, color=".3", linewidth=0.9, zorder=1)
    for item in break_evens:
        if len(item.curve) == 1:
            ratio = float(item.curve["ratio"].iloc[0])
            axes.axhline(ratio, color=".55", linewidth=0.9, linestyle=(0, (4, 2)), zorder=1)
            axes.annotate(
                item.name, (0.99, ratio), xycoords=("axes fraction", "data"), ha="right",
                va="bottom", fontsize=7, color=canvas.QUIET,
            )  # fmt: skip
    for item in break_evens:
        if len(item.curve) > 1:
            curve = item.curve
            ends = [curve["ratio"] - curve["low"], curve["high"] - curve["ratio"]]
            axes.errorbar(
                1 - curve[LEVEL], curve["ratio"], yerr=np.nan_to_num(ends), fmt="o-",
                markersize=3.2, linewidth=1.2, elinewidth=0.9, capsize=1.8,
                color=colours[item.name], label=item.name,
            )  # fmt: skip


def _scale(axes: Axes, shown: pd.DataFrame) -> None:
    """Scale x by density on a log axis, so that .9, .99 and .999 are evenly spaced."""
    levels = sorted(shown.loc[shown[LEVEL].between(0, 1, inclusive="neither"), LEVEL].unique())
    canvas.value_axis(axes, shown[["ratio", "low", "high"]].to_numpy(dtype=float), "ratio")
    if levels:
        axes.set_xscale("log")
        axes.set_xlim((1 - levels[0]) * 1.25, (1 - levels[-1]) / 1.25)
        axes.xaxis.set_major_locator(FixedLocator([1 - level for level in levels]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda density, _: f"{1 - density:.3g}"))


def _about(break_evens: list[BreakEven]) -> str:
    """Return the line below the title: the best ratio, and what all of the figure has in common."""
    varied = set(varying_settings(break_evens))
    common = break_evens[0].setting.items()
    fixed = (value_label(key, value) for key, value in common if key not in varied)
    faster = [item for item in break_evens if item.level < 1]
    best = min(faster, key=lambda item: float(item.curve["ratio"].iloc[-1]), default=None)
    verdict = "no format is faster than dense at any measured level"
    if best is not None:
        ratio = human(1 / float(best.curve["ratio"].iloc[-1]), "ratio")
        level = f"{best.curve[LEVEL].iloc[-1]:g}"
        verdict = f"at best {ratio} faster than dense ({_where(best)}{best.name}, level {level})"
    return " · ".join([verdict, *fixed])


def _where(item: BreakEven) -> str:
    """Return the batch and the device as the beginning of a sentence: "batch 16, cpu, "."""
    keys = (key for key in (COLUMN, "device") if key in item.setting)
    return "".join(f"{value_label(key, item.setting[key])}, " for key in keys)
