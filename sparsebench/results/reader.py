"""The dataset back as a pandas DataFrame, with filters pushed down to Parquet."""

import json
from collections.abc import Iterable, Sequence
from functools import reduce
from pathlib import Path
from typing import Any, Final, TypedDict, Unpack, get_args

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from sparsebench.errors import SparsebenchError, unknown_name
from sparsebench.results.dataset.scan import Keep, Opened, open_dataset
from sparsebench.results.dataset.snapshot import Survey
from sparsebench.results.dataset.storage import first_line
from sparsebench.results.table.schema import SCHEMA, Status


class Filters(TypedDict, total=False):
    """Which rows: a value, or several of which any will do; None, or no value, means all.

    ``benchmark`` is a regular expression searched in the name (RE2: no look-around), ``commit`` the
    first characters of a hash, ``zeros`` a count or "all" for the whole block; all else must be
    equal.
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
    dataset: str | Path, *, columns: Sequence[str] | None = None, **filters: Unpack[Filters]
) -> pd.DataFrame:
    """The rows of ``dataset`` that match all ``filters``, by file, benchmark and commit date.

    Args:
        dataset: the folder or URI that `ingest` wrote to.
        columns: names of `schema.SCHEMA`, in the wanted order; None for all of them.
        filters: see `Filters`.

    Returns:
        A frame whose types do not depend on the rows: times have the zone UTC, integers are pandas'
        nullable ones, ``samples`` holds NumPy arrays, ``requirements`` and ``env_vars`` dicts. Of
        machines with one name and different hardware the name tells the hardware. It may be
        empty, but only where every filter alone matches something.

    Warns:
        DatasetWarning: a file is not readable as Parquet; it is skipped.

    Raises:
        SparsebenchError: no such dataset, a newer schema version, an unknown column or filter, or a
            filter's value that occurs nowhere in the dataset (near ones are listed). A status need
            not occur, but must be one of `schema.Status`.
    """
    return _to_frame(_matching(dataset, columns, dict(filters)))


def read_latest(
    dataset: str | Path, *, columns: Sequence[str] | None = None, **filters: Unpack[Filters]
) -> pd.DataFrame:
    """What ``latest(read(...))`` gives, without making a frame of what it leaves out."""
    wanted = list(columns or SCHEMA.names)
    needed = [*wanted, *(key for key in (*_SERIES, *_AGE) if key not in wanted)]
    return _to_frame(_newest(_matching(dataset, needed, dict(filters), _newest)).select(wanted))


def latest(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of the newest commit of each (project, machine, env_name, benchmark, case).

    Newest by commit_date; of equal dates the one started last. Rows keep their order.
    """
    ordered = frame.sort_values(["commit_date", "started_at"], na_position="first", kind="stable")
    return frame.loc[ordered.drop_duplicates(_SERIES, keep="last").index.sort_values()]


_SERIES: Final = ["project", "machine", "env_name", "benchmark", "case"]
_AGE: Final = ["commit_date", "started_at"]


def _newest(table: pa.Table) -> pa.Table:
    """The rows that `latest` keeps, found by codes instead of texts."""
    series, size = np.zeros(table.num_rows, dtype=np.int64), 1
    for name in _SERIES:
        codes, more = _codes(table[name])
        if size * more >= 2**63:
            series, known = pd.factorize(series)
            size = len(known)
        series, size = series * more + codes, size * more
    series = pd.factorize(series)[0]
    commit_date, started_at = (
        table[name].cast(pa.int64()).fill_null(-(2**62)).to_numpy() for name in _AGE
    )
    order = np.lexsort((started_at, commit_date))
    last = np.zeros(series.max(initial=-1) + 1, dtype=np.int64)
    last[series[order]] = order  # of several, the one that comes last stays
    return table.take(pa.array(np.sort(last)))


def _codes(column: pa.ChunkedArray) -> tuple["np.ndarray[Any, np.dtype[np.int64]]", int]:
    """A number a text, null included, and how many there may be."""
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    one = column.unify_dictionaries().combine_chunks()
    indices = one.indices.fill_null(len(one.dictionary))
    return indices.to_numpy().astype(np.int64), len(one.dictionary) + 1


def _matching(
    dataset: str | Path,
    columns: Sequence[str] | None,
    filters: dict[str, Any],
    keep: Keep | None = None,
) -> pa.Table:
    wanted = {name: value for name, value in filters.items() if value not in (None, (), [])}
    for kind, names, known in [
        ("column", columns or (), SCHEMA.names),
        ("filter", wanted, Filters.__annotations__),
    ]:
        _check_names(kind, names, known)
    source = open_dataset(dataset)
    rest = {name: value for name, value in wanted.items() if name != "machine"}
    machines = _matches("machine", wanted["machine"]) if "machine" in wanted else None
    matching = _expression(rest, source.known)
    table = source.table(columns or SCHEMA.names, matching, machines, keep)
    _check_names("status", _listed(wanted.get("status", ())), get_args(Status))
    if table.num_rows == 0 or any(len(_listed(value)) > 1 for value in wanted.values()):
        _check_values(source, wanted)
    return table


_INTEGERS: Final = {pa.int32(): pd.Int32Dtype(), pa.int64(): pd.Int64Dtype()}
_OBJECTS: Final = ("requirements", "env_vars")


def _to_frame(table: pa.Table) -> pd.DataFrame:
    table = table.cast(pa.schema([SCHEMA.field(name) for name in table.column_names]))
    for index, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            table = table.set_column(index, field.name, pc.assume_timezone(table[index], "UTC"))
    plain = [n for n in table.column_names if n not in _OBJECTS]
    frame: pd.DataFrame = table.select(plain).to_pandas(types_mapper=_INTEGERS.get)
    for place, name in enumerate(table.column_names):
        if name in _OBJECTS:
            frame.insert(place, name, _objects(table[name]))
    return frame


def _objects(column: pa.ChunkedArray) -> pd.Series:
    """A dict a row, the same one where the text is the same: there are few."""
    encoded = column.dictionary_encode().combine_chunks()
    known = [json.loads(text) for text in encoded.dictionary.to_pylist()]
    objects = [None if code is None else known[code] for code in encoded.indices.to_pylist()]
    return pd.Series(objects, dtype=object)


def _check_names(kind: str, names: Iterable[str], known: Iterable[str]) -> None:
    known = set(known)
    for name in names:
        if name not in known:
            raise SparsebenchError(unknown_name(kind, name, known))


_COLUMNS: Final = {"commit": "commit_hash"}  # filters that are not called like their column

# `zeros` is null for the whole block, and where there is no such parameter; the case tells which.
_WHOLE_BLOCK: Final = pc.match_substring_regex(
    pc.field("case").cast(pa.string()), r"(^|, )zeros=(all|None)(, |$)"
)


def _expression(filters: dict[str, Any], known: Survey) -> pc.Expression | None:
    """All filters in one; what is asked by a part of a name is looked up in ``known``."""
    parts = [
        _named(value, known.benchmarks())
        if name == "benchmark"
        else _matches("commit_hash", _begun(value, known.commits()))
        if name == "commit"
        else _matches(name, value)
        for name, value in filters.items()
    ]
    return reduce(lambda a, b: a & b, parts) if parts else None


def _begun(prefixes: Any, commits: Iterable[str]) -> list[str]:
    return [commit for commit in commits if commit.startswith(tuple(_listed(prefixes)))]


def _named(pattern: str, benchmarks: Sequence[str]) -> pc.Expression:
    """The benchmarks whose names match; their range is what Parquet's statistics can exclude."""
    names = pa.array(benchmarks, pa.string())
    found = names.filter(pc.match_substring_regex(names, _pattern(pattern)))
    field = pc.field("benchmark")
    if len(found) == 0:
        return field.isin(found)
    return (field >= found[0]) & (field <= found[-1]) & field.isin(found)


def _matches(name: str, value: Any) -> pc.Expression:
    if name == "zeros" and (rest := [v for v in _listed(value) if v != "all"]) != _listed(value):
        return _matches("zeros", rest) | _WHOLE_BLOCK
    return pc.field(name).isin(pa.array(_listed(value), SCHEMA.field(name).type))


def _listed(value: Any) -> list[Any]:
    return [value] if isinstance(value, str | int | float) else list(value)


def _check_values(source: Opened, filters: dict[str, Any]) -> None:
    """Refuse a filter whose value occurs nowhere, and list the near ones that do."""
    for name, value in filters.items():
        if name == "status":  # any of the vocabulary will do
            continue
        known = _stored_values(source, name)
        for one in _listed(value):
            if not any(_found(name, one, other) for other in known):
                names = {_short(name, other) for other in known}
                raise SparsebenchError(unknown_name(name, str(one), names))


def _stored_values(source: Opened, name: str) -> list[Any]:
    if name == "benchmark":
        return source.known.benchmarks()
    column = _COLUMNS.get(name, name)
    known = pc.unique(source.table([column])[column]).drop_null().to_pylist()
    whole = name == "zeros" and source.table([column], _WHOLE_BLOCK).num_rows > 0
    return [*known, "all"] if whole else known


def _found(name: str, wanted: Any, stored: Any) -> bool:
    if name == "benchmark":
        return bool(pc.match_substring_regex(pa.scalar(stored), wanted).as_py())
    return bool(stored.startswith(wanted) if name == "commit" else stored == wanted)


def _short(name: str, stored: Any) -> str:
    return stored[:8] if name == "commit" else str(stored)


def _pattern(text: str) -> str:
    try:
        pc.match_substring_regex(pa.scalar(""), text)
    except pa.ArrowInvalid as error:
        raise SparsebenchError(
            f"benchmark must be a regular expression (RE2), got {text!r}; {first_line(error)}"
        ) from None
    return text
