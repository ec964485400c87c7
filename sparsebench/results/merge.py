"""Which of two rows of one case stands: the rule for repeated and conflicting results of a commit.

The rows of a source are laid over those stored of the same project, machine, commit and
environment; a case is known by its benchmark and its parameters. A stored row whose case the source
does not hold stays. Of a case that both hold, the source's row stands unless it says less:

- A skipped row replaces nothing but a skipped row: asv writes NaN for every case that a partial run
  did not select.
- A failed or timed-out row replaces a value only if it was started later, with the same version of
  the benchmark. Where one of the times is not known, the value stays.
- A value without samples does not replace one that has samples, of the same version of the
  benchmark: `asv run` without --record-samples drops them.

Rows that were made of the same bytes as the source's are made anew, whatever they say.
"""

from collections import Counter
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from sparsebench.results.schema import SCHEMA

_Key = tuple[str, tuple[str, ...] | None, int]  # benchmark, parameters, which of several alike


@dataclass(frozen=True)
class Merged:
    """The rows to be stored, and how many of them were stored before."""

    table: pa.Table
    kept: int


@dataclass(frozen=True)
class _Row:
    """What decides about a row; ``index`` is its place in its table."""

    index: int
    status: str
    version: str | None
    started_at: int | None  # ms since 1970
    sampled: bool
    source: str


def merge(new: pa.Table, stored: pa.Table) -> Merged:
    """The rows of ``new``, then what stays of ``stored``; both are of one commit and environment.

    A stored row that wins against a new one of its case takes its place.

    Args:
        new: rows of `SCHEMA`, all of one source file.
        stored: rows of `SCHEMA`, or of an older one with fewer columns.
    """
    rows, before = _rows(new), _rows(stored := _conformed(stored))
    chosen = [_winner(row, before.get(key), new.num_rows) for key, row in rows.items()]
    made_of = {row.source for row in rows.values()}
    benchmarks = {benchmark for benchmark, _, _ in rows}
    for (benchmark, params, nth), old in before.items():
        # Null parameters: the row says that the whole benchmark could not be used; now it can.
        unusable = params is None and benchmark in benchmarks
        if (benchmark, params, nth) not in rows and old.source not in made_of and not unusable:
            chosen.append(new.num_rows + old.index)
    kept = sum(index >= new.num_rows for index in chosen)
    return Merged(pa.concat_tables([new, stored]).take(chosen) if kept else new, kept)


def _winner(row: _Row, old: _Row | None, offset: int) -> int:
    """Its place in the new rows followed by the stored ones, which begin at ``offset``."""
    return row.index if old is None or _replaces(row, old) else offset + old.index


def _replaces(row: _Row, old: _Row) -> bool:
    if row.source == old.source or old.status == "skipped":
        return True
    if row.status == "skipped":
        return False
    same = row.version == old.version
    if old.status == "ok" and row.status != "ok":
        return same and _later(row, old)
    return row.sampled or not old.sampled or not same


def _later(row: _Row, old: _Row) -> bool:
    if row.started_at is None or old.started_at is None:
        return False
    return row.started_at > old.started_at


def _rows(table: pa.Table) -> dict[_Key, _Row]:
    """By key, for asv lets a parameter's values repeat, and then no row may be lost."""
    sampled = pc.fill_null(pc.greater(pc.list_value_length(table["samples"]), 0), False)
    columns = [
        *(table[name].to_pylist() for name in ("benchmark", "params", "status")),
        table["benchmark_version"].to_pylist(),
        table["started_at"].cast(pa.int64()).to_pylist(),
        sampled.to_pylist(),
        table["source_sha256"].to_pylist(),
    ]
    seen: Counter[tuple[str, tuple[str, ...] | None]] = Counter()
    found = {}
    for index, (benchmark, params, *decisive) in enumerate(zip(*columns, strict=True)):
        case = benchmark, None if params is None else tuple(params)
        found[(*case, seen[case])] = _Row(index, *decisive)
        seen[case] += 1
    return found


def _conformed(table: pa.Table) -> pa.Table:
    """``table`` with the columns of `SCHEMA`; one that an older version lacked is null."""
    lacking = [name for name in SCHEMA.names if name not in table.column_names]
    for name in lacking:
        nulls = pa.nulls(table.num_rows, SCHEMA.field(name).type)
        table = table.append_column(name, nulls)
    return table.select(SCHEMA.names).cast(SCHEMA)
