"""The dataset as a pandas DataFrame, with filters that Parquet applies while it reads."""

import functools
import json
import operator
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, TypedDict, Unpack, get_args

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from sparsebench.errors import SparsebenchError, unknown_name
from sparsebench.results.dataset.scan import OpenDataset, Reduce, open_dataset
from sparsebench.results.dataset.snapshot import Snapshot
from sparsebench.results.dataset.storage import first_line
from sparsebench.results.table.encoding import ENCODED_SCHEMA
from sparsebench.results.table.schema import SCHEMA, Status

Integers = np.ndarray[Any, np.dtype[np.int64]]


class Filters(TypedDict, total=False):
    """Which rows to read: one value, or several of which any matches; None or no value: all rows.

    ``benchmark`` is a regular expression that is searched in the name (RE2: no look-around),
    ``commit`` the first characters of a hash, ``zeros`` a count or "all" for the whole block.
    ``python`` and ``torch`` may lack the last parts: 2.13 and 2.13.0 match "2.13.0+cpu". All other
    values must be equal.
    """

    benchmark: str | None
    commit: str | Sequence[str] | None
    project: str | Sequence[str] | None
    machine: str | Sequence[str] | None
    env_name: str | Sequence[str] | None
    python: str | Sequence[str] | None
    torch: str | Sequence[str] | None
    type: str | Sequence[str] | None
    status: str | Sequence[str] | None
    case: str | Sequence[str] | None
    shape: str | Sequence[str] | None
    level: float | Sequence[float] | None
    block: str | Sequence[str] | None
    zeros: int | str | Sequence[int | str] | None
    device: str | Sequence[str] | None
    dtype: str | Sequence[str] | None
    weights: str | Sequence[str] | None
    implementation: str | Sequence[str] | None


def read(
    dataset: str | Path,
    *,
    columns: Sequence[str] | None = None,
    categories: bool = False,
    **filters: Unpack[Filters],
) -> pd.DataFrame:
    """Return the rows of ``dataset`` that match all ``filters``, by file, benchmark, commit date.

    Args:
        dataset: the folder or URI that `ingest` wrote to.
        columns: names of `schema.SCHEMA`, in the order of the result; None for all of them.
        categories: texts as pandas' categories: of millions of rows a fifth of the memory, and a
            fraction of the time.
        filters: see `Filters`.

    Returns:
        A frame whose types do not depend on the rows. Times have the zone UTC, integers are pandas'
        nullable ones, ``samples`` holds NumPy arrays, ``requirements``, ``env_vars``, ``versions``
        and ``gpu_states`` hold dicts.
        If machines share a name and differ in hardware, ``machine`` includes the hardware. The
        frame may be empty, but only if each filter alone matches something.

    Warns:
        DatasetWarning: a file is not readable as Parquet; it is skipped.

    Raises:
        SparsebenchError: no such dataset, a newer schema version, an unknown column or filter, or a
            filter's value that is nowhere in the dataset (near ones are listed). A status need not
            be there, but must be one of `schema.Status`.
    """
    return _to_frame(_matching_rows(dataset, columns, dict(filters)), categories)


def read_latest(
    dataset: str | Path, *, columns: Sequence[str] | None = None, **filters: Unpack[Filters]
) -> pd.DataFrame:
    """Return what ``latest(read(...))`` returns, without a frame of all rows on the way."""
    chosen = list(columns or SCHEMA.names)
    needed = list(dict.fromkeys([*chosen, *SERIES, *_AGE]))
    table = _matching_rows(dataset, needed, dict(filters), _latest_rows)
    return _to_frame(_latest_rows(table).select(chosen))


VERSIONED: Final = ("python", "torch")  # columns whose filters match by the first parts

SERIES: Final = ["project", "machine", "env_name", "benchmark", "case"]
_AGE: Final = ["started_at", "commit_date"]  # the last one is compared first


def latest(frame: pd.DataFrame, series: Sequence[str] = SERIES) -> pd.DataFrame:
    """Return the newest row of each series: per project, machine, env_name, benchmark and case.

    Newest by commit_date; of equal dates the one that was started last, then the last row. Rows
    keep their order.

    Args:
        frame: rows with ``commit_date`` and ``started_at``.
        series: the columns that identify a series.
    """
    codes = [np.asarray(pd.factorize(frame[name])[0], dtype=np.int64) for name in series]
    ages = [np.asarray(frame[name].astype("int64"), dtype=np.int64) for name in _AGE]
    return frame.iloc[_newest(codes, ages)]


def _latest_rows(table: pa.Table) -> pa.Table:
    """Return the rows that `latest` returns; texts are dictionaries and need not be compared."""
    columns = [table[name].unify_dictionaries().combine_chunks() for name in SERIES]
    codes = [column.indices.fill_null(-1).to_numpy() for column in columns]
    ages = [table[name].cast(pa.int64()).fill_null(-(2**63)).to_numpy() for name in _AGE]
    return table.take(pa.array(_newest(codes, ages)))


def _newest(codes: Sequence[Integers], ages: Sequence[Integers]) -> Integers:
    """Return the sorted indices of the newest row of each series.

    Args:
        codes: of each column that identifies a series, a number per row; -1 for null.
        ages: see `_AGE`; of equal ones the last row is the newest.
    """
    series, size = np.zeros(len(codes[0]), dtype=np.int64), 1
    for column in codes:
        count = int(column.max(initial=-1)) + 2
        if size * count >= 2**63:
            series, unique = pd.factorize(series)
            size = len(unique)
        series, size = series * count + column + 1, size * count
    series = pd.factorize(series)[0]
    order = np.lexsort(ages)
    newest = np.zeros(series.max(initial=-1) + 1, dtype=np.int64)
    newest[series[order]] = order  # of several, the last one is stored
    return np.sort(newest)


_INTEGERS: Final = {pa.int32(): pd.Int32Dtype(), pa.int64(): pd.Int64Dtype()}
_OBJECTS: Final = ("requirements", "env_vars", "versions", "gpu_states")


def _to_frame(table: pa.Table, categories: bool = False) -> pd.DataFrame:
    types = [
        (ENCODED_SCHEMA if categories and name not in _OBJECTS else SCHEMA).field(name)
        for name in table.column_names
    ]
    table = table.cast(pa.schema(types))
    for index, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            table = table.set_column(index, field.name, pc.assume_timezone(table[index], "UTC"))
    plain = [name for name in table.column_names if name not in _OBJECTS]
    frame: pd.DataFrame = table.select(plain).to_pandas(types_mapper=_INTEGERS.get)
    for index, name in enumerate(table.column_names):
        if name in _OBJECTS:  # equal texts, of which there are few, share one dict
            encoded = table[name].dictionary_encode().combine_chunks()
            dicts = [json.loads(text) for text in encoded.dictionary.to_pylist()]
            codes = encoded.indices.to_pylist()
            values = [None if code is None else dicts[code] for code in codes]
            frame.insert(index, name, pd.Series(values, dtype=object))
    return frame


def _matching_rows(
    dataset: str | Path,
    columns: Sequence[str] | None,
    filters: dict[str, Any],
    reduce: Reduce | None = None,
) -> pa.Table:
    """Check the filters and return the rows that match, see `OpenDataset.table`."""
    filters = {name: value for name, value in filters.items() if value not in (None, (), [])}
    _check_names("column", columns or (), SCHEMA.names)
    _check_names("filter", filters, Filters.__annotations__)
    source = open_dataset(dataset)
    parts = [
        _filter_expression(name, value, source.snapshot)
        for name, value in filters.items()
        if name != "machine"
    ]
    matching = functools.reduce(operator.and_, parts) if parts else None
    machines = _is_in("machine", filters["machine"]) if "machine" in filters else None
    table = source.table(columns or SCHEMA.names, matching, machines, reduce)
    _check_names("status", _as_list(filters.get("status", ())), get_args(Status))
    if table.num_rows == 0 or any(len(_as_list(value)) > 1 for value in filters.values()):
        _check_values(source, filters)
    return table


# `zeros` is null for the whole block, and if there is no such parameter; the case tells which.
_WHOLE_BLOCK: Final = pc.match_substring_regex(
    pc.field("case").cast(pa.string()), r"(^|, )zeros=(all|None)(, |$)"
)


def _filter_expression(name: str, value: Any, snapshot: Snapshot) -> pc.Expression:
    """Return a filter as Arrow has it; parts of names are looked up in the snapshot."""
    if name == "commit":
        prefixes = tuple(_as_list(value))
        return _is_in("commit_hash", [c for c in snapshot.commits() if c.startswith(prefixes)])
    if name in VERSIONED:
        pattern = "|".join(f"^{re.escape(str(v))}($|[.+])" for v in _as_list(value))
        return pc.match_substring_regex(pc.field(name).cast(pa.string()), pattern)
    if name != "benchmark":
        return _is_in(name, value)
    benchmarks = pa.array(snapshot.benchmarks(), pa.string())
    try:
        names = benchmarks.filter(pc.match_substring_regex(benchmarks, value))
    except pa.ArrowInvalid as error:
        raise SparsebenchError(
            f"benchmark must be a regular expression (RE2), got {value!r}; {first_line(error)}"
        ) from None
    field = pc.field("benchmark")
    if len(names) == 0:
        return field.isin(names)
    # Parquet's statistics exclude row groups by the range.
    return (field >= names[0]) & (field <= names[-1]) & field.isin(names)


def _matches(name: str, stored: Any, wanted: Any) -> bool:
    """Return whether a filter's value selects a stored one, other than by regular expression."""
    if name == "commit":
        return bool(stored.startswith(wanted))
    if name in VERSIONED:
        return bool(re.match(f"{re.escape(str(wanted))}($|[.+])", stored))
    return bool(stored == wanted)


def _is_in(name: str, value: Any) -> pc.Expression:
    values = _as_list(value)
    if name == "zeros" and "all" in values:
        return _is_in("zeros", [v for v in values if v != "all"]) | _WHOLE_BLOCK
    return pc.field(name).isin(pa.array(values, SCHEMA.field(name).type))


def _as_list(value: Any) -> list[Any]:
    return [value] if isinstance(value, str | int | float) else list(value)


def _check_names(kind: str, names: Iterable[str], allowed: Iterable[str]) -> None:
    allowed = set(allowed)
    for name in names:
        if name not in allowed:
            raise SparsebenchError(unknown_name(kind, name, allowed))


def _check_values(source: OpenDataset, filters: dict[str, Any]) -> None:
    """Raise an error for a filter's value that is nowhere in the dataset, and list near ones.

    Raises:
        SparsebenchError: there is such a value.
    """
    for name, value in filters.items():
        if name == "status":  # each status is allowed
            continue
        if name == "benchmark":
            stored = source.snapshot.benchmarks()
            if not pc.any(pc.match_substring_regex(pa.array(stored, pa.string()), value)).as_py():
                raise SparsebenchError(unknown_name(name, value, set(stored)))
            continue
        column = "commit_hash" if name == "commit" else name
        stored = pc.unique(source.table([column])[column]).drop_null().to_pylist()
        if name == "zeros" and source.table([column], _WHOLE_BLOCK).num_rows > 0:
            stored.append("all")
        for wanted in _as_list(value):
            is_commit = name == "commit"
            if not any(_matches(name, v, wanted) for v in stored):
                names = {v[:8] if is_commit else str(v) for v in stored}
                raise SparsebenchError(unknown_name(name, str(wanted), names))
