"""Regression plots: value against the commits, in history order.

Few cases get a line each, with each median's interval. Many are summarised: the median case and the
quartiles a panel, and above the panels all cases relative to their start, where those with a step
that is still there are drawn by name: the steps that `sparsebench history` lists. Values of
different harnesses are never joined, and what failed is marked.
"""

import textwrap
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from sparsebench.analysis.dimensions import varying
from sparsebench.analysis.points import breaks, dims_of
from sparsebench.analysis.trend import MOST_MOVED, relative, run_length, thinned
from sparsebench.report.figures import canvas
from sparsebench.report.figures.commit_axis import commit_axis, name_commit_axis
from sparsebench.report.figures.regression_data import (
    Story,
    about,
    moved_words,
    notes,
    summary_lines,
)
from sparsebench.stats import Floats
from sparsebench.stats.change_points import PERSISTENCE

Colour = tuple[float, float, float]

PANEL_WIDTH: Final = 2.9  # inches
PANEL_HEIGHT: Final = 1.75
LEAST_WIDTH: Final = 6.0
NAMES_WIDTH: Final = 8.7
OVERVIEW_HEIGHT: Final = 2.2
LEGEND_LINE: Final = 0.18
LEAST_COMMITS: Final = 2 * PERSISTENCE  # that a search for steps needs
MOST_SHARED: Final = 3.0  # highest by lowest value of panels whose common axis shows each of them
MOST_COLUMNS: Final = 4
FEW_COMMITS: Final = 40  # up to here every point has its marker
FEW_BARS: Final = 16  # ... and its error bar; beyond, a band
MOST_SPREADS: Final = 3  # colours whose quartiles can overlap and still be told apart
DODGE: Final = 0.12  # of a commit's place, between colours, while error bars are shown
FAILURES: Final = {"failed": "x", "timeout": "P"}  # a status and its mark
BREAK_LINE: Final[dict[str, Any]] = {"color": ".45", "linewidth": 0.9, "linestyle": (0, (1, 2))}


def draw(story: Story) -> Figure:
    """Return the figure; to be called, and saved, inside `canvas.style`."""
    figure, overview, panels, columns = _grid(story)
    for place, (axes, name) in enumerate(zip(panels, story.panels, strict=True)):
        _draw_panel(axes, story, name)
        commit_axis(axes, story.commits, labelled=place + columns >= len(panels))
    _scale(panels, story, columns)
    if overview is not None:
        _draw_overview(overview, story)
    _legend(figure.subfigs[0], story)
    name_commit_axis(figure.subfigs[-1], story.dates)
    canvas.surround(figure, story.name, about(story), notes(story))
    return figure


def _columns(story: Story) -> int:
    """Return how many panels stand side by side: in a table, the second parameter's values."""
    count = len(story.panels)
    if _is_table(story):
        return len(varying(dims_of(story.table))[story.layout.panels[1]])
    return min(count, MOST_COLUMNS if count > 6 else 3)


def _is_table(story: Story) -> bool:
    """Whether the panels are all combinations of two parameters, so that rows can share an axis."""
    if len(story.layout.panels) != 2:
        return False
    sizes = varying(dims_of(story.table))
    first, second = (len(sizes[name]) for name in story.layout.panels)
    return second <= MOST_COLUMNS and len(story.panels) == first * second


def _grid(story: Story) -> tuple[Figure, Axes | None, list[Axes], int]:
    """Return the figure, the overview above (if any), and the panels with their column count."""
    count, columns = len(story.panels), _columns(story)
    rows = -(-count // columns)
    heights = [OVERVIEW_HEIGHT] * story.has_overview + [PANEL_HEIGHT * rows + 0.5]
    heights[0] += _legend_height(story)
    figure = Figure(figsize=(_width(story), sum(heights)), layout="constrained")
    *above, below = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    overview = above[0].add_subplot() if above else None
    panels = [below.add_subplot(rows, columns, place + 1) for place in range(count)]
    return figure, overview, panels, columns


def _width(story: Story) -> float:
    """Return the figure's width; names beside an overview need as much as its curves."""
    least = NAMES_WIDTH if story.has_overview and story.moved else LEAST_WIDTH
    return max(_columns(story) * PANEL_WIDTH, least)


def _draw_overview(axes: Axes, story: Story) -> None:
    """Draw all cases relative to their start, and by name the ones that moved."""
    table = story.table.assign(value=relative(story.table))
    measured = table[table["value"].notna()]
    moved = [measured[measured["series"] == one.series] for one in story.moved]
    curves = [thinned(curve.assign(line=0), len(story.commits)) for curve in moved]
    lines = summary_lines(table, len(story.commits))
    axes.axhline(1, color=".6", linewidth=0.8, zorder=1)
    _draw_lines(axes, story, lines, spread=len(story.hues) <= MOST_SPREADS)
    shown = [lines["value"], lines["low"], lines["high"], *(curve["value"] for curve in curves)]
    canvas.value_axis(axes, np.concatenate(shown), "ratio")
    numbered = f"numbered: what changed for good, at most {MOST_MOVED}"
    searched = len(story.commits) >= LEAST_COMMITS
    quiet = "none changed for good" if searched else "too few commits to tell what lasts"
    found = numbered if curves else quiet
    axes.set(ylabel="", title=f"all {story.cases} cases relative to their start; {found}")
    _mark_breaks(axes, story)
    commit_axis(axes, story.commits, labelled=False)
    if curves:
        _draw_moved(axes, story, curves)


def _draw_moved(axes: Axes, story: Story, curves: list[pd.DataFrame]) -> None:
    """Draw the curves with a mark at the step and a number at their ends; name them beside."""
    handles = []
    for rank, (one, words, curve) in enumerate(
        zip(story.moved, moved_words(story), curves, strict=True), start=1
    ):
        colour = sns.color_palette("colorblind")[(len(story.hues) + rank - 1) % 10]
        begin = int((curve["x"] - story.commits.index(one.step.commit)).abs().argmin())
        handles += axes.plot(
            curve["x"], curve["value"], color=colour, linewidth=1.2, marker="D", markersize=4,
            markevery=[begin], label=textwrap.fill(f"{rank}: {words}", 52),
        )  # fmt: skip
    ends = [axes.transData.transform((0, curve["value"].iloc[-1]))[1] for curve in curves]
    for rank, (line, curve, pixel) in enumerate(zip(handles, curves, _apart(ends), strict=True), 1):
        height = axes.transAxes.inverted().transform((0, pixel))[1]
        axes.annotate(
            f"{rank}", (curve["x"].iloc[-1], height), xycoords=("data", "axes fraction"),
            xytext=(5, 0), textcoords="offset points", va="center", fontsize=8,
            color=line.get_color(), fontweight="bold",
        )  # fmt: skip
    axes.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.05), handlelength=1.2,
        fontsize=7.5, labelspacing=0.35,
    )  # fmt: skip


def _apart(heights: list[float], least: float = 11.0) -> list[float]:
    """Return the heights (pixels) spread to lie ``least`` apart, about where they were."""
    placed = list(heights)
    order = sorted(range(len(heights)), key=heights.__getitem__)
    for lower, upper in pairwise(order):
        placed[upper] = max(placed[upper], placed[lower] + least)
    shift = (sum(placed) - sum(heights)) / len(heights)
    return [height - shift for height in placed]


def _draw_panel(axes: Axes, story: Story, name: str) -> None:
    lines = story.lines[name]
    if lines.empty:
        axes.text(0.5, 0.5, "no value", transform=axes.transAxes, ha="center", color=canvas.QUIET)
    else:
        _draw_lines(axes, story, lines, spread=not story.has_overview)
    _mark_failures(axes, story, story.table[story.table["panel"] == name])
    _mark_breaks(axes, story)
    axes.set(title=textwrap.shorten(name, 48, placeholder=" …"), ylabel="")


def _draw_lines(axes: Axes, story: Story, lines: pd.DataFrame, *, spread: bool) -> None:
    """Draw a line each hue and harness; with ``spread``, from low to high about it.

    By matplotlib alone, in seaborn's look: `seaborn.lineplot` took three times as long a panel.
    """
    colours = canvas.palette(story.hues)
    dashes, offsets = canvas.dashes(story.hues), _offsets(story)
    few = len(story.commits) <= FEW_COMMITS
    draw_spread = _draw_bars if len(story.commits) <= FEW_BARS else _draw_band
    for (name, _line), rows in lines.groupby(["hue", "line"], sort=False):
        hue = str(name)
        x = rows["x"].to_numpy(dtype=float) + offsets[hue]
        axes.plot(
            x, rows["value"], color=colours[hue], dashes=dashes[hue] or (None, None), linewidth=1.2,
            marker="o" if few else None, markersize=4, markeredgewidth=0.4, markeredgecolor="white",
        )  # fmt: skip
        if spread and rows["low"].notna().any():
            draw_spread(axes, x, rows, colours[hue])


def _draw_bars(axes: Axes, x: Floats, rows: pd.DataFrame, colour: Colour) -> None:
    """Draw ``low`` to ``high`` of each point; nothing where unknown."""
    below = (rows["value"] - rows["low"]).clip(lower=0)
    above = (rows["high"] - rows["value"]).clip(lower=0)
    axes.errorbar(
        x, rows["value"], yerr=[below, above], fmt="none", ecolor=colour,
        elinewidth=0.9, capsize=1.8, capthick=0.9, zorder=1.5,
    )  # fmt: skip


def _draw_band(axes: Axes, x: Floats, rows: pd.DataFrame, colour: Colour) -> None:
    """Fill from ``low`` to ``high`` along the line."""
    axes.fill_between(x, rows["low"], rows["high"], color=colour, alpha=0.2, linewidth=0)


def _offsets(story: Story) -> dict[str, float]:
    """Return how far each colour steps aside, so that error bars stand beside each other."""
    count = len(story.hues)
    step = min(DODGE, 0.5 / count) if len(story.commits) <= FEW_BARS else 0.0
    return {hue: (place - (count - 1) / 2) * step for place, hue in enumerate(story.hues)}


def _mark_failures(axes: Axes, story: Story, rows: pd.DataFrame) -> None:
    """Put a mark on the upper edge, clear of the values, where a case failed or ran out of time."""
    colours = canvas.palette(story.hues)
    length = run_length(len(story.commits))
    failures = rows[rows["status"].isin(FAILURES)]
    for (status, name), failed in failures.groupby(["status", "hue"]):
        hue = str(name)
        x = (failed["x"] // length * length).unique() + _offsets(story)[hue]
        axes.plot(
            x, np.ones(len(x)), FAILURES[str(status)], markersize=5 if length == 1 else 3,
            color=colours[hue], transform=axes.get_xaxis_transform(), zorder=4, clip_on=False,
        )  # fmt: skip


def _mark_breaks(axes: Axes, story: Story) -> None:
    for place in breaks(story.table):
        axes.axvline(place - 0.5, **BREAK_LINE)


def _scale(panels: list[Axes], story: Story, columns: int) -> None:
    """Scale the y axes: alike along a table's row whose values are alike, else each on its own."""
    shown = ["value"] if story.has_overview else ["value", "low", "high"]
    spans = [lines[shown].to_numpy(dtype=float) for lines in story.lines.values()]
    for begin in range(0, len(panels), columns):
        row, members = panels[begin : begin + columns], spans[begin : begin + columns]
        shared = _is_table(story) and canvas.spread(np.concatenate(members)) < MOST_SHARED
        for place, (axes, own) in enumerate(zip(row, members, strict=True)):
            canvas.value_axis(axes, np.concatenate(members) if shared else own, story.unit)
            axes.tick_params(axis="y", labelleft=not (shared and place))


def _legend(figure: SubFigure, story: Story) -> None:
    """Explain colours and marks in a row above the panels, where no data are."""
    handles = _handles(story)
    if handles:
        columns = _legend_columns(handles, _width(story))
        figure.legend(handles=handles, loc="outside upper left", ncols=columns)


def _handles(story: Story) -> list[Line2D]:
    """Return what the legend explains: colours, marks of failures, new harnesses."""
    colours, dashes = canvas.palette(story.hues), canvas.dashes(story.hues)
    handles = [
        Line2D([], [], color=colours[hue], dashes=dashes[hue] or (None, None), label=hue)
        for hue in story.hues
        if hue
    ]
    handles += [
        Line2D([], [], color=".2", marker=mark, linestyle="none", markersize=5, label=status)
        for status, mark in FAILURES.items()
        if (story.table["status"] == status).any()
    ]
    if breaks(story.table):
        handles.append(Line2D([], [], label="new harness", **BREAK_LINE))
    return handles


def _legend_columns(handles: list[Line2D], width: float) -> int:
    letters = max(len(str(handle.get_label())) for handle in handles)
    return min(max(1, int(width * 12) // (letters + 7)), len(handles))


def _legend_height(story: Story) -> float:
    """Return the inches that the legend takes from the panels below it."""
    handles = _handles(story)
    rows = -(-len(handles) // _legend_columns(handles, _width(story))) if handles else 0
    return LEGEND_LINE * rows
