"""The x axis of a history: one place a commit, labelled with as many hashes as fit."""

from typing import Final

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase

from sparsebench.analysis.history import short_hash
from sparsebench.report.figures.canvas import QUIET

MOST_TICKS: Final = 7  # hashes that fit below a panel


def commit_axis(axes: Axes, commits: list[str], *, labelled: bool) -> None:
    """Give every commit its place, and every so many their hashes, the newest always among them."""
    count = len(commits)
    places = range((count - 1) % _stride(count), count, _stride(count))
    margin = max(0.5, 0.02 * count)
    axes.set_xlim(-margin, count - 1 + margin)
    hashes = [short_hash(commits[place]) for place in places]
    axes.set_xticks(places, hashes, rotation=40, ha="right", rotation_mode="anchor")
    axes.tick_params(axis="x", labelbottom=labelled, length=2, pad=1)
    axes.grid(visible=False, axis="x")
    axes.set_xlabel("")


def name_commit_axis(figure: FigureBase, dates: pd.Series) -> None:
    """Say below the whole figure what its x axis is, and from when to when it runs."""
    figure.supxlabel(f"commit, oldest first{_span(dates)}", fontsize=8, color=QUIET)


def _stride(count: int) -> int:
    return -(-count // MOST_TICKS)


def _span(dates: pd.Series) -> str:
    known = dates.dropna()
    if known.empty:
        return ""
    first, last = (f"{date:%Y-%m-%d}" for date in (known.min(), known.max()))
    return f" ({first})" if first == last else f" ({first} to {last})"
