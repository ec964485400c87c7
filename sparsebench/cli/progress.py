"""How far long work is: a bar on a terminal, plain lines in a log."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

Tell = Callable[[int, int, int], None]


@contextmanager
def rounds(console: Console) -> Iterator[Tell]:
    """What a gate tells its progress to: the round, and how many of its cases are done."""
    if not console.is_terminal:
        begun = -1

        def tell_line(number: int, _: int, cases: int) -> None:
            nonlocal begun
            if number != begun:
                begun = number
                say(console, f"round {number + 1}: {cases} {'case' if cases == 1 else 'cases'}")

        yield tell_line
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bar:
        task = bar.add_task("measuring", total=None)

        def tell(number: int, done: int, cases: int) -> None:
            bar.update(task, description=f"round {number + 1}", completed=done, total=cases)

        yield tell


def say(console: Console, line: str) -> None:
    """Print a line as it is."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)
