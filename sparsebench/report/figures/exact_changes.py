"""Plots of exact values (digests, measured sparsity): at which commit how many cases changed.

The value itself has no scale that shows anything: all that counts is whether it is still the same.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from sparsebench.analysis.dimensions import constants
from sparsebench.analysis.history import short_hash
from sparsebench.analysis.points import BenchmarkHistory
from sparsebench.analysis.units import counted
from sparsebench.report.figures import canvas
from sparsebench.report.figures.layout import choose_layout, ordered_labels

SIZE: Final = (7.0, 2.4)  # inches
MOST_NAMED: Final = 5


@dataclass(frozen=True, eq=False)
class ExactChangesFigure:
    """What a plot of exact values shows.

    Attributes:
        name: the title; ``about``: the line below it; ``notes``: the footnotes.
        alt: a description for readers who cannot see the figure.
        summary: sentence that says how many cases changed.
        commits: the x axis: hashes, oldest first; ``dates``: theirs.
        counts: per colour's label the number of changed cases at each commit.
        table: the points at which a case changed, as data.
    """

    name: str
    about: str
    notes: tuple[str, ...]
    alt: str
    summary: str
    commits: list[str]
    dates: pd.Series
    counts: dict[str, NDArray[np.int64]]
    table: pd.DataFrame


def changed_points(points: pd.DataFrame) -> pd.DataFrame:
    """Return the points whose value differs from the one before it in their series."""
    measured = points[points["value"].notna()]
    before = measured.groupby("series")["value"].shift()
    return measured[before.notna() & (measured["value"] != before)]


def exact_changes_figure(history: BenchmarkHistory) -> ExactChangesFigure:
    """Return the plot of a history of exact values, ready to be drawn."""
    commits, cases = history.commits, history.cases
    changed, names = changed_points(history.points), history.series_labels()
    summary = (
        f"{changed['series'].nunique()} of {cases} cases changed, "
        f"at {counted(changed['x'].nunique(), 'commit')}"
    )
    if len(commits) == 1:
        summary = f"{cases} cases at one commit: nothing yet to compare with"
    elif changed.empty:
        summary = f"none of {cases} cases changed at any of {len(commits)} commits"
    notes = [
        f"{short_hash(commits[x])}: {names[series] or history.name} changed"
        for x, series in changed[["x", "series"]].head(MOST_NAMED).to_numpy()
    ]
    if len(changed) > MOST_NAMED:
        notes.append(f"and {len(changed) - MOST_NAMED} more changes")
    if missing := history.points["status"].isin(["failed", "timeout"]).sum():
        notes.append(f"{missing} of {len(history.points)} points failed")
    fixed = (f"{name} {value}" for name, value in constants(history.dims).items())
    layout = choose_layout(history.dims, history.points["value"])
    labels = ordered_labels(history.dims, layout.colours)
    x_by_label = changed["x"].groupby(labels.loc[changed.index], observed=False)
    return ExactChangesFigure(
        name=history.name,
        about=" · ".join(["exact value: cases that differ from the commit before", *fixed]),
        notes=tuple(notes),
        alt=". ".join([f"{history.name}: {summary}", *notes]),
        summary=summary,
        commits=commits,
        dates=history.dates,
        counts={str(label): np.bincount(x, minlength=len(commits)) for label, x in x_by_label},
        table=history.as_table(changed),
    )


def draw_exact_changes(data: ExactChangesFigure) -> Figure:
    """Return the figure; to be called, and saved, inside `canvas.style`."""
    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.add_subplot()
    bottom = np.zeros(len(data.commits))
    for index, (label, counts) in enumerate(data.counts.items()):
        x = range(len(data.commits))
        axes.bar(x, counts, 0.8, bottom, color=canvas.colour(index), label=label)
        bottom += counts
    axes.set(title=data.summary, ylabel="cases changed")
    axes.set_ylim(0, max(1.0, bottom.max() * 1.1))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    if not bottom.any():
        axes.set_yticks([])
        axes.text(0.5, 0.5, "no change", transform=axes.transAxes, ha="center", color=canvas.QUIET)
    elif list(data.counts) != [""]:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.05))
    canvas.commit_axis(axes, data.commits, labelled=True)
    canvas.name_commit_axis(figure, data.dates)
    canvas.surround(figure, data.name, data.about, data.notes)
    return figure
