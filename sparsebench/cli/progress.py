"""Progress of long work: a bar in a terminal, a plain line now and then in a log."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import Progress

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


def _lines(console: Console, what: str) -> Callable[[int, int], None]:
    due = time.monotonic() + _PATIENCE

    def tell(done: int, total: int) -> None:
        nonlocal due
        if time.monotonic() >= due and done < total:
            due = time.monotonic() + _LINE_EVERY
            console.print(f"{what}: {done:,} of {total:,}", markup=False, highlight=False)

    return tell
