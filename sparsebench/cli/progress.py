"""Progress of long work on stderr: a bar in a terminal, a line every ten seconds in a log."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

_FIRST_LINE: Final = 2.0  # seconds before the first line in a log
_LINE_EVERY: Final = 10.0  # seconds between lines in a log


@contextmanager
def progress(task: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a function to call with the counts done and in all."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _count_lines(console, task)
        return
    with Progress(console=console, transient=True) as bar:
        row = bar.add_task(task)
        yield lambda done, total: bar.update(row, completed=done, total=total)


@contextmanager
def rounds(console: Console) -> Iterator[Callable[[int, int, int], None]]:
    """Yield a function to call with a gate's round, the number of cases done and of all cases."""
    if not console.is_terminal:
        yield _round_lines(console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bar:
        task = bar.add_task("measuring", total=None)
        yield lambda number, done, cases: bar.update(
            task, description=f"round {number + 1}", completed=done, total=cases
        )


@contextmanager
def percentages(console: Console, label: str) -> Iterator[Callable[[float, str], None]]:
    """Yield a function to call with the percentage done, and a text on the last step."""
    if not console.is_terminal:
        yield lambda percent, text: say(console, f"{label}: {percent:3.0f}% {text}")
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    text = TextColumn("{task.fields[text]}")
    with Progress(*columns, text, console=console, transient=True) as bar:
        task = bar.add_task(label, total=100, text="")
        yield lambda percent, text: bar.update(task, completed=percent, text=text[:60])


def busy(console: Console, task: str) -> AbstractContextManager[object]:
    """Show a spinner during work of unknown length; in a log, print a line at its start."""
    if console.is_terminal:
        return console.status(task)
    say(console, task)
    return nullcontext()


def say(console: Console, line: str) -> None:
    """Print a line without markup, highlighting or wrapping."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def _count_lines(console: Console, task: str) -> Callable[[int, int], None]:
    due = time.monotonic() + _FIRST_LINE

    def show(done: int, total: int) -> None:
        nonlocal due
        if time.monotonic() >= due and done < total:
            due = time.monotonic() + _LINE_EVERY
            say(console, f"{task}: {done:,} of {total:,}")

    return show


def _round_lines(console: Console) -> Callable[[int, int, int], None]:
    """Return a function that prints a line per round, at most one in ten seconds."""
    due = time.monotonic()

    def show(number: int, done: int, cases: int) -> None:
        nonlocal due
        if not done and time.monotonic() >= due:
            due = time.monotonic() + _LINE_EVERY
            say(console, f"round {number + 1}: {cases} {'case' if cases == 1 else 'cases'}")

    return show
