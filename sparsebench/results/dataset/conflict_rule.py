"""Which of two rows of one case counts: the rule for repeated and conflicting results of a commit.

A case is identified by its run (project, machine, commit, environment), its benchmark and its
parameters. Rows of one case are taken in the order of ingestion. Each row replaces the one before
it unless it says less:

- The same measurement again (same start, same value) changes nothing, unless more is now known of
  how it was measured: asv's benchmarks.json describes today's benchmark, the first ingest read the
  one that ran. A recording beside the file may have come later.
- A skipped row replaces only a skipped row: asv writes NaN for each case that a partial run did not
  select.
- A failed or timed-out row replaces a value only if it was started later, with the same version of
  the benchmark. If one of the times is not known, the value is kept.
- A value without samples does not replace one with samples of the same version of the benchmark:
  `asv run` without --record-samples drops them.
- A value that was started earlier does not replace a later one.
- Any row of a benchmark replaces the row that says that the whole benchmark could not be used.

What two machines wrote at once is merged by the same rule, in the order of their sequence numbers.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sparsebench.results.dataset.parquet_files import Canonical, RunKey, run_keys


@dataclass(frozen=True)
class _Row:
    """What the rule looks at.

    Attributes:
        index: among the rows of all parts.
        sequence: of the row's run.
        started_at: ms since 1970.
        source: SHA-256 of the source file.
        details: how much is known of how it was measured.
    """

    index: int
    sequence: int
    status: str
    value: float | None
    version: str | None
    started_at: int | None
    sampled: bool
    source: str
    details: int


def resolve(
    parts: Sequence[pa.Table], sequences: Sequence[Mapping[RunKey, int]], canonical: Canonical
) -> pa.Table:
    """Return one row per case, in the order of the parts.

    Args:
        parts: tables with all columns of `SCHEMA`, of equal types.
        sequences: for each part, the sequence number of each run, by `run_keys`.
        canonical: see `canonical_machines`.
    """
    current: dict[tuple[Any, ...], _Row] = {}
    for row, key in sorted(_rows(parts, sequences, canonical), key=lambda pair: pair[0].sequence):
        old = current.pop(key, None)  # so that rows are in the order of the newest source
        current[key] = row if old is None or _replaces(row, old) else old
    usable = {key[:2] for key in current if key[2] is not None}
    chosen = [
        row.index for key, row in current.items() if key[2] is not None or key[:2] not in usable
    ]
    return pa.concat_tables(parts).take(pa.array(chosen, pa.int64()))


def _replaces(row: _Row, old: _Row) -> bool:
    same_version = row.version == old.version
    if (row.started_at, row.value, row.status) == (old.started_at, old.value, old.status) and (
        same_version
    ):
        return row.details > old.details or row.sampled > old.sampled
    if row.source == old.source or old.status == "skipped":
        return True
    if row.status == "skipped":
        return False
    if old.status == "ok" and row.status != "ok":
        return same_version and _later(row, old)
    if row.status == "ok" and old.status == "ok" and same_version and row.sampled != old.sampled:
        return row.sampled
    return row.status != old.status or not _later(old, row)


def _later(row: _Row, old: _Row) -> bool:
    if row.started_at is None or old.started_at is None:
        return False
    return row.started_at > old.started_at


def _rows(
    parts: Sequence[pa.Table], sequences: Sequence[Mapping[RunKey, int]], canonical: Canonical
) -> list[tuple[_Row, tuple[Any, ...]]]:
    """Return rows with their keys: run, benchmark, parameters, and a number.

    asv allows a parameter's values to repeat. The number keeps such rows apart.
    """
    rows: list[tuple[_Row, tuple[Any, ...]]] = []
    for table, sequence in zip(parts, sequences, strict=True):
        columns = {
            name: table[name].to_pylist()
            for name in ("benchmark", "params", "status", "value", "benchmark_version")
        }
        sampled = pc.fill_null(pc.greater(pc.list_value_length(table["samples"]), 0), False)
        counts: defaultdict[RunKey, Counter[Any]] = defaultdict(Counter)
        for run, benchmark, params, *fields in zip(
            run_keys(table, canonical),
            *columns.values(),
            table["started_at"].cast(pa.int64()).to_pylist(),
            sampled.to_pylist(),
            table["source_sha256"].to_pylist(),
            _details(table),
            strict=True,
        ):
            case = benchmark, None if params is None else tuple(params)
            number = counts[run][case]
            counts[run][case] += 1
            rows.append((_Row(len(rows), sequence.get(run, 0), *fields), (run, *case, number)))
    return rows


def _details(table: pa.Table) -> list[int]:
    """Return how many of unit, names, fingerprint (beyond the runner) and versions are there."""
    names = ("unit", "param_names", "fingerprint", "versions")
    return [
        (unit is not None)
        + (param_names is not None)
        + (text is not None and text[:7] != "runner=")
        + (versions is not None)
        for unit, param_names, text, versions in zip(
            *(table[name].to_pylist() for name in names), strict=True
        )
    ]
