"""Two pictures of where zeros pay: the map of break-even levels, and the ratios behind it."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from sparsebench.analysis.break_even import LEVEL, BreakEven, varying_places
from sparsebench.analysis.dimensions import natural_order, word_for
from sparsebench.analysis.units import human
from sparsebench.report.figures import canvas

COLUMN: Final = "batch"  # of the map, where there is one
CELL: Final = (1.25, 0.34)  # inches: "0.87 (0.85-0.9)" fits
PANEL: Final = (2.9, 2.3)
NEVER_COLOUR: Final = "0.88"

Panels = dict[str, list[BreakEven]]


def draw_map(found: list[BreakEven]) -> Figure:
    """Return the map: rows are formats and blocks, columns batches, a panel each further place.

    To be called, and saved, inside `canvas.style`.
    """
    panels, column = _panels(found)
    columns = natural_order({one.place.get(column, "") for one in found})
    rows = list(dict.fromkeys(one.name for one in found))
    width = len(panels) * (len(columns) * CELL[0] + 0.3) + 1.2
    figure = Figure(figsize=(max(width, 5.0), len(rows) * CELL[1] + 0.9), layout="constrained")
    grid = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axes, (name, members) in zip(grid, panels.items(), strict=True):
        cells = {(one.name, one.place.get(column, "")): one for one in members}
        _draw_cells(axes, cells, rows, columns)
        axes.set(title=name, xlabel=column, ylabel="")
    canvas.surround(figure, found[0].benchmark, _about(found), [_MAP_NOTE])
    return figure


def draw_curves(found: list[BreakEven]) -> Figure:
    """Return the ratios to dense over the level, a panel a place, a colour a format and block.

    To be called, and saved, inside `canvas.style`.
    """
    panels, column = _panels(found)
    columns = natural_order({one.place.get(column, "") for one in found})
    curves = [one for one in found if len(one.curve) > 1]
    names = list(dict.fromkeys(one.name for one in curves))
    size = (len(columns) * PANEL[0], len(panels) * PANEL[1] + 0.5)
    figure = Figure(figsize=size, layout="constrained")
    body = figure.add_subfigure(
        figure.add_gridspec()[0]
    )  # its legend stays inside, below what `surround` writes
    grid = body.subplots(len(panels), len(columns), squeeze=False, sharey=True)
    for line, (panel, members) in zip(grid, panels.items(), strict=True):
        for axes, value in zip(line, columns, strict=True):
            here = [one for one in members if one.place.get(column, "") == value]
            _draw_ratios(axes, here, canvas.palette(names))
            parts = [panel, word_for(column, value) if value else ""]
            axes.set_title(" · ".join(filter(None, parts)))
    shown = pd.concat([one.curve for one in found])
    for axes in grid.flat:
        _scale(axes, shown)
    handles, labels = grid[0][0].get_legend_handles_labels()
    body.legend(handles, labels, loc="outside upper left", ncols=min(len(names), 6))
    body.supxlabel("sparsity level", fontsize=8, color=canvas.QUIET)
    canvas.surround(figure, found[0].benchmark, _about(found), [_CURVE_NOTE])
    return figure


def describe(found: list[BreakEven]) -> str:
    """Return both pictures in words, for who cannot see them."""
    lines = [f"{_where(one)}{one.name} {one.text}" for one in found]
    return f"{found[0].benchmark}: level from which each format is faster than dense. " + "; ".join(
        lines
    )


_MAP_NOTE: Final = (
    "each cell: the sparsity level from which the format is faster than dense, and the range in "
    "which the 95 % intervals of this run's times leave it (another run can differ by more); grey: "
    "never faster, at any measured level"
)
_CURVE_NOTE: Final = "below 1x the format is faster than dense; bar: 95 % interval of the ratio"


def _panels(found: list[BreakEven]) -> tuple[Panels, str]:
    """Return the break-evens by the rest of their place, and the parameter that makes columns."""
    places = varying_places(found)
    column = COLUMN if COLUMN in places or not places else list(places)[-1]
    panels: Panels = {}
    for one in found:
        rest = [word_for(key, one.place.get(key, "")) for key in places if key != column]
        panels.setdefault(" · ".join(rest), []).append(one)
    return panels, column


def _draw_cells(
    axes: Axes, cells: dict[tuple[str, str], BreakEven], rows: list[str], columns: list[str]
) -> None:
    table = [[cells.get((row, column)) for column in columns] for row in rows]
    texts = np.array([[one.text if one else "" for one in line] for line in table], dtype=object)
    levels = np.array([[_colour_of(one) for one in line] for line in table])
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


def _colour_of(one: BreakEven | None) -> float:
    """Return the level to colour by; NaN for none, the lowest measured for "always"."""
    if one is None or one.level == float("inf"):
        return float("nan")
    return max(one.level, float(one.curve[LEVEL].min()))


def _draw_ratios(axes: Axes, here: list[BreakEven], colours: dict[str, Any]) -> None:
    axes.axhline(1, color=".3", linewidth=0.9, zorder=1)
    flat = [one for one in here if len(one.curve) == 1]
    for one in flat:
        ratio = float(one.curve["ratio"].iloc[0])
        axes.axhline(ratio, color=".55", linewidth=0.9, linestyle=(0, (4, 2)), zorder=1)
        axes.annotate(
            one.name, (0.99, ratio), xycoords=("axes fraction", "data"), ha="right", va="bottom",
            fontsize=7, color=canvas.QUIET,
        )  # fmt: skip
    for one in here:
        if one not in flat:
            curve = one.curve
            spread = [curve["ratio"] - curve["low"], curve["high"] - curve["ratio"]]
            axes.errorbar(
                1 - curve[LEVEL], curve["ratio"], yerr=np.nan_to_num(spread), fmt="o-",
                markersize=3.2, linewidth=1.2, elinewidth=0.9, capsize=1.8,
                color=colours[one.name], label=one.name,
            )  # fmt: skip


def _scale(axes: Axes, shown: pd.DataFrame) -> None:
    """Scale x by density on a log axis, so that .9, .99 and .999 lie evenly; y as every figure."""
    levels = sorted(shown.loc[shown[LEVEL].between(0, 1, inclusive="neither"), LEVEL].unique())
    canvas.value_axis(axes, shown[["ratio", "low", "high"]].to_numpy(dtype=float), "ratio")
    if levels:
        axes.set_xscale("log")
        axes.set_xlim((1 - levels[0]) * 1.25, (1 - levels[-1]) / 1.25)
        axes.xaxis.set_major_locator(FixedLocator([1 - level for level in levels]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda density, _: f"{1 - density:.3g}"))


def _about(found: list[BreakEven]) -> str:
    varied = set(varying_places(found))
    fixed = (word_for(key, value) for key, value in found[0].place.items() if key not in varied)
    faster = [one for one in found if one.level < 1]
    best = min(faster, key=lambda one: float(one.curve["ratio"].iloc[-1]), default=None)
    verdict = "no format is faster than dense at any measured level"
    if best is not None:
        ratio = human(1 / float(best.curve["ratio"].iloc[-1]), "ratio")
        level = f"{best.curve[LEVEL].iloc[-1]:g}"
        verdict = f"at best {ratio} faster than dense ({_where(best)}{best.name}, level {level})"
    return " · ".join([verdict, *fixed])


def _where(one: BreakEven) -> str:
    return "".join(f"{word_for(key, one.place[key])}, " for key in _told(one))


def _told(one: BreakEven) -> Iterator[str]:
    """Yield what of the place a sentence needs: the batch and the device."""
    return (key for key in (COLUMN, "device") if key in one.place)
