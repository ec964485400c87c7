"""``sparsebench show``: print a filtered table of the dataset."""

import json
import math
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

import click
import numpy as np
import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from sparsebench.analysis.units import human
from sparsebench.errors import SparsebenchError
from sparsebench.results import read
from sparsebench.results.table.schema import SCHEMA

_LIMIT: Final = 40  # rows of a table; csv and json are for programs and are never cut short
_TABLE: Final = ("commit_hash", "benchmark", "case", "value")
_IDENTITY: Final = ("project", "machine", "env_name")
_SORT: Final = "commit_date"
_FOR_VALUE: Final = ("unit", "digest")  # what a readable value needs beside itself
_PAIR: Final = re.compile(r"(\w+)=(.*?)(?:, (?=\w+=)|$)")  # of a case, "name=value, name=value"
_NARROWEST: Final = 10  # characters that a folded benchmark's name must have
_PLURALS: Final = {"project": "projects", "env_name": "environments"}


def count_or_all(value: str) -> int | str:
    """Of zeros in a block: their count, or "all" for the whole block; click shows the name."""
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
    """One repeatable option a filter of `results.read`."""
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
@click.option(
    "--dataset",
    default="results/parquet",
    show_default=True,
    metavar="DATASET",
    help="The dataset: a folder or a URI.",
)
@click.option("--benchmark", metavar="REGEX", help="Searched for in the benchmark's name.")
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

    A filter given several times lets any of its values pass. Skipped rows, which a run of a part of
    the cases leaves for all others, are hidden unless --status asks for them. A table is in human
    units and 40 rows long unless --limit says otherwise; csv and json hold every column and are not
    cut short, in seconds and bytes, and null for infinities in json.
    """
    chosen = [name.strip() for name in columns.split(",")] if columns else None
    kept = {name: value for name, value in filters.items() if value}
    everything = read(dataset, columns=_needed(chosen, form), **kept)
    frame = _newest_first(everything if "status" in kept else _selected(everything))
    hidden = len(everything) - len(frame)
    if frame.empty:
        raise SparsebenchError(f"{dataset}: {_nothing(kept, hidden)}")
    limit = limit if limit is not None else (_LIMIT if form == "table" else 0)
    shown = frame.head(limit) if limit else frame
    _PRINTERS[form](shown, chosen)
    if footnote := _footnote(len(shown), len(frame), hidden):
        click.echo(footnote, err=True)


def _selected(frame: pd.DataFrame) -> pd.DataFrame:
    """Without the skipped rows, which say nothing, and of which a partial run leaves thousands."""
    return frame[frame["status"] != "skipped"]


def _nothing(kept: dict[str, Any], hidden: int) -> str:
    asked = [f"{name}={' or '.join(map(str, _listed(value)))}" for name, value in kept.items()]
    which = f"matches {', '.join(asked)}" if asked else "is stored"
    return f"no row {which}" + (f" but {_hidden(hidden)}" if hidden else "")


def _listed(value: Any) -> Sequence[Any]:
    return [value] if isinstance(value, str) else value


def _hidden(count: int) -> str:
    return f"{count:,} skipped ones, hidden; --status skipped shows them"


def _footnote(shown: int, found: int, hidden: int) -> str:
    """What is not shown, in one line; "" where all is."""
    cut = [f"{found - shown:,} of {found:,} rows not shown; --limit 0 shows all"]
    skipped = [f"{hidden:,} skipped rows hidden; --status skipped shows them"]
    return "; ".join((cut if shown < found else []) + (skipped if hidden else []))


def _needed(chosen: Sequence[str] | None, form: str) -> list[str] | None:
    """What to read: no more than is shown, sorted by, or needed to make a value readable."""
    if chosen is None and form != "table":
        return None
    wanted = [*(chosen or (*_TABLE, *_IDENTITY)), _SORT, "status"]
    if form == "table" and "value" in wanted:
        wanted += _FOR_VALUE
    return list(dict.fromkeys(wanted))


def _newest_first(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sort_values(_SORT, ascending=False, kind="stable", ignore_index=True)


def _print_table(frame: pd.DataFrame, chosen: Sequence[str] | None) -> None:
    console = Console(markup=False, highlight=False)
    if chosen:
        console.print(_table(frame, chosen))
        return
    spread, names, shared = _a_parameter_a_column(frame)
    wide = _table(spread, names)
    if names and _fits(console, wide, spread["benchmark"]):
        console.print(wide)
        if shared:
            console.print(f"every row: {shared}")
    else:
        console.print(_table(frame, [*_several(frame), *_TABLE]))
    for name in ("project", "env_name"):
        if (count := len(frame[name].unique())) > 1:
            console.print(
                f"rows of {count} {_PLURALS[name]}; --columns {name},... tells them apart"
            )


def _fits(console: Console, table: Table, benchmarks: pd.Series) -> bool:
    """Whether only the benchmarks' names need to be folded, and those not to slivers."""
    unbounded = console.options.update(max_width=10_000)
    natural = console.measure(table, options=unbounded).maximum
    return natural - int(benchmarks.str.len().max()) + _NARROWEST <= console.width


def _table(frame: pd.DataFrame, names: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for name in names:
        right = pd.api.types.is_numeric_dtype(frame[name])
        table.add_column(
            "commit" if name == "commit_hash" else name,
            justify="right" if right else "left",
            no_wrap=name in ("commit_hash", "value"),
            overflow="fold",
        )
    for row in frame.to_dict("records"):
        table.add_row(*(_cell(name, row) for name in names))
    return table


def _several(frame: pd.DataFrame) -> list[str]:
    return ["machine"] if len(frame["machine"].unique()) > 1 else []


def _a_parameter_a_column(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str], str]:
    """``frame`` with its cases spread out, the columns to show, and what all rows share.

    No columns where the cases cannot be spread: parameters without names, or named like a column.
    """
    pairs = [dict(_PAIR.findall(case)) for case in frame["case"]]
    names = list(dict.fromkeys(name for row in pairs for name in row))
    told = [", ".join(f"{k}={v}" for k, v in row.items()) for row in pairs] == list(frame["case"])
    if not told or set(names) & set(frame.columns):
        return frame, [], ""
    values = {name: [row.get(name, "") for row in pairs] for name in names}
    differing = [name for name in names if len(set(values[name])) > 1]
    spread = frame.assign(**values, benchmark=_without_module(frame["benchmark"]))
    shared = ", ".join(f"{name}={values[name][0]}" for name in names if name not in differing)
    columns = [*_several(frame), "commit_hash", "benchmark", *differing, "value"]
    return spread, columns, shared


def _without_module(benchmarks: pd.Series) -> pd.Series:
    """The names without their first part, if that is the same in all and something is left."""
    first = benchmarks.str.partition(".")
    same = len(first[0].unique()) == 1 and (first[2] != "").all()
    return first[2] if same else benchmarks


def _print_csv(frame: pd.DataFrame, chosen: Sequence[str] | None) -> None:
    rows = frame[list(chosen or SCHEMA.names)].map(_nested_as_json)
    click.echo(rows.to_csv(index=False), nl=False)


def _print_json(frame: pd.DataFrame, chosen: Sequence[str] | None) -> None:
    rows = frame[list(chosen or SCHEMA.names)].to_dict("records")
    plain = [{str(key): _plain(value) for key, value in row.items()} for row in rows]
    click.echo(json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False))


_PRINTERS: Final = {"table": _print_table, "csv": _print_csv, "json": _print_json}


def _cell(name: str, row: dict[Any, Any]) -> str:
    """One value for a person: human units, short hashes, lists by their length."""
    value = row[name]
    if name == "value":
        return _value_cell(row)
    if isinstance(value, np.ndarray | list):
        return f"{len(value)} values" if name == "samples" else ", ".join(map(str, value))
    if pd.isna(value):
        return "-"
    if name == "commit_hash":
        return str(value)[:8]
    if isinstance(value, pd.Timestamp):
        return value.strftime("%Y-%m-%d %H:%M")
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _value_cell(row: dict[Any, Any]) -> str:
    """The value in human units; what happened instead where there is none; a digest in hex."""
    if row["status"] != "ok":
        return str(row["status"])
    unit = None if pd.isna(row["unit"]) else str(row["unit"])
    if unit is not None and unit.startswith("sha256") and not pd.isna(row["digest"]):
        return str(row["digest"])
    return human(row["value"], unit)


def _nested_as_json(value: Any) -> Any:
    return json.dumps(_plain(value)) if isinstance(value, np.ndarray | list) else value


def _plain(value: Any) -> Any:
    """``value`` as strict JSON has it: times in ISO 8601, nothing infinite, null for missing."""
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    if value is None or pd.isna(value) or (isinstance(value, float) and math.isinf(value)):
        return None
    return value.item() if isinstance(value, np.generic) else value
