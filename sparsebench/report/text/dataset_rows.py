"""Rows of the dataset as a table for a terminal, as CSV, and as JSON."""

import json
import math
import re
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from sparsebench.analysis.units import human
from sparsebench.results.table.schema import SCHEMA

_TABLE: Final = ("commit_hash", "benchmark", "case", "value")
_IDENTITY: Final = ("project", "machine", "env_name")
_SORT: Final = "commit_date"
_FOR_VALUE: Final = ("unit", "digest", "throttle", "mismatch")  # what formatting a value needs
_THROTTLED, _MISMATCHED = "*", "†"  # marks of a value
_PAIR: Final = re.compile(r"(\w+)=(.*?)(?:, (?=\w+=)|$)")  # of a case, "name=value, name=value"
_NARROWEST: Final = 10  # characters that a folded benchmark's name has at least
_PLURALS: Final = {"project": "projects", "env_name": "environments"}


def needed_columns(columns: Sequence[str] | None, form: str) -> list[str] | None:
    """Return the columns to read: those shown, sorted by, or needed to format a value.

    Args:
        columns: to be shown; None for the default ones of ``form``.
        form: "table", "csv" or "json".
    """
    if columns is None and form != "table":
        return None
    needed = [*(columns or (*_TABLE, *_IDENTITY)), _SORT, "status"]
    if form == "table" and "value" in needed:
        needed += _FOR_VALUE
    return list(dict.fromkeys(needed))


def print_table(frame: pd.DataFrame, columns: Sequence[str] | None, console: Console) -> None:
    """Print rows as a table: one column per parameter if that fits, else one for the case.

    Args:
        frame: rows with `needed_columns`.
        columns: to be shown instead.
        console: where to; decides the width.
    """
    if columns:
        console.print(_table(frame, columns))
        if "value" in columns:
            _explain_marks(frame, console)
        return
    expanded, names, shared = _expand_cases(frame)
    wide = _table(expanded, names)
    if names and _fits(console, wide, expanded["benchmark"]):
        console.print(wide)
        if shared:
            console.print(f"every row: {shared}")
    else:
        console.print(_table(frame, [*_machine_column(frame), *_TABLE]))
    _explain_marks(frame, console)
    for name in ("project", "env_name"):
        if (count := len(frame[name].unique())) > 1:
            console.print(f"rows of {count} {_PLURALS[name]}; --columns {name},... shows which")


def _explain_marks(frame: pd.DataFrame, console: Console) -> None:
    """Print what the marks of values mean, if there are any."""
    for mark, column, text in (
        (_THROTTLED, "throttle", "measured while the GPU was slowed down"),
        (_MISMATCHED, "mismatch", "measured with other versions than declared"),
    ):
        reasons = frame[column].dropna().loc[lambda texts: texts != ""].unique()
        if len(reasons):
            more = f"; and {len(reasons) - 1} more" if len(reasons) > 1 else ""
            console.print(f"{mark} {text} ({reasons[0]}{more}); --columns {column},... shows which")


def _fits(console: Console, table: Table, benchmarks: pd.Series) -> bool:
    """Return whether the table fits if benchmarks' names are folded to `_NARROWEST` characters."""
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


def _machine_column(frame: pd.DataFrame) -> list[str]:
    return ["machine"] if len(frame["machine"].unique()) > 1 else []


def _expand_cases(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str], str]:
    """Return ``frame`` with one column per parameter, the columns to show, and shared parameters.

    There are no columns to show if parameters have no names, or names of other columns.
    """
    pairs = [dict(_PAIR.findall(case)) for case in frame["case"]]
    names = list(dict.fromkeys(name for row in pairs for name in row))
    cases = [", ".join(f"{k}={v}" for k, v in row.items()) for row in pairs]
    if cases != list(frame["case"]) or set(names) & set(frame.columns):
        return frame, [], ""
    values = {name: [row.get(name, "") for row in pairs] for name in names}
    differing = [name for name in names if len(set(values[name])) > 1]
    expanded = frame.assign(**values, benchmark=_without_module(frame["benchmark"]))
    shared = ", ".join(f"{name}={values[name][0]}" for name in names if name not in differing)
    columns = [*_machine_column(frame), "commit_hash", "benchmark", *differing, "value"]
    return expanded, columns, shared


def _without_module(benchmarks: pd.Series) -> pd.Series:
    """Return the names without their first part, if that is the same in all."""
    first = benchmarks.str.partition(".")
    same = len(first[0].unique()) == 1 and (first[2] != "").all()
    return first[2] if same else benchmarks


def as_csv(frame: pd.DataFrame, columns: Sequence[str] | None) -> str:
    """Return rows as CSV, lists as JSON; all columns of the dataset if None."""
    rows = frame[list(columns or SCHEMA.names)].map(_nested_as_json)
    return rows.to_csv(index=False)


def as_json(frame: pd.DataFrame, columns: Sequence[str] | None) -> str:
    """Return rows as a JSON list of objects; all columns of the dataset if None."""
    rows = frame[list(columns or SCHEMA.names)].to_dict("records")
    plain = [{str(key): _plain(value) for key, value in row.items()} for row in rows]
    return json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _cell(name: str, row: dict[Any, Any]) -> str:
    """Return one value for a table: scaled units, short hashes, the length of lists."""
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
    """Return the value with its unit, a digest in hexadecimal, or the status if it is not ok."""
    if row["status"] != "ok":
        return str(row["status"])
    unit = None if pd.isna(row["unit"]) else str(row["unit"])
    is_digest = unit is not None and unit.startswith("sha256") and not pd.isna(row["digest"])
    text = str(row["digest"]) if is_digest else human(row["value"], unit)
    marks = [(_THROTTLED, row["throttle"]), (_MISMATCHED, row["mismatch"])]
    shown = "".join(mark for mark, reason in marks if isinstance(reason, str) and reason)
    return f"{text} {shown}" if shown else text


def _nested_as_json(value: Any) -> Any:
    return json.dumps(_plain(value)) if isinstance(value, np.ndarray | list) else value


def _plain(value: Any) -> Any:
    """Return ``value`` for strict JSON: times in ISO 8601, null if missing or infinite."""
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    if value is None or pd.isna(value) or (isinstance(value, float) and math.isinf(value)):
        return None
    return value.item() if isinstance(value, np.generic) else value
