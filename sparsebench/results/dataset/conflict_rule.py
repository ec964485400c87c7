"""Which of two rows of one case stands: the rule for repeated and conflicting results of a commit.

A case is known by its run (project, machine, commit, environment), its benchmark and its
parameters. Rows of one case are taken in the order in which they were ingested, and each next one
takes the place of the standing one unless it says less:

- The same measurement again (same start, same value) changes nothing, unless it is now known better
  how it was measured: asv's benchmarks.json describes today's benchmark, the first ingest saw the
  one that ran.
- A skipped row replaces nothing but a skipped row: asv writes NaN for every case that a partial run
  did not select.
- A failed or timed-out row replaces a value only if it was started later, with the same version of
  the benchmark. Where one of the times is not known, the value stays.
- A value without samples does not replace one that has samples, of the same version of the
  benchmark: `asv run` without --record-samples drops them.
- A value that was started earlier than the standing one does not replace it.
- A row that says that its whole benchmark could not be used gives way to the benchmark's rows.

What two machines wrote at once is merged by the same rule, in the order of their sequence numbers.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sparsebench.results.dataset.parquet_files import IDENTITY_COLUMNS, identities

NEEDED = (
    *IDENTITY_COLUMNS,
    *("benchmark", "params", "status", "value", "benchmark_version", "started_at", "samples"),
    *("source_sha256", "unit", "param_names", "fingerprint"),
)


@dataclass(frozen=True)
class _Row:
    """What decides about a row; ``index`` is its place among all rows."""

    index: int
    sequence: int
    status: str
    value: float | None
    version: str | None
    started_at: int | None  # ms since 1970
    sampled: bool
    source: str
    known: int  # how much is known of how it was measured


def settle(parts: Sequence[pa.Table], sequences: Sequence[Mapping[Any, int]]) -> pa.Table:
    """The rows that stand, in the order of the parts.

    Args:
        parts: tables of one and the same schema, which holds the columns `NEEDED`.
        sequences: for each part, when a run's rows were ingested, by `files.identities`.
    """
    standing: dict[tuple[Any, ...], _Row] = {}
    for row, key in sorted(_rows(parts, sequences), key=lambda pair: pair[0].sequence):
        old = standing.pop(key, None)  # so that the rows come in the order of the newest source
        standing[key] = row if old is None or _replaces(row, old) else old
    usable = {key[:2] for key in standing if key[2] is not None}
    chosen = [
        row.index for key, row in standing.items() if key[2] is not None or key[:2] not in usable
    ]
    return pa.concat_tables(parts).take(pa.array(chosen, pa.int64()))


def _replaces(row: _Row, old: _Row) -> bool:
    if (row.started_at, row.value, row.version) == (old.started_at, old.value, old.version) and (
        row.status == old.status
    ):
        return row.known > old.known or row.sampled > old.sampled
    if row.source == old.source or old.status == "skipped":
        return True
    if row.status == "skipped":
        return False
    same = row.version == old.version
    if old.status == "ok" and row.status != "ok":
        return same and _later(row, old)
    if row.status == "ok" and old.status == "ok" and same and row.sampled != old.sampled:
        return row.sampled
    return row.status != old.status or not _later(old, row)


def _later(row: _Row, old: _Row) -> bool:
    if row.started_at is None or old.started_at is None:
        return False
    return row.started_at > old.started_at


def _rows(
    parts: Sequence[pa.Table], sequences: Sequence[Mapping[Any, int]]
) -> list[tuple[_Row, tuple[Any, ...]]]:
    """Rows with their keys; asv lets a parameter's values repeat, and then no row may be lost."""
    found: list[tuple[_Row, tuple[Any, ...]]] = []
    for table, sequence in zip(parts, sequences, strict=True):
        runs = identities(table)
        sampled = pc.fill_null(pc.greater(pc.list_value_length(table["samples"]), 0), False)
        columns = [
            *(table[name].to_pylist() for name in ("status", "value", "benchmark_version")),
            table["started_at"].cast(pa.int64()).to_pylist(),
            sampled.to_pylist(),
            table["source_sha256"].to_pylist(),
            _known(table),
        ]
        cases = zip(table["benchmark"].to_pylist(), table["params"].to_pylist(), strict=True)
        seen: defaultdict[Any, Counter[Any]] = defaultdict(Counter)
        for run, case, *decisive in zip(runs, cases, *columns, strict=True):
            benchmark, params = case[0], None if case[1] is None else tuple(case[1])
            nth = seen[run][benchmark, params]
            seen[run][benchmark, params] += 1
            row = _Row(len(found), sequence.get(run, 0), *decisive)
            found.append((row, (run, benchmark, params, nth)))
    return found


def _known(table: pa.Table) -> list[int]:
    """How many of unit, parameters' names, and fingerprint beyond the runner are there."""
    units, names, prints = (
        table[name].to_pylist() for name in ("unit", "param_names", "fingerprint")
    )
    return [
        (unit is not None) + (name is not None) + (told is not None and told[:7] != "runner=")
        for unit, name, told in zip(units, names, prints, strict=True)
    ]
