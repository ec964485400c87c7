"""The pictures of a benchmark's page: its history, and its newest values over a parameter."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sparsebench.analysis.crossing import size_of
from sparsebench.analysis.dimensions import constants, labels, natural_order, varying
from sparsebench.analysis.points import BenchmarkHistory
from sparsebench.analysis.units import human
from sparsebench.report.figures import canvas
from sparsebench.report.figures.layout import Layout, choose_layout
from sparsebench.report.figures.plots import HistoryFigure, draw_history
from sparsebench.report.site.newest import newest

X_FIRST: Final = "level"
PANEL: Final = (2.9, 2.0)  # inches
MOST_COLUMNS: Final = 4


@dataclass(frozen=True)
class HistoryPicture:
    """Value against commit: a regression plot, or where exact values changed."""

    data: HistoryFigure

    def table(self) -> pd.DataFrame:
        """Return one row per point drawn; of exact values one row per change."""
        return self.data.table

    def alt(self) -> str:
        """Return a description of the history."""
        return self.data.alt

    def draw(self) -> Figure:
        """Return the regression plot, or the plot of exact changes."""
        return draw_history(self.data)


@dataclass(frozen=True)
class ParameterPicture:
    """The newest values over the parameter ``x``, in panels and colours of the others."""

    history: BenchmarkHistory
    x: str

    def table(self) -> pd.DataFrame:
        """Return one row per newest value."""
        return self.history.as_table(self._measured())

    def alt(self) -> str:
        """Return a description: the median at either end."""
        rows = self._measured()
        over = rows.groupby(self.history.dims_of(rows)[self.x])["value"].median()
        ends = [_by_size(over.index)[end] for end in (0, -1)]
        words = [f"{human(over[end], self.history.unit)} at {self.x} {end}" for end in ends]
        return f"{self.history.name}, newest values over {self.x}: median {' and '.join(words)}"

    def draw(self) -> Figure:
        """Return a figure with one panel per combination of the parameters that matter most."""
        rows = self._measured()
        dims = self.history.dims_of(rows)
        layout = choose_layout(dims.drop(columns=self.x), rows["value"])
        panel, hue = labels(dims, layout.panels), labels(dims, layout.colours)
        names = natural_order(panel.unique())
        columns = min(len(names), MOST_COLUMNS if len(names) > 6 else 3)
        lines = -(-len(names) // columns)
        size = (max(columns * PANEL[0], 5.0), lines * PANEL[1] + 0.4)
        figure = Figure(figsize=size, layout="constrained")
        body = figure.add_subfigure(figure.add_gridspec()[0])
        grid = body.subplots(lines, columns, squeeze=False, sharey=True)
        hues = natural_order(hue.unique())
        drawn = rows.assign(x=dims[self.x], hue=hue)
        for axes, name in zip(grid.flat, names, strict=False):
            self._draw_panel(axes, drawn[panel == name], hues)
            axes.set(title=name, xlabel="", ylabel="")
        for axes in grid.flat[len(names) :]:
            axes.set_visible(False)
        shown = drawn.groupby([panel, "hue", "x"])["value"].median()
        canvas.value_axis(grid.flat[0], shown, self.history.unit)
        for axes in grid.flat[1:]:
            axes.yaxis.set_major_formatter(grid.flat[0].yaxis.get_major_formatter())
        if hues != [""]:
            handles, texts = grid.flat[0].get_legend_handles_labels()
            body.legend(handles, texts, loc="outside upper left", ncols=min(len(hues), 6))
        body.supxlabel(self.x, fontsize=8, color=canvas.QUIET)
        canvas.surround(figure, self.history.name, self._about(layout))
        return figure

    def _measured(self) -> pd.DataFrame:
        rows = newest(self.history)
        return rows[rows["value"].notna() & (self.history.dims_of(rows)[self.x] != "")]

    def _draw_panel(self, axes: Axes, rows: pd.DataFrame, hues: list[str]) -> None:
        ticks = _by_size(self.history.dims[self.x].unique())
        position = {value: number for number, value in enumerate(ticks)}
        sns.lineplot(
            rows.assign(x=rows["x"].map(position)), x="x", y="value", hue="hue", hue_order=hues,
            style="hue", style_order=hues, markers=dict.fromkeys(hues, "o"), markersize=4,
            dashes=canvas.dashes(hues), palette=canvas.palette(hues), ax=axes, linewidth=1.2,
            estimator="median", errorbar=("pi", 50), legend="full" if hues != [""] else False,
        )  # fmt: skip
        if legend := axes.get_legend():
            legend.remove()
        axes.set_xticks(range(len(ticks)), ticks)

    def _about(self, layout: Layout) -> str:
        fixed = constants(self.history.dims_of(self._measured()))
        shown = "newest values"
        if layout.summarised:
            over = ", ".join(layout.summarised)
            shown = f"newest values, median over {over}; band: the middle half"
        return " · ".join([shown, *(f"{name} {value}" for name, value in fixed.items())])


def parameter_axis(history: BenchmarkHistory) -> str | None:
    """Return the parameter to draw the newest values over; None if no parameter has sizes.

    ``level`` if there is one, else the parameter with sizes that has the most values.
    """
    rows = newest(history)
    dims = history.dims_of(rows[rows["value"].notna()])
    if history.is_exact or dims.empty:
        return None
    sized = {
        name: len(values)
        for name, values in varying(dims).items()
        if all(size_of(value) is not None for value in values if value) and _has_lines(dims, name)
    }
    return X_FIRST if X_FIRST in sized else max(sized, key=sized.__getitem__, default=None)


def _has_lines(dims: pd.DataFrame, name: str) -> bool:
    """Return whether two values of ``name`` were measured with all other parameters equal."""
    rows = dims[dims[name] != ""]
    others = [other for other in dims if other != name]
    return bool(len(rows[others].drop_duplicates()) < len(rows[[*others, name]].drop_duplicates()))


def _by_size(values: pd.Index | np.ndarray) -> list[str]:
    """Return the values that have a size, in ascending order."""
    sizes = {str(value): size_of(str(value)) for value in values}
    sized = {value: size for value, size in sizes.items() if size is not None}
    return sorted(sized, key=sized.__getitem__)
