"""Plots of exact values (digests, measured sparsity): at which commit how many cases changed.

The value itself has no scale on which a reader could see anything: all that counts is whether it is
still the same.
"""

from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sparsebench.analysis.dimensions import constants
from sparsebench.analysis.history import short_hash
from sparsebench.analysis.points import dims_of, series_names
from sparsebench.analysis.units import counted
from sparsebench.report.figures import canvas
from sparsebench.report.figures.commit_axis import commit_axis, name_commit_axis
from sparsebench.report.figures.regression_data import Story

SIZE: Final = (7.0, 2.4)  # inches
MOST_NAMED: Final = 5


def changed(table: pd.DataFrame) -> pd.DataFrame:
    """Return the points whose value differs from the one before it in their series."""
    measured = table[table["value"].notna()]
    before = measured.groupby("series")["value"].shift()
    return measured[before.notna() & (measured["value"] != before)]


def draw_changes(story: Story) -> Figure:
    """Return the figure; to be called, and saved, inside `canvas.style`."""
    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.add_subplot()
    found = changed(story.table)
    _draw_bars(axes, story, found)
    commit_axis(axes, story.commits, labelled=True)
    name_commit_axis(figure, story.dates)
    canvas.surround(figure, story.name, _about(story), change_notes(story))
    return figure


def describe_changes(story: Story) -> str:
    """Return the figure in words, for who cannot see it."""
    return ". ".join(
        [f"{story.name}: {_verdict(story, changed(story.table))}", *change_notes(story)]
    )


def change_notes(story: Story) -> list[str]:
    """Return which cases changed at which commit, the first few, and how many failed."""
    found, names = changed(story.table), series_names(story.table)
    notes = [
        f"{short_hash(story.commits[place])}: {names[series] or story.name} changed"
        for place, series in found[["x", "series"]].head(MOST_NAMED).to_numpy()
    ]
    if len(found) > MOST_NAMED:
        notes.append(f"and {len(found) - MOST_NAMED} changes more")
    missing = story.table["status"].isin(["failed", "timeout"]).sum()
    return [*notes, f"{missing} of {len(story.table)} points failed"] if missing else notes


def _draw_bars(axes: Axes, story: Story, found: pd.DataFrame) -> None:
    """Stack a bar a colour on each commit; in words where there is nothing to stack."""
    colours = canvas.palette(story.hues)
    bottom = np.zeros(len(story.commits))
    for hue in story.hues:
        places = found.loc[found["hue"] == hue, "x"]
        counts = np.bincount(places, minlength=len(story.commits))
        axes.bar(range(len(story.commits)), counts, 0.8, bottom, color=colours[hue], label=hue)
        bottom += counts
    axes.set(title=_verdict(story, found), ylabel="cases changed")
    axes.set_ylim(0, max(1.0, bottom.max() * 1.1))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    if found.empty:
        axes.set_yticks([])
        axes.text(0.5, 0.5, "no change", transform=axes.transAxes, ha="center", color=canvas.QUIET)
    elif story.hues != [""]:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.05))


def _verdict(story: Story, found: pd.DataFrame) -> str:
    cases = story.cases
    if len(story.commits) == 1:
        return f"{cases} cases at one commit: nothing yet to compare with"
    if found.empty:
        return f"none of {cases} cases changed at any of {len(story.commits)} commits"
    where = counted(found["x"].nunique(), "commit")
    return f"{found['series'].nunique()} of {cases} cases changed, at {where}"


def _about(story: Story) -> str:
    fixed = constants(dims_of(story.table))
    shown = "an exact value: how many cases differ from the commit before"
    return " · ".join([shown, *(f"{name} {value}" for name, value in fixed.items())])
