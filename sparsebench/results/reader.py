"""The dataset back as a pandas DataFrame, with filters pushed down to Parquet."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from pathlib import Path
from typing import Any, Final, TypedDict, Unpack, get_args

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pds

from sparsebench.errors import SparsebenchError, SparsebenchWarning, unknown_name
from sparsebench.results.dataset import first_line, survey
from sparsebench.results.schema import SCHEMA, Status


class DatasetWarning(SparsebenchWarning):
    """A file of the dataset could not be read, and its rows are missing."""


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
    """The rows of ``dataset`` that match all ``filters``, in the order of files and then of asv.

    Args:
        dataset: the folder that `ingest` wrote.
        columns: names of `schema.SCHEMA`, in the wanted order; None for all of them.
        filters: see `Filters`.

    Returns:
        A frame whose types do not depend on the rows: times have the zone UTC, integers are pandas'
        nullable ones, ``samples`` holds NumPy arrays, ``requirements`` and ``env_vars`` lists of
        pairs. It may be empty, but only where every filter alone matches something.

    Warns:
        DatasetWarning: a file is not readable as Parquet; it is skipped.

    Raises:
        SparsebenchError: no such dataset, a newer schema version, an unknown column or filter, or a
            filter's value that occurs nowhere in the dataset (near ones are listed). A status need
            not occur, but must be one of `schema.Status`.
    """
    wanted = {name: value for name, value in filters.items() if value not in (None, (), [])}
    for kind, names, known in [
        ("column", columns or (), SCHEMA.names),
        ("filter", wanted, Filters.__annotations__),
    ]:
        _check_names(kind, names, known)
    source = _open(Path(dataset))
    table = _scan(source, columns, _expression(wanted))
    _check_names("status", _listed(wanted.get("status", ())), get_args(Status))
    if table.num_rows == 0 or any(len(_listed(value)) > 1 for value in wanted.values()):
        _check_values(source, wanted)
    return _to_frame(table)


def latest(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of the newest commit of each (project, machine, env_name, benchmark, case).

    Newest by commit_date; of equal dates the one started last. Rows keep their order.
    """
    ordered = frame.sort_values(["commit_date", "started_at"], na_position="first", kind="stable")
    keys = ["project", "machine", "env_name", "benchmark", "case"]
    return frame.loc[ordered.drop_duplicates(keys, keep="last").index.sort_values()]


def _open(dataset: Path) -> pds.Dataset:
    """All readable files as one; a column that an older file lacks is null."""
    if not dataset.exists():
        raise SparsebenchError(f"{dataset}: no such dataset; `sparsebench ingest` makes one")
    known = survey(dataset)
    for problem in known.problems.values():
        warnings.warn(problem, DatasetWarning, stacklevel=3)
    if not known.origins:
        raise SparsebenchError(f"{dataset}: holds no results; `sparsebench ingest` stores some")
    return pds.dataset([str(path) for path in known.origins], schema=SCHEMA, format="parquet")


_INTEGERS: Final = {pa.int32(): pd.Int32Dtype(), pa.int64(): pd.Int64Dtype()}


def _to_frame(table: pa.Table) -> pd.DataFrame:
    for index, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            table = table.set_column(index, field.name, pc.assume_timezone(table[index], "UTC"))
    frame: pd.DataFrame = table.to_pandas(types_mapper=_INTEGERS.get)
    return frame


def _scan(
    source: pds.Dataset, columns: Sequence[str] | None, matching: pc.Expression | None
) -> pa.Table:
    try:
        return source.to_table(columns=columns, filter=matching)
    except (OSError, pa.ArrowException):  # a whole footer over damaged data: find out whose
        whole = list(_whole_tables(source, columns, matching))
        return pa.concat_tables([SCHEMA.empty_table().select(columns or SCHEMA.names), *whole])


def _whole_tables(
    source: pds.Dataset, columns: Sequence[str] | None, matching: pc.Expression | None
) -> Iterator[pa.Table]:
    for fragment in source.get_fragments():
        try:
            yield fragment.to_table(schema=SCHEMA, columns=columns, filter=matching)
        except (OSError, pa.ArrowException) as error:
            problem = f"{fragment.path}: damaged, skipped ({first_line(error)})"
            warnings.warn(problem, DatasetWarning, stacklevel=5)


def _check_names(kind: str, names: Iterable[str], known: Iterable[str]) -> None:
    known = set(known)
    for name in names:
        if name not in known:
            raise SparsebenchError(unknown_name(kind, name, known))


_COLUMNS: Final = {"commit": "commit_hash"}  # filters that are not called like their column

# `zeros` is null for the whole block, and where there is no such parameter; the case tells which.
_WHOLE_BLOCK: Final = pc.match_substring_regex(pc.field("case"), r"(^|, )zeros=(all|None)(, |$)")


def _expression(filters: dict[str, Any]) -> pc.Expression | None:
    parts = [_matches(name, value) for name, value in filters.items()]
    return reduce(lambda a, b: a & b, parts) if parts else None


def _matches(name: str, value: Any) -> pc.Expression:
    if name == "benchmark":
        return pc.match_substring_regex(pc.field("benchmark"), _pattern(value))
    if name == "commit":
        anyone = [pc.starts_with(pc.field("commit_hash"), prefix) for prefix in _listed(value)]
        return reduce(lambda a, b: a | b, anyone)
    if name == "zeros" and (rest := [v for v in _listed(value) if v != "all"]) != _listed(value):
        return _matches("zeros", rest) | _WHOLE_BLOCK
    return pc.field(name).isin(pa.array(_listed(value), SCHEMA.field(name).type))


def _listed(value: Any) -> list[Any]:
    return [value] if isinstance(value, str | int | float) else list(value)


def _check_values(source: pds.Dataset, filters: dict[str, Any]) -> None:
    """Refuse a filter whose value occurs nowhere, and list the near ones that do."""
    for name, value in filters.items():
        if name == "status":  # any of the vocabulary will do
            continue
        known = _stored_values(source, name)
        for one in _listed(value):
            if not any(_found(name, one, other) for other in known):
                names = {_short(name, other) for other in known}
                raise SparsebenchError(unknown_name(name, str(one), names))


def _stored_values(source: pds.Dataset, name: str) -> list[Any]:
    column = _COLUMNS.get(name, name)
    known = pc.unique(_scan(source, [column], None)[column]).drop_null().to_pylist()
    whole = name == "zeros" and _scan(source, [column], _WHOLE_BLOCK).num_rows > 0
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
