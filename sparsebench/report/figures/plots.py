"""One figure per benchmark: a regression plot, or where an exact value changed."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from sparsebench.analysis.history import Step, commit_order
from sparsebench.analysis.points import BenchmarkHistory, benchmark_history, rows_by_group
from sparsebench.report.figures import canvas
from sparsebench.report.figures.exact_changes import (
    ExactChangesFigure,
    draw_exact_changes,
    exact_changes_figure,
)
from sparsebench.report.figures.regression import (
    RegressionFigure,
    draw_regression,
    regression_figure,
)

HistoryFigure = RegressionFigure | ExactChangesFigure


def history_figure(history: BenchmarkHistory) -> HistoryFigure:
    """Return a benchmark's history ready to be drawn."""
    return exact_changes_figure(history) if history.is_exact else regression_figure(history)


def draw_history(data: HistoryFigure) -> Figure:
    """Return the figure; to be called, and saved, inside `canvas.style`."""
    return draw_regression(data) if isinstance(data, RegressionFigure) else draw_exact_changes(data)


def plot(
    frame: pd.DataFrame, into: Path, formats: Iterable[str], steps: Sequence[Step]
) -> Iterator[Path]:
    """Write one figure per benchmark and yield each path as it is written.

    A file's name begins with the project if there are several.

    Args:
        frame: rows of the dataset, in the columns of its schema, of any number of projects.
        into: the folder; made if it is missing.
        formats: of `figures.FORMATS`.
        steps: the steps of the histories, most important first.

    Raises:
        SparsebenchError: an unknown format, or a file that cannot be written.
    """
    formats = tuple(formats)
    groups = [
        (str(project), name, rows)
        for project, own in frame.groupby("project", sort=True)
        for name, rows in rows_by_group(own).items()
    ]
    several = len({project for project, _, _ in groups}) > 1
    titles = [f"{project}.{name}" if several else name for project, name, _ in groups]
    files = canvas.safe_names(titles)
    for (project, name, rows), title in zip(groups, titles, strict=True):
        commits = commit_order(frame[frame["project"] == project])
        own_steps = [step for step in steps if step.project == project]
        with canvas.style():
            data = history_figure(benchmark_history(name, rows, commits, own_steps))
            yield from canvas.save(draw_history(data), into, files[title], data.alt, formats)
