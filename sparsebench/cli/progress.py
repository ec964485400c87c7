"""Progress of long work: a bar on a terminal, a few plain lines in a log."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_LINES: Final = 10  # of one piece of work in a log


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """A function to call with (done, total), on stderr: stdout is for results."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda done, total: _line(console, label, done, total)
        return
    text = TextColumn("{task.description}")
    columns = (text, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _line(console: Console, label: str, done: int, total: int) -> None:
    """Print each time that another tenth is done."""
    if done * _LINES // total > (done - 1) * _LINES // total:
        console.print(f"{label}: {done} of {total}", markup=False, highlight=False, soft_wrap=True)
