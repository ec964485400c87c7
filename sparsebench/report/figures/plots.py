"""All figures of a set of rows, written as files."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pandas as pd

from sparsebench.analysis.history import Step, commit_order
from sparsebench.report.figures import canvas
from sparsebench.report.figures.exact_changes import describe_changes, draw_changes
from sparsebench.report.figures.regression import draw
from sparsebench.report.figures.regression_data import describe, figures, tell


def plot(
    frame: pd.DataFrame, into: Path, formats: Iterable[str], steps: Sequence[Step]
) -> Iterator[Path]:
    """Write a figure a benchmark and yield each path as it is written.

    Args:
        frame: rows of the dataset, in the columns of its schema; several projects do not mix.
        into: the folder; made where it is missing.
        formats: of `formats.FORMATS`.
        steps: what changed over the history, most important first; those still there are marked.

    Raises:
        SparsebenchError: an unknown format, or a file that cannot be written.
    """
    formats = tuple(formats)
    for project, name, rows, file_name in _jobs(frame):
        with canvas.style():
            commits = commit_order(frame[frame["project"] == project])
            own = [step for step in steps if step.project == project]
            story = tell(name, rows, commits, own)
            exact = story.direction == "exact"
            figure = draw_changes(story) if exact else draw(story)
            alt = describe_changes(story) if exact else describe(story)
            yield from canvas.save(figure, into, file_name, alt, formats)


def _jobs(frame: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame, str]]:
    """Yield project, figure name, rows and file name, which says the project if there are two."""
    found = [
        (str(project), name, rows)
        for project, group in frame.groupby("project", sort=True)
        for name, rows in figures(group).items()
    ]
    several = len({project for project, _, _ in found}) > 1
    titles = [f"{project}.{name}" if several else name for project, name, _ in found]
    files = canvas.safe_names(titles)
    for (project, name, rows), title in zip(found, titles, strict=True):
        yield project, name, rows, files[title]
