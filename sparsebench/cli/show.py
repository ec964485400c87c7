"""``sparsebench show``: print a filtered table of the dataset."""

from collections.abc import Callable
from typing import Any, Final

import click
from rich.console import Console

from sparsebench.cli import options
from sparsebench.errors import SparsebenchError
from sparsebench.report.text.dataset_rows import as_csv, as_json, needed_columns, print_table
from sparsebench.results import read

_LIMIT: Final = 40  # rows of a table; csv and json are never cut


def count_or_all(value: str) -> int | str:
    """Return a number of zeros in a block, or "all" for the whole block."""
    return value if value == "all" else int(value)


_FILTERS: Final[dict[str, Any]] = {
    "project": str,
    "machine": str,
    "commit": str,
    "env": str,
    "python": str,
    "torch": str,
    "status": str,
    "shape": str,
    "level": float,
    "block": str,
    "zeros": count_or_all,
    "device": str,
    "dtype": str,
    "weights": str,
    "implementation": str,
}


def _filter_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add one repeatable option per filter of `results.read`."""
    for name, kind in reversed(_FILTERS.items()):
        parameter = "env_name" if name == "env" else name
        text = "First characters of a hash." if name == "commit" else None
        option = click.option(f"--{name}", parameter, type=kind, multiple=True, help=text)
        function = option(function)
    return function


_EXAMPLES: Final = """\b
Examples:
  sparsebench show --benchmark time_step --device cpu --level 0.9
  sparsebench show --status failed --columns commit_hash,benchmark,case,error
  sparsebench show --commit 3f2a9c1 --format csv > rows.csv
"""


@click.command(name="show", epilog=_EXAMPLES)
@options.dataset
@options.benchmark
@_filter_options
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="At most N rows; 0: all.")
@click.option("--columns", metavar="A,B,...", help="Columns of the dataset, in this order.")
@click.option("--format", "form", type=click.Choice(["table", "csv", "json"]), default="table")
def command(
    dataset: str,
    limit: int | None,
    columns: str | None,
    form: str,
    **filters: Any,
) -> None:
    """Print the rows of the dataset that match every filter, newest commit first.

    A filter that is given several times accepts any of its values. Skipped rows (cases that a
    partial run did not measure) are hidden unless --status selects them. A table has scaled units
    and 40 rows unless --limit says otherwise. csv and json have all columns and rows, in seconds
    and bytes; json has null for infinities.
    """
    names = [name.strip() for name in columns.split(",")] if columns else None
    given = {name: value for name, value in filters.items() if value}
    matching = read(dataset, columns=needed_columns(names, form), **given)
    frame = matching if "status" in given else matching[matching["status"] != "skipped"]
    frame = frame.sort_values("commit_date", ascending=False, kind="stable", ignore_index=True)
    hidden = len(matching) - len(frame)
    if frame.empty:
        raise SparsebenchError(f"{dataset}: {_no_rows(given, hidden)}")
    limit = limit if limit is not None else (_LIMIT if form == "table" else 0)
    shown = frame.head(limit) if limit else frame
    if form == "table":
        print_table(shown, names, Console(markup=False, highlight=False))
    else:
        click.echo(as_csv(shown, names) if form == "csv" else as_json(shown, names), nl=False)
    if footnote := _footnote(len(shown), len(frame), hidden):
        click.echo(footnote, err=True)


def _no_rows(filters: dict[str, Any], hidden: int) -> str:
    conditions = [
        f"{name}={value if isinstance(value, str) else ' or '.join(map(str, value))}"
        for name, value in filters.items()
    ]
    text = f"no row matches {', '.join(conditions)}" if conditions else "no row is stored"
    if hidden:
        text += f" but {hidden:,} skipped ones, hidden; --status skipped shows them"
    return text


def _footnote(shown: int, matching: int, hidden: int) -> str:
    """Return one line on rows that are not shown; "" if all are."""
    notes = []
    if shown < matching:
        notes.append(f"{matching - shown:,} of {matching:,} rows not shown; --limit 0 shows all")
    if hidden:
        notes.append(f"{hidden:,} skipped rows hidden; --status skipped shows them")
    return "; ".join(notes)
