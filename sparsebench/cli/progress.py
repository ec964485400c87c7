"""Progress of long work: a bar in a terminal, a plain line now and then in a log."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

_PATIENCE: Final = 2.0  # seconds of work that nobody needs to be told about
_LINE_EVERY: Final = 10.0  # seconds between lines where there is no terminal


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Give a function to call with what is done and what is to do; it writes on stderr."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(console, what)
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(what)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def rounds(console: Console) -> Iterator[Callable[[int, int, int], None]]:
    """Give a function to call with a gate's round, how many of its cases are done, and how many."""
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
    """Give a function to call with the percentage that is done, and what was done last."""
    if not console.is_terminal:
        yield lambda percent, text: say(console, f"{label}: {percent:3.0f}% {text}")
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    text = TextColumn("{task.fields[text]}")
    with Progress(*columns, text, console=console, transient=True) as bar:
        task = bar.add_task(label, total=100, text="")
        yield lambda percent, text: bar.update(task, completed=percent, text=text[:60])


def busy(console: Console, what: str) -> AbstractContextManager[object]:
    """A spinner while something of unknown length goes on; in a log, a line at its begin."""
    if console.is_terminal:
        return console.status(what)
    say(console, what)
    return nullcontext()


def say(console: Console, line: str) -> None:
    """Print a line as it is."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def _lines(console: Console, what: str) -> Callable[[int, int], None]:
    due = time.monotonic() + _PATIENCE

    def tell(done: int, total: int) -> None:
        nonlocal due
        if time.monotonic() >= due and done < total:
            due = time.monotonic() + _LINE_EVERY
            say(console, f"{what}: {done:,} of {total:,}")

    return tell


def _round_lines(console: Console) -> Callable[[int, int, int], None]:
    """A line as a round begins, unless one was printed just before: a run may have hundreds."""
    due = time.monotonic()

    def tell(number: int, done: int, cases: int) -> None:
        nonlocal due
        if not done and time.monotonic() >= due:
            due = time.monotonic() + _LINE_EVERY
            say(console, f"round {number + 1}: {cases} {'case' if cases == 1 else 'cases'}")

    return tell
