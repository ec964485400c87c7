"""The rows of a dataset that count as an Arrow table; Parquet reads only what a filter needs.

Filters are given texts as dictionaries. Arrow compares those and looks them up, but matches no
pattern in them.
"""

import warnings
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pds

from sparsebench.errors import SparsebenchError, SparsebenchWarning
from sparsebench.results.dataset.conflict_rule import resolve
from sparsebench.results.dataset.parquet_files import HARDWARE_IDENTITY, DatasetFile, Hardware
from sparsebench.results.dataset.snapshot import Snapshot, parallel_requests, take_snapshot
from sparsebench.results.dataset.storage import Store, first_line, open_store, store_errors
from sparsebench.results.table.encoding import ENCODED_SCHEMA, TEXT_COLUMNS, encode_table
from sparsebench.results.table.schema import SCHEMA

_ATTEMPTS: Final = 5
_TYPES_CHANGED: Final = frozenset({"requirements", "env_vars"})  # in version 2
_PLAIN: Final = pds.ParquetFileFormat()
_ENCODED: Final = pds.ParquetFileFormat(dictionary_columns=TEXT_COLUMNS)

Reduce = Callable[[pa.Table], pa.Table]
MachineNames = dict[tuple[str, str], dict[Hardware, str]]  # by project and name


class DatasetWarning(SparsebenchWarning):
    """A file of the dataset could not be read, and its rows are missing."""


class _ReplacedError(Exception):
    """Another writer replaced a file that was to be read."""


def open_dataset(dataset: str | Path) -> "OpenDataset":
    """Return the dataset as it is now.

    Warns:
        DatasetWarning: a file is not readable as Parquet; it is skipped.

    Raises:
        SparsebenchError: there is none, it is of a newer schema version, or cannot be reached.
    """
    store = open_store(dataset)
    if not store.exists():
        raise SparsebenchError(f"{store.shown}: no such dataset; `sparsebench ingest` makes one")
    snapshot = take_snapshot(store)
    for problem in snapshot.problems.values():
        warnings.warn(problem, DatasetWarning, stacklevel=4)
    if not snapshot.files:
        raise SparsebenchError(f"{store.shown}: holds no results; `sparsebench ingest` stores some")
    return OpenDataset(store, snapshot)


@dataclass
class OpenDataset:
    """A dataset and the snapshot that its rows are read by."""

    store: Store
    snapshot: Snapshot

    def table(
        self,
        columns: Sequence[str],
        matching: pc.Expression | None = None,
        machines: pc.Expression | None = None,
        reduce: Reduce | None = None,
    ) -> pa.Table:
        """Return the rows that count and match, as columns of `ENCODED_SCHEMA`.

        If another writer replaces a file meanwhile, all is read again.

        Args:
            columns: names, in the order of the result.
            matching: a filter on other columns than the machine's name.
            machines: a filter on the machine's name; it includes the hardware if machines share it.
            reduce: what the caller will do to the table anyhow; done to parts, it saves memory.
        """
        for _ in range(_ATTEMPTS):
            try:
                with store_errors(self.store.shown, "cannot be read"):
                    return self._table(columns, matching, machines, reduce)
            except _ReplacedError:
                self.snapshot = take_snapshot(self.store, self.snapshot)
        raise SparsebenchError(
            f"{self.store.shown}: files are replaced faster than they can be read; try again"
        )

    def _table(
        self,
        columns: Sequence[str],
        matching: pc.Expression | None,
        machines: pc.Expression | None,
        reduce: Reduce | None,
    ) -> pa.Table:
        names = _shared_machine_names(self.snapshot)
        if not names:
            return self._current_rows(columns, _both(matching, machines), reduce)
        needed = list(dict.fromkeys([*columns, "project", "machine", *HARDWARE_IDENTITY]))
        table = _rename_machines(self._current_rows(needed, matching), names)
        return pds.dataset(table).to_table(columns=list(columns), filter=machines)

    def _current_rows(
        self, columns: Sequence[str], matching: pc.Expression | None, reduce: Reduce | None = None
    ) -> pa.Table:
        """Return the rows that count: commits that are in several files go by the conflict rule."""
        files = list(self.snapshot.files.values())
        commits = sorted({commit for _, commit, _ in self.snapshot.conflicts()})
        if not commits:
            return self._scan(files, columns, matching, reduce)
        conflicting = pc.field("commit_hash").isin(pa.array(commits))
        rest = self._scan(files, columns, _both(matching, ~conflicting), reduce)
        parts = [self._scan([file], SCHEMA.names, conflicting) for file in files]
        sequences = [self.snapshot.sequences(file) for file in files]
        resolved = pds.dataset(resolve(parts, sequences, self.snapshot.canonical))
        return pa.concat_tables([rest, resolved.to_table(columns=list(columns), filter=matching)])

    def _scan(
        self,
        files: Sequence[DatasetFile],
        columns: Sequence[str],
        matching: pc.Expression | None,
        reduce: Reduce | None = None,
    ) -> pa.Table:
        """Return the matching rows of files."""
        changed = _TYPES_CHANGED & set(columns)
        old = [file for file in files if changed and file.version < 2]
        new = [file for file in files if file not in old]
        tables = [self._read_old(file, columns, matching) for file in old]
        if reduce:
            with ThreadPoolExecutor(parallel_requests(self.store)) as pool:
                each = pool.map(lambda file: self._read([file], columns, matching), new)
                tables += map(reduce, each)
        elif new:
            tables.append(self._read(new, columns, matching))
        return pa.concat_tables(tables)

    def _read(
        self, files: Sequence[DatasetFile], columns: Sequence[str], matching: pc.Expression | None
    ) -> pa.Table:
        """Return the matching rows of files of today's types; damaged files are skipped.

        Columns that an older version lacks are null.
        """

        def read(fragments: list[pds.ParquetFileFragment]) -> pa.Table:
            system = self.store.system
            dataset = pds.FileSystemDataset(fragments, ENCODED_SCHEMA, _ENCODED, system)
            return dataset.to_table(columns=list(columns), filter=matching)

        try:
            with ThreadPoolExecutor(parallel_requests(self.store)) as pool:
                return read(list(pool.map(lambda file: self._fragment(file, matching), files)))
        except (OSError, pa.ArrowException):
            if any(self.store.gone(file.name) for file in files):
                raise _ReplacedError from None
        # The footers are readable, so some file's data is damaged: read one by one.
        tables = [ENCODED_SCHEMA.empty_table().select(list(columns))]
        for file in files:
            try:
                tables.append(read([self._fragment(file, matching)]))
            except (OSError, pa.ArrowException) as error:
                problem = f"{self.store.show(file.name)}: damaged, skipped ({first_line(error)})"
                warnings.warn(problem, DatasetWarning, stacklevel=8)
        return pa.concat_tables(tables)

    def _fragment(
        self, file: DatasetFile, matching: pc.Expression | None
    ) -> pds.ParquetFileFragment:
        """Return the row groups of a file that may hold matching rows.

        Arrow finds them only if texts are plain, but takes twice as long to read plain texts.
        """
        path, system = self.store.path(file.name), self.store.system
        if matching is None:
            return _ENCODED.make_fragment(path, system)
        subset = _PLAIN.make_fragment(path, system).subset(matching, schema=SCHEMA)
        row_groups = [group.id for group in subset.row_groups]
        return _ENCODED.make_fragment(path, system, row_groups=row_groups)

    def _read_old(
        self, file: DatasetFile, columns: Sequence[str], matching: pc.Expression | None
    ) -> pa.Table:
        """Return the matching rows of a file of an older schema version."""
        path, system = self.store.path(file.name), self.store.system
        try:
            source = pds.dataset(path, format="parquet", filesystem=system)
            fields = {field.name: field for field in source.schema}
            schema = pa.schema([fields.get(field.name, field) for field in SCHEMA])
            table = source.replace_schema(schema).to_table(columns=list(columns), filter=matching)
        except (OSError, pa.ArrowException):
            if self.store.gone(file.name):
                raise _ReplacedError from None
            raise
        return encode_table(table)


def _both(first: pc.Expression | None, second: pc.Expression | None) -> pc.Expression | None:
    if first is None or second is None:
        return second if first is None else first
    return first & second


def _shared_machine_names(snapshot: Snapshot) -> MachineNames:
    """Return names that distinguish machines of one name by hardware: "runner (cpu EPYC)"."""
    groups: defaultdict[tuple[str, str], set[Hardware]] = defaultdict(set)
    for group in snapshot.canonical.values():
        groups[group.project, group.name].add(group.hardware)
    names: MachineNames = defaultdict(dict)
    for machine, group in snapshot.canonical.items():
        variants = groups[machine.project, machine.name]
        if len(variants) > 1:
            differing = [
                i for i in range(len(HARDWARE_IDENTITY)) if len({v[i] for v in variants}) > 1
            ]
            parts = (f"{HARDWARE_IDENTITY[i]} {group.hardware[i]}" for i in differing)
            shown = f"{machine.name} ({', '.join(parts)})"
            names[machine.project, machine.name][machine.hardware] = shown
    return dict(names)


def _rename_machines(table: pa.Table, names: MachineNames) -> pa.Table:
    cache: dict[tuple[Any, ...], str] = {}
    machines = []
    columns = (table[name].to_pylist() for name in ("project", "machine", *HARDWARE_IDENTITY))
    for row in zip(*columns, strict=True):
        if row not in cache:
            project, machine, *hardware = row
            cache[row] = names.get((project, machine), {}).get(tuple(hardware), machine)
        machines.append(cache[row])
    index = table.column_names.index("machine")
    return table.set_column(index, "machine", pa.array(machines, pa.string()).dictionary_encode())
