"""Files of the dataset made into fewer: conflicts are settled, small files become large ones.

A new file that names those it replaces comes first, and only then the old ones go. So whoever reads
or writes meanwhile sees each row in one of them or in both, and knows which counts.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sparsebench.errors import SparsebenchError
from sparsebench.results.dataset.conflict_rule import settle
from sparsebench.results.dataset.parquet_files import File, Run, combined, identities, write_file
from sparsebench.results.dataset.snapshot import Key, Survey, survey
from sparsebench.results.dataset.storage import Store, open_store, telling
from sparsebench.results.table.encoding import TEXT, encoded
from sparsebench.results.table.schema import SCHEMA, SCHEMA_VERSION

# At most this much is one file, so that a fleet's history of millions is a few of them, and merging
# such a one takes well under 1 GB: some 700 MB of rows, 600 MB where they hold samples.
FILE_ROWS: Final = 500_000
FILE_BYTES: Final = 32_000_000


@dataclass(frozen=True)
class Compacted:
    """How many files there were and are; ``problems`` are one line each and start with a path."""

    before: int
    after: int
    rows: int
    problems: tuple[str, ...]


def compact(dataset: str | Path) -> Compacted:
    """Merge small files into files of up to half a million rows or 32 MB, by project and machine.

    Readers and writers go on meanwhile, also on other machines. Conflicts are settled by the rule
    of `sparsebench.results.dataset.conflict_rule`, files of an older schema version are brought to
    today's, and what killed writers left is removed. An interrupted compaction loses nothing.

    Raises:
        SparsebenchError: the dataset is of a newer schema version, or cannot be read or written.
    """
    store = open_store(dataset)
    before = survey(store)
    known = settle_conflicts(store, before)
    for names in _small(known):
        rewrite(store, known, names)
    store.remove_abandoned()
    after = survey(store, known)
    for name in after.replaced:
        store.remove(name)
    rows = sum(file.rows for file in after.files.values())
    lines = tuple(after.problems.values())
    return Compacted(len(before.files) + len(before.replaced), len(after.files), rows, lines)


def settle_conflicts(store: Store, known: Survey) -> Survey:
    """Write the runs that lie in several files into one, and give the survey after that."""
    groups = _groups(known.contested())
    if not groups:
        return known
    for names in groups:
        rewrite(store, known, names)
    return survey(store, known)


def rewrite(store: Store, known: Survey, names: Sequence[str]) -> None:
    """Store the rows of some files as one a project and machine, then remove those files.

    Nothing happens where another writer has replaced one of them: it settles what it finds.

    Raises:
        SparsebenchError: a file cannot be read, or the new one not be written; nothing is lost.
    """
    files = [known.files[name] for name in names]
    tables = [table for file in files if (table := read_encoded(store, file)) is not None]
    if len(tables) < len(files):
        return
    owners = defaultdict(list)
    for run in combined(run for file in files for run in file.runs):
        owners[run.machine.project, run.machine.name].append(run)
    settled = standing_rows(files, tables)
    gone = [*names, *(n for file in files for n in file.replaces if n in known.replaced)]
    for owner, runs in owners.items():
        mine = settled if len(owners) == 1 else _of(settled, owner)
        write_file(store, in_order(mine), runs, gone)
    for name in gone:
        store.remove(name)


def read_encoded(store: Store, file: File) -> pa.Table | None:
    """All rows of a file, with the columns of `ENCODED`; None if it has gone."""
    old = file.version < SCHEMA_VERSION  # it may have other types
    try:
        with telling(store.show(file.name), "cannot be read"), store.open(file.name) as source:
            table = pq.ParquetFile(source, read_dictionary=None if old else TEXT).read()
    except SparsebenchError:
        if store.gone(file.name):
            return None
        raise
    for field in SCHEMA:
        if field.name not in table.column_names:
            table = table.append_column(field, pa.nulls(table.num_rows, field.type))
    return encoded(table.select(SCHEMA.names))


def standing_rows(files: Sequence[File], tables: Sequence[pa.Table]) -> pa.Table:
    """The rows of several files, of which only contested runs need to be looked at one by one."""
    seen: defaultdict[Key, int] = defaultdict(int)
    for file in files:
        for run in file.runs:
            seen[run.key] += 1
    contested = {key for key, count in seen.items() if count > 1}
    if not contested:
        return pa.concat_tables(tables)
    masks = [pa.array([key in contested for key in identities(table)]) for table in tables]
    sequences = [{run.key: run.sequence for run in file.runs} for file in files]
    parts = [table.filter(mask) for table, mask in zip(tables, masks, strict=True)]
    rest = [t.filter(pa.compute.invert(m)) for t, m in zip(tables, masks, strict=True)]
    return pa.concat_tables([*rest, settle(parts, sequences)])


def in_order(table: pa.Table) -> pa.Table:
    """The rows by benchmark and commit date; of equal ones the order stays, asv's own."""
    table = table.unify_dictionaries().combine_chunks()
    if table.num_rows == 0:
        return table
    names = table["benchmark"].chunk(0)
    rank = np.argsort(np.argsort(np.array(names.dictionary.to_pylist())))
    codes = rank[names.indices.to_numpy(zero_copy_only=False)]
    dates = table["commit_date"].cast(pa.int64()).fill_null(0).to_numpy()
    commits = table["commit_hash"].chunk(0).indices.to_numpy(zero_copy_only=False)
    return table.take(pa.array(np.lexsort((commits, dates, codes))))


def _of(table: pa.Table, owner: tuple[str, str]) -> pa.Table:
    keys = identities(table)
    return table.filter(pa.array([(m.project, m.name) == owner for m, _, _ in keys]))


def _groups(contested: dict[Key, dict[str, Run]]) -> list[list[str]]:
    """The files that share runs, directly or through a third."""
    groups: list[set[str]] = []
    for names in {frozenset(holding) for holding in contested.values()}:
        touching = [group for group in groups if group & names]
        groups = [group for group in groups if not group & names]
        groups.append(set(names).union(*touching))
    return [sorted(group) for group in groups]


def _small(known: Survey) -> Iterable[list[str]]:
    """Sets of files to be made one each: neighbours in a folder that together are not too large.

    A file that is large enough, of today's version and without small neighbours, stays.
    """
    folders: defaultdict[str, list[File]] = defaultdict(list)
    for name, file in known.files.items():
        folders[name.rpartition("/")[0]].append(file)
    for files in folders.values():
        chosen = [[file] for file in files if _share(file) >= 0.5]
        filled = 1.0
        for file in sorted((f for f in files if _share(f) < 0.5), key=_share):
            if filled + _share(file) > 1:
                chosen.append([])
                filled = 0
            chosen[-1].append(file)
            filled += _share(file)
        yield from (
            [file.name for file in group]
            for group in chosen
            if len(group) > 1 or group[0].version < SCHEMA_VERSION
        )


def _share(file: File) -> float:
    """How much of a file at its largest it is."""
    return max(file.rows / FILE_ROWS, file.size / FILE_BYTES)
