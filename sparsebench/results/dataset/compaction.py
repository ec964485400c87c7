"""Rewriting files of the dataset as fewer: conflicts are resolved, small files become large ones.

A new file that names those it replaces is written first, and only then the old ones are deleted. So
whoever reads or writes meanwhile sees each row in one of them or in both, and knows which counts.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sparsebench.errors import SparsebenchError
from sparsebench.results.dataset.conflict_rule import resolve
from sparsebench.results.dataset.parquet_files import (
    DatasetFile,
    RunKey,
    merge_runs,
    run_keys,
    write_file,
)
from sparsebench.results.dataset.snapshot import Snapshot, take_snapshot
from sparsebench.results.dataset.storage import Store, open_store, store_errors
from sparsebench.results.table.encoding import TEXT_COLUMNS, encode_table
from sparsebench.results.table.schema import SCHEMA, SCHEMA_VERSION

# The largest size of a file, so that a fleet's history of millions of rows is a few files, and to
# merge one takes well under 1 GB: some 700 MB for these rows, 600 MB for these bytes with samples.
FILE_ROWS: Final = 500_000
FILE_BYTES: Final = 32_000_000


@dataclass(frozen=True)
class Compacted:
    """What a compaction did.

    Attributes:
        before: how many files there were.
        after: how many files there are.
        rows: how many rows they have.
        problems: one line each that starts with a path.
    """

    before: int
    after: int
    rows: int
    problems: tuple[str, ...]


def compact(dataset: str | Path) -> Compacted:
    """Merge small files into files of up to half a million rows or 32 MB, by project and machine.

    Readers and writers may go on meanwhile, also on other machines. Conflicts are resolved by the
    rule of `sparsebench.results.dataset.conflict_rule`, files of an older schema version are
    converted to today's, and leftovers of killed writers are removed. An interrupted compaction
    loses nothing.

    Raises:
        SparsebenchError: the dataset is of a newer schema version, or cannot be read or written.
    """
    store = open_store(dataset)
    before = take_snapshot(store)
    snapshot = resolve_conflicts(store, before)
    for names in _small_files(snapshot):
        rewrite(store, snapshot, names)
    store.remove_abandoned()
    after = take_snapshot(store, snapshot)
    for name in after.replaced:
        store.remove(name)
    return Compacted(
        before=len(before.files) + len(before.replaced),
        after=len(after.files),
        rows=sum(file.rows for file in after.files.values()),
        problems=tuple(after.problems.values()),
    )


def resolve_conflicts(store: Store, snapshot: Snapshot) -> Snapshot:
    """Write the runs that are in several files into one, and return the snapshot after that."""
    groups: list[set[str]] = []  # files that share runs, directly or through others
    for names in {frozenset(runs) for runs in snapshot.conflicts().values()}:
        overlapping = [group for group in groups if group & names]
        groups = [group for group in groups if not group & names]
        groups.append(set(names).union(*overlapping))
    if not groups:
        return snapshot
    for group in groups:
        rewrite(store, snapshot, sorted(group))
    return take_snapshot(store, snapshot)


def rewrite(store: Store, snapshot: Snapshot, names: Sequence[str]) -> None:
    """Store the rows of some files as one file per project and machine, then delete those files.

    Nothing is done if another writer has replaced one of them; that writer resolves conflicts too.

    Raises:
        SparsebenchError: a file cannot be read, or the new one not be written; nothing is lost.
    """
    files = [snapshot.files[name] for name in names]
    tables = [table for file in files if (table := read_encoded(store, file)) is not None]
    if len(tables) < len(files):
        return
    runs_of = defaultdict(list)  # by project and machine
    for run in merge_runs(run for file in files for run in file.runs):
        runs_of[run.machine.project, run.machine.name].append(run)
    rows = _merge_rows(snapshot, files, tables)
    obsolete = [*names, *(n for file in files for n in file.replaces if n in snapshot.replaced)]
    for owner, runs in runs_of.items():
        if len(runs_of) == 1:
            owned = rows
        else:
            machines = (machine for machine, _, _ in run_keys(rows))
            owned = rows.filter(pa.array([(m.project, m.name) == owner for m in machines]))
        write_file(store, _sort_rows(owned), runs, obsolete)
    for name in obsolete:
        store.remove(name)


def read_encoded(store: Store, file: DatasetFile) -> pa.Table | None:
    """Return all rows of a file with the columns of `ENCODED_SCHEMA`; None if it is gone."""
    old = file.version < SCHEMA_VERSION  # it may have other types
    try:
        with store_errors(store.show(file.name), "cannot be read"), store.open(file.name) as source:
            table = pq.ParquetFile(source, read_dictionary=None if old else TEXT_COLUMNS).read()
    except SparsebenchError:
        if store.gone(file.name):
            return None
        raise
    for field in SCHEMA:
        if field.name not in table.column_names:
            table = table.append_column(field, pa.nulls(table.num_rows, field.type))
    return encode_table(table.select(SCHEMA.names))


def _merge_rows(
    snapshot: Snapshot, files: Sequence[DatasetFile], tables: Sequence[pa.Table]
) -> pa.Table:
    """Return the rows of several files; only runs that are in several need the conflict rule."""
    canonical = snapshot.canonical
    sequences = [snapshot.sequences(file) for file in files]
    counts: Counter[RunKey] = Counter(key for numbers in sequences for key in numbers)
    conflicts = {key for key, count in counts.items() if count > 1}
    if not conflicts:
        return pa.concat_tables(tables)
    masks = [pa.array([key in conflicts for key in run_keys(table, canonical)]) for table in tables]
    parts = [table.filter(mask) for table, mask in zip(tables, masks, strict=True)]
    rest = [table.filter(pc.invert(mask)) for table, mask in zip(tables, masks, strict=True)]
    return pa.concat_tables([*rest, resolve(parts, sequences, canonical)])


def _sort_rows(table: pa.Table) -> pa.Table:
    """Return the rows by benchmark and commit date; equal ones in their order, which is asv's."""
    table = table.unify_dictionaries().combine_chunks()
    if table.num_rows == 0:
        return table
    names = table["benchmark"].chunk(0)
    rank = np.argsort(np.argsort(np.array(names.dictionary.to_pylist())))
    codes = rank[names.indices.to_numpy(zero_copy_only=False)]
    dates = table["commit_date"].cast(pa.int64()).fill_null(0).to_numpy()
    commits = table["commit_hash"].chunk(0).indices.to_numpy(zero_copy_only=False)
    return table.take(pa.array(np.lexsort((commits, dates, codes))))


def _small_files(snapshot: Snapshot) -> Iterable[list[str]]:
    """Yield sets of files to become one each: files of a folder that together are not too large.

    A file of today's version that is large enough, or alone in its set, is left as it is.
    """
    folders: defaultdict[str, list[DatasetFile]] = defaultdict(list)
    for name, file in snapshot.files.items():
        folders[name.rpartition("/")[0]].append(file)
    for files in folders.values():
        groups = [[file] for file in files if _fullness(file) >= 0.5]
        filled = 1.0
        for file in sorted((f for f in files if _fullness(f) < 0.5), key=_fullness):
            if filled + _fullness(file) > 1:
                groups.append([])
                filled = 0
            groups[-1].append(file)
            filled += _fullness(file)
        yield from (
            [file.name for file in group]
            for group in groups
            if len(group) > 1 or group[0].version < SCHEMA_VERSION
        )


def _fullness(file: DatasetFile) -> float:
    """Return the size of a file as a fraction of the largest allowed one."""
    return max(file.rows / FILE_ROWS, file.size / FILE_BYTES)
