"""Regression plots: value against commit, oldest first.

`regression_figure` computes what is drawn, `draw_regression` draws it. Few cases get a line each,
with the interval of each median. Many cases are summarised: a panel shows their median and
quartiles. Above the panels an overview shows all cases relative to their start, and by name those
with a step that was not reverted, as `sparsebench history` lists them. A line never joins values of
different harnesses. Failed cases are marked.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sparsebench.analysis.dimensions import constants, labels, varying
from sparsebench.analysis.history import short_hash
from sparsebench.analysis.points import BenchmarkHistory
from sparsebench.analysis.trend import (
    MOST_NAMED,
    commits_per_point,
    lasting_steps,
    median_lines,
    relative_to_start,
    thinned,
)
from sparsebench.analysis.units import human
from sparsebench.report.figures import canvas
from sparsebench.report.figures.layout import Layout, choose_layout, ordered_labels
from sparsebench.stats import Floats
from sparsebench.stats.change_points import PERSISTENCE

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
MOST_SPREADS: Final = 3  # colours whose quartiles can overlap and still be distinguished
DODGE: Final = 0.12  # of a commit's width, between colours, while error bars are shown
FAILURES: Final = {"failed": "x", "timeout": "P"}  # a status and its mark
HARNESS_LINE: Final[dict[str, Any]] = {"color": ".45", "linewidth": 0.9, "linestyle": (0, (1, 2))}
HARNESS_NOTE: Final = (
    "new harness: number, repeat, timer, runner, environment or the benchmark's code changed; "
    "values before and after are not comparable"
)
_MISSING: Final = {"failed": "failed", "timeout": "timed out", "skipped": "skipped"}


@dataclass(frozen=True, eq=False)
class RegressionLine:
    """One line of a panel: one case with one harness, or the median over several cases.

    Attributes:
        label: of its colour, as in the legend; "" if there is one colour only.
        colour: index into the figure's colours.
        x: index of the commit; between two commits if a point stands for several.
        median: the value; shape of ``x``.
        low, high: interval of the median, or quartiles of the cases; NaN: unknown.
    """

    label: str
    colour: int
    x: Floats
    median: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, eq=False)
class FailureMarks:
    """The commits at which cases of one colour failed ("failed") or ran out of time ("timeout")."""

    status: str
    colour: int
    x: Floats


@dataclass(frozen=True, eq=False)
class RegressionPanel:
    """One panel; without lines, no case in it has a value."""

    title: str
    lines: tuple[RegressionLine, ...]
    failures: tuple[FailureMarks, ...]


@dataclass(frozen=True, eq=False)
class StepCurve:
    """A series with a step that was not reverted, relative to its start.

    ``begin`` is the index into ``x`` at which the step begins.
    """

    label: str
    x: Floats
    ratio: Floats
    begin: int


@dataclass(frozen=True, eq=False)
class RegressionOverview:
    """All cases relative to their start, and the series that changed, most important first."""

    title: str
    lines: tuple[RegressionLine, ...]
    curves: tuple[StepCurve, ...]


@dataclass(frozen=True, eq=False)
class RegressionFigure:
    """What a regression plot shows.

    Attributes:
        name: the title; ``about``: the line below it; ``notes``: the footnotes.
        alt: a description for readers who cannot see the figure.
        unit: of the values.
        commits: the x axis: hashes, oldest first; ``dates``: theirs.
        colours: a label per colour, as in the legend; [""] if there is one only.
        panels: row by row; ``columns``: panels per row.
        is_grid: whether rows and columns are two parameters, so that a row can share its axis.
        overview: above the panels, if cases are summarised and there is more than one commit.
        harness_changes: indices of the commits at which a new harness begins.
        table: the points of all panels as data: commit (the middle one, if a point stands for
            several), parameters of panel and colour, value, low, high, unit.
    """

    name: str
    about: str
    notes: tuple[str, ...]
    alt: str
    unit: str | None
    commits: list[str]
    dates: pd.Series
    colours: list[str]
    panels: tuple[RegressionPanel, ...]
    columns: int
    is_grid: bool
    overview: RegressionOverview | None
    harness_changes: list[int]
    table: pd.DataFrame


def regression_figure(history: BenchmarkHistory) -> RegressionFigure:
    """Return the regression plot of a history, ready to be drawn."""
    layout = choose_layout(history.dims, history.points["value"])
    panel_labels = ordered_labels(history.dims, layout.panels)
    colour_labels = ordered_labels(history.dims, layout.colours)
    titles, colours = list(panel_labels.cat.categories), list(colour_labels.cat.categories)
    points = history.points.assign(
        panel=panel_labels.astype(object), label=colour_labels.astype(object)
    )
    points["shared"] = _is_shared(points, history.dims, layout)
    by_panel = {title: points[points["panel"] == title] for title in titles}
    lines = {title: _panel_lines(own, layout, history) for title, own in by_panel.items()}
    has_overview = bool(layout.summarised) and len(history.commits) > 1
    sizes = [len(varying(history.dims)[name]) for name in layout.panels]
    is_grid = len(sizes) == 2 and sizes[1] <= MOST_COLUMNS and len(titles) == sizes[0] * sizes[1]
    notes = _notes(history, points, layout, has_overview=has_overview)
    return RegressionFigure(
        name=history.name,
        about=_about(history, layout, has_overview=has_overview),
        notes=tuple(notes),
        alt=". ".join([*_sentences(history, points, len(titles)), *notes]),
        unit=history.unit,
        commits=history.commits,
        dates=history.dates,
        colours=colours,
        panels=tuple(
            RegressionPanel(
                title, _as_lines(lines[title], colours), _failures(own, colours, history)
            )
            for title, own in by_panel.items()
        ),
        columns=sizes[1] if is_grid else min(len(titles), MOST_COLUMNS if len(titles) > 6 else 3),
        is_grid=is_grid,
        overview=_overview(history, points, colours) if has_overview else None,
        harness_changes=history.harness_changes(),
        table=_table(history, points, layout, lines),
    )


def _is_shared(points: pd.DataFrame, dims: pd.DataFrame, layout: Layout) -> pd.Series:
    """Return whether each point's case has a value in every colour of its panel.

    If no case of a panel has, it is true for all of its points.
    """
    case = labels(dims, [name for name in varying(dims) if name not in layout.colours])
    keys = points[["panel", "label"]].assign(case=case)[points["value"].notna()]
    colours = keys.groupby("panel")["label"].nunique()
    cases = keys.groupby(["panel", "case"])["label"].nunique().reset_index()
    complete = cases[cases["label"] == cases["panel"].map(colours)]
    is_complete = pd.MultiIndex.from_arrays([points["panel"], case]).isin(
        pd.MultiIndex.from_frame(complete[["panel", "case"]])
    )
    return pd.Series(is_complete, index=points.index) | ~points["panel"].isin(complete["panel"])


def _panel_lines(points: pd.DataFrame, layout: Layout, history: BenchmarkHistory) -> pd.DataFrame:
    """Return a panel's lines: one per series, or the medians over cases that all colours have."""
    if layout.summarised:
        return median_lines(points[points["shared"]], len(history.commits))
    measured = points[points["value"].notna()]
    return thinned(measured.assign(line=measured["series"]), len(history.commits))


def _as_lines(lines: pd.DataFrame, colours: list[str]) -> tuple[RegressionLine, ...]:
    return tuple(
        RegressionLine(
            str(label),
            colours.index(str(label)),
            *(own[name].to_numpy(dtype=float) for name in ("x", "value", "low", "high")),
        )
        for (label, _line), own in lines.groupby(["label", "line"], sort=False)
    )


def _failures(
    points: pd.DataFrame, colours: list[str], history: BenchmarkHistory
) -> tuple[FailureMarks, ...]:
    length = commits_per_point(len(history.commits))
    failures = points[points["status"].isin(FAILURES)]
    return tuple(
        FailureMarks(
            str(status),
            colours.index(str(label)),
            (own["x"] // length * length).unique().astype(float),
        )
        for (status, label), own in failures.groupby(["status", "label"])
    )


def _overview(
    history: BenchmarkHistory, points: pd.DataFrame, colours: list[str]
) -> RegressionOverview:
    commits = len(history.commits)
    relative = points.assign(value=relative_to_start(points))
    measured = relative[relative["value"].notna()]
    curves = []
    for moved, text in zip(lasting_steps(history), _step_texts(history), strict=True):
        curve = thinned(measured[measured["series"] == moved.series].assign(line=0), commits)
        x = curve["x"].to_numpy(dtype=float)
        begin = int(np.abs(x - history.commits.index(moved.step.commit)).argmin())
        curves.append(StepCurve(text, x, curve["value"].to_numpy(dtype=float), begin))
    shown = "too few commits to find steps"
    if curves:
        shown = f"numbered: steps that were not reverted, at most {MOST_NAMED}"
    elif commits >= LEAST_COMMITS:
        shown = "no lasting step"
    return RegressionOverview(
        f"all {history.cases} cases relative to their start; {shown}",
        _as_lines(median_lines(relative, commits), colours),
        tuple(curves),
    )


def _table(
    history: BenchmarkHistory, points: pd.DataFrame, layout: Layout, lines: dict[str, pd.DataFrame]
) -> pd.DataFrame:
    drawn = pd.concat([own.assign(panel=title) for title, own in lines.items()])
    first = points.drop_duplicates(["panel", "label"])
    parameters = history.dims_of(first)[[*layout.panels, *layout.colours]].set_axis(
        pd.MultiIndex.from_frame(first[["panel", "label"]]), axis=0
    )
    commits = np.array(history.commits, dtype=object)[drawn["x"].to_numpy(dtype=int)]
    keys = pd.MultiIndex.from_frame(drawn[["panel", "label"]])
    parts = [
        pd.DataFrame({"commit": commits}),
        pd.DataFrame(parameters.loc[keys]).reset_index(drop=True),
        drawn[["value", "low", "high"]].reset_index(drop=True),
    ]
    return pd.concat(parts, axis=1).assign(unit=history.unit)


def _about(history: BenchmarkHistory, layout: Layout, *, has_overview: bool) -> str:
    """Return the line below the title: what is drawn, and what all of it has in common."""
    unit = history.unit or "value"
    quantity = {"seconds": "time", "bytes": "memory"}.get(unit, unit)
    facts = [quantity]
    if layout.summarised:
        where = "bar or band in the overview" if has_overview else "bar"
        facts = [f"{quantity}, median of the cases; {where}: their quartiles"]
    elif history.points["low"].notna().any():
        facts = [f"{quantity}, median of the samples; bar or band: 95 % interval"]
    if (length := commits_per_point(len(history.commits))) > 1:
        facts.append(f"each point: median of {length} consecutive commits, band: their whole range")
    facts += [f"{name} {value}" for name, value in constants(history.dims).items()]
    return " · ".join(facts)


def _notes(
    history: BenchmarkHistory, points: pd.DataFrame, layout: Layout, *, has_overview: bool
) -> list[str]:
    """Return the footnotes: what the figure does not show, and what must not be compared."""
    notes = [
        f"{(points['status'] == status).sum()} of {len(points)} points {text}"
        for status, text in _MISSING.items()
        if (points["status"] == status).any()
    ]
    without_interval = int((points["value"].notna() & points["low"].isna()).sum())
    if without_interval and history.unit == "seconds" and not layout.summarised:
        notes.append(f"{without_interval} points without an interval, which needs six samples")
    ran = points["status"] != "skipped"
    left_out = points.loc[ran & ~points["shared"], "series"].nunique()
    if left_out and layout.summarised and has_overview:
        notes.append(f"{left_out} cases that not every colour has are in the overview only")
    elif left_out and layout.summarised:
        shared = history.dims_of(points[points["shared"]])
        only = [
            f"{name} {', '.join(missing)}"
            for name, values in varying(history.dims).items()
            if (missing := [value for value in values if value not in set(shared[name])])
        ]
        where = f": all of {'; '.join(only)}" if only else ""
        notes.append(f"{left_out} cases that not every colour has are not drawn{where}")
    return [*notes, HARNESS_NOTE] if history.harness_changes() else notes


def _sentences(history: BenchmarkHistory, points: pd.DataFrame, panels: int) -> list[str]:
    """Return the sentences that describe the figure, without the footnotes."""
    first, last = short_hash(history.commits[0]), short_hash(history.commits[-1])
    count = len(history.commits)
    span = f"{count} commits, {first} to {last}" if count > 1 else f"the commit {first}"
    sentences = [f"{history.name} over {span}; panels: {panels}"]
    measured = points[points["shared"] & points["value"].notna()]
    for label, own in measured.groupby("label", sort=False):
        newest = own.loc[own["x"] == own["x"].max(), "value"].median()
        value = human(newest, history.unit)
        sentences.append(f"{str(label) or 'newest'}: median of the newest values {value}")
    return [*sentences, *_step_texts(history)]


def _step_texts(history: BenchmarkHistory) -> list[str]:
    """Return per lasting step by how much it changed which series, at which commit."""
    names = history.series_labels()
    return [
        f"{100 * moved.step.change.value:+.3g} % at {short_hash(moved.step.commit)}  "
        f"{names[moved.series]}"
        for moved in lasting_steps(history)
    ]


def draw_regression(data: RegressionFigure) -> Figure:
    """Return the figure; to be called, and saved, inside `canvas.style`."""
    handles = _legend_handles(data)
    named = data.overview is not None and bool(data.overview.curves)
    width = max(data.columns * PANEL_WIDTH, NAMES_WIDTH if named else LEAST_WIDTH)
    longest = max((len(str(handle.get_label())) for handle in handles), default=0)
    legend_columns = max(1, min(max(1, int(width * 12) // (longest + 7)), len(handles)))
    rows = -(-len(data.panels) // data.columns)
    heights = [OVERVIEW_HEIGHT] * (data.overview is not None) + [PANEL_HEIGHT * rows + 0.5]
    heights[0] += LEGEND_LINE * -(-len(handles) // legend_columns)
    figure = Figure(figsize=(width, sum(heights)), layout="constrained")
    *above, below = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    overview = above[0].add_subplot() if above else None
    panels = [below.add_subplot(rows, data.columns, at + 1) for at in range(len(data.panels))]
    for index, (axes, panel) in enumerate(zip(panels, data.panels, strict=True)):
        _draw_panel(axes, panel, data)
        is_lowest = index + data.columns >= len(panels)
        canvas.commit_axis(axes, data.commits, labelled=is_lowest)
    _scale_panels(panels, data)
    if overview is not None and data.overview is not None:
        _draw_overview(overview, data.overview, data)
    if handles:  # above the panels, where no data are
        figure.subfigs[0].legend(handles=handles, loc="outside upper left", ncols=legend_columns)
    canvas.name_commit_axis(below, data.dates)
    canvas.surround(figure, data.name, data.about, data.notes)
    return figure


def _legend_handles(data: RegressionFigure) -> list[Line2D]:
    """Return what the legend explains: colours, marks of failures, new harnesses."""
    handles = [
        Line2D([], [], color=canvas.colour(i), dashes=canvas.dash(i) or (None, None), label=label)
        for i, label in enumerate(data.colours)
        if label
    ]
    statuses = {marks.status for panel in data.panels for marks in panel.failures}
    handles += [
        Line2D([], [], color=".2", marker=mark, linestyle="none", markersize=5, label=status)
        for status, mark in FAILURES.items()
        if status in statuses
    ]
    if data.harness_changes:
        handles.append(Line2D([], [], label="new harness", **HARNESS_LINE))
    return handles


def _draw_panel(axes: Axes, panel: RegressionPanel, data: RegressionFigure) -> None:
    if not panel.lines:
        axes.text(0.5, 0.5, "no value", transform=axes.transAxes, ha="center", color=canvas.QUIET)
    _draw_lines(axes, panel.lines, data, spread=data.overview is None)
    size = 5 if commits_per_point(len(data.commits)) == 1 else 3
    for marks in panel.failures:  # on the upper edge, clear of the values
        x = marks.x + _offset(marks.colour, data)
        axes.plot(
            x, np.ones(len(x)), FAILURES[marks.status], markersize=size,
            color=canvas.colour(marks.colour), transform=axes.get_xaxis_transform(), zorder=4,
            clip_on=False,
        )  # fmt: skip
    _mark_harness_changes(axes, data)
    axes.set(title=textwrap.shorten(panel.title, 48, placeholder=" …"), ylabel="")


def _draw_lines(
    axes: Axes, lines: Sequence[RegressionLine], data: RegressionFigure, *, spread: bool
) -> None:
    """Draw the lines; with ``spread``, low to high as bars, or as a band if there are many commits.

    By matplotlib alone, in seaborn's style: `seaborn.lineplot` took three times as long per panel.
    """
    marker = "o" if len(data.commits) <= FEW_COMMITS else None
    for line in lines:
        x, colour = line.x + _offset(line.colour, data), canvas.colour(line.colour)
        axes.plot(
            x, line.median, color=colour, dashes=canvas.dash(line.colour) or (None, None),
            linewidth=1.2, marker=marker, markersize=4, markeredgewidth=0.4,
            markeredgecolor="white",
        )  # fmt: skip
        if not spread or np.isnan(line.low).all():
            continue
        if len(data.commits) <= FEW_BARS:
            below, above = line.median - line.low, line.high - line.median
            axes.errorbar(
                x, line.median, yerr=np.clip([below, above], 0, None), fmt="none", ecolor=colour,
                elinewidth=0.9, capsize=1.8, capthick=0.9, zorder=1.5,
            )  # fmt: skip
        else:
            axes.fill_between(x, line.low, line.high, color=colour, alpha=0.2, linewidth=0)


def _offset(colour: int, data: RegressionFigure) -> float:
    """Return how far a colour is moved along x, so that error bars do not cover each other."""
    count = len(data.colours)
    step = min(DODGE, 0.5 / count) if len(data.commits) <= FEW_BARS else 0.0
    return (colour - (count - 1) / 2) * step


def _mark_harness_changes(axes: Axes, data: RegressionFigure) -> None:
    for index in data.harness_changes:
        axes.axvline(index - 0.5, **HARNESS_LINE)


def _scale_panels(panels: list[Axes], data: RegressionFigure) -> None:
    """Scale the y axes: a grid's row with similar values has one scale, other panels their own."""
    values = [_extent(panel, data) for panel in data.panels]
    for begin in range(0, len(panels), data.columns):
        row = slice(begin, begin + data.columns)
        together = np.concatenate(values[row])
        finite = together[np.isfinite(together)]
        shared = data.is_grid and (
            not finite.size or (finite.min() > 0 and finite.max() / finite.min() < MOST_SHARED)
        )
        for column, (axes, own) in enumerate(zip(panels[row], values[row], strict=True)):
            canvas.value_axis(axes, together if shared else own, data.unit)
            axes.tick_params(axis="y", labelleft=not (shared and column))


def _extent(panel: RegressionPanel, data: RegressionFigure) -> Floats:
    """Return the values that a panel's axis must show."""
    parts = [line.median for line in panel.lines]
    if data.overview is None:
        parts += [end for line in panel.lines for end in (line.low, line.high)]
    return np.concatenate([np.empty(0), *parts])


def _draw_overview(axes: Axes, overview: RegressionOverview, data: RegressionFigure) -> None:
    axes.axhline(1, color=".6", linewidth=0.8, zorder=1)
    _draw_lines(axes, overview.lines, data, spread=len(data.colours) <= MOST_SPREADS)
    shown = [part for line in overview.lines for part in (line.median, line.low, line.high)]
    shown += [curve.ratio for curve in overview.curves]
    canvas.value_axis(axes, np.concatenate(shown), "ratio")
    axes.set(ylabel="", title=overview.title)
    _mark_harness_changes(axes, data)
    canvas.commit_axis(axes, data.commits, labelled=False)
    if overview.curves:
        _draw_curves(axes, overview.curves, data)


def _draw_curves(axes: Axes, curves: Sequence[StepCurve], data: RegressionFigure) -> None:
    """Draw each curve with a mark at its step and a number at its end; name them beside."""
    handles = []
    for number, curve in enumerate(curves, start=1):
        handles += axes.plot(
            curve.x, curve.ratio, color=canvas.colour(len(data.colours) + number - 1),
            linewidth=1.2, marker="D", markersize=4, markevery=[curve.begin],
            label=textwrap.fill(f"{number}: {curve.label}", 52),
        )  # fmt: skip
    ends = [axes.transData.transform((0, curve.ratio[-1]))[1] for curve in curves]
    heights = axes.transAxes.inverted().transform([(0, pixel) for pixel in _apart(ends)])[:, 1]
    named = zip(handles, curves, heights, strict=True)
    for number, (handle, curve, height) in enumerate(named, start=1):
        axes.annotate(
            f"{number}", (curve.x[-1], height), xycoords=("data", "axes fraction"),
            xytext=(5, 0), textcoords="offset points", va="center", fontsize=8,
            color=handle.get_color(), fontweight="bold",
        )  # fmt: skip
    axes.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.05), handlelength=1.2,
        fontsize=7.5, labelspacing=0.35,
    )  # fmt: skip


def _apart(heights: list[float], least: float = 11.0) -> list[float]:
    """Return the heights (pixels) moved so that they are ``least`` apart, with the same mean."""
    placed = list(heights)
    order = sorted(range(len(heights)), key=heights.__getitem__)
    for lower, upper in pairwise(order):
        placed[upper] = max(placed[upper], placed[lower] + least)
    shift = (sum(placed) - sum(heights)) / len(heights)
    return [height - shift for height in placed]
