"""The standing rows of a dataset as an Arrow table, with columns and filters pushed to Parquet.

Filters see texts as dictionaries: of these Arrow compares and looks up, but matches no pattern.
"""

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pds

from sparsebench.errors import SparsebenchError, SparsebenchWarning
from sparsebench.results.dataset.conflict_rule import settle
from sparsebench.results.dataset.parquet_files import HARDWARE_IDENTITY, File
from sparsebench.results.dataset.snapshot import Survey, at_once, survey
from sparsebench.results.dataset.storage import Store, first_line, open_store, telling
from sparsebench.results.table.encoding import ENCODED, TEXT, encoded
from sparsebench.results.table.schema import SCHEMA, SCHEMA_VERSION

_TRIES: Final = 5
_TYPES_CHANGED: Final = frozenset({"requirements", "env_vars"})  # since version 1
_PLAIN: Final = pds.ParquetFileFormat()
_ENCODED: Final = pds.ParquetFileFormat(dictionary_columns=TEXT)


Keep = Callable[[pa.Table], pa.Table]


class DatasetWarning(SparsebenchWarning):
    """A file of the dataset could not be read, and its rows are missing."""


def open_dataset(dataset: str | Path) -> "Opened":
    """The dataset as it is now.

    Raises:
        SparsebenchError: there is none, it is of a newer schema version, or out of reach.
    """
    store = open_store(dataset)
    if not store.exists():
        raise SparsebenchError(f"{store.shown}: no such dataset; `sparsebench ingest` makes one")
    known = survey(store)
    for problem in known.problems.values():
        warnings.warn(problem, DatasetWarning, stacklevel=4)
    if not known.files:
        raise SparsebenchError(f"{store.shown}: holds no results; `sparsebench ingest` stores some")
    return Opened(store, known)


@dataclass
class Opened:
    """A dataset and the survey that its rows are read by."""

    store: Store
    known: Survey

    def table(
        self,
        columns: Sequence[str],
        matching: pc.Expression | None = None,
        machines: pc.Expression | None = None,
        keep: Keep | None = None,
    ) -> pa.Table:
        """The rows that stand and match, as `ENCODED` columns in the wanted order.

        Should a file be replaced by another writer meanwhile, all is read again.

        Args:
            columns: the wanted ones.
            matching: a filter that does not ask for the machine's name.
            machines: one that does, as names are shown: by hardware where a name is shared.
            keep: what will be done to the table anyhow; done to its parts, it saves memory.
        """
        for attempt in range(_TRIES):
            try:
                with telling(self.store.shown, "cannot be read"):
                    return self._table(columns, matching, machines, keep)
            except _Gone:
                if attempt == _TRIES - 1:
                    raise SparsebenchError(
                        f"{self.store.shown}: files go faster than they can be read; try again"
                    ) from None
                self.known = survey(self.store, self.known)
        raise AssertionError("unreachable")

    def _table(
        self,
        columns: Sequence[str],
        matching: pc.Expression | None,
        machines: pc.Expression | None,
        keep: Keep | None,
    ) -> pa.Table:
        alike = _alike(self.known)
        if not alike:
            return self._standing(columns, _both(matching, machines), keep)
        needed = list(dict.fromkeys([*columns, "project", "machine", *HARDWARE_IDENTITY]))
        table = _renamed(self._standing(needed, matching), alike)
        return pds.dataset(table).to_table(columns=list(columns), filter=machines)

    def _standing(
        self, columns: Sequence[str], matching: pc.Expression | None, keep: Keep | None = None
    ) -> pa.Table:
        files = list(self.known.files.values())
        commits = {commit for _, commit, _ in self.known.contested()}
        if not commits:
            return self._scan(files, columns, matching, keep)
        rest = self._scan(files, columns, _both(matching, ~_of_commits(commits)), keep)
        settled = pds.dataset(self._settled(commits))
        return pa.concat_tables([rest, settled.to_table(columns=list(columns), filter=matching)])

    def _settled(self, commits: set[str]) -> pa.Table:
        """The standing rows of commits that several files hold."""
        files = list(self.known.files.values())
        parts = [self._scan([file], SCHEMA.names, _of_commits(commits)) for file in files]
        sequences = [{run.key: run.sequence for run in file.runs} for file in files]
        return settle(parts, sequences)

    def _scan(
        self,
        files: Sequence[File],
        columns: Sequence[str],
        matching: pc.Expression | None,
        keep: Keep | None = None,
    ) -> pa.Table:
        changed = _TYPES_CHANGED & set(columns)
        old = [file for file in files if changed and file.version < SCHEMA_VERSION]
        new = [file for file in files if file not in old]
        tables = [self._converted(file, columns, matching) for file in old]
        if keep:
            with ThreadPoolExecutor(at_once(self.store)) as pool:
                each = pool.map(lambda file: self._read([file], columns, matching), new)
                tables += map(keep, each)
        elif new:
            tables.append(self._read(new, columns, matching))
        return pa.concat_tables(tables)

    def _read(
        self, files: Sequence[File], columns: Sequence[str], matching: pc.Expression | None
    ) -> pa.Table:
        try:
            with ThreadPoolExecutor(at_once(self.store)) as pool:
                found = list(pool.map(lambda file: self._fragment(file, matching), files))
            return _all_of(found, self.store).to_table(columns=list(columns), filter=matching)
        except (OSError, pa.ArrowException):
            if any(self.store.gone(file.name) for file in files):
                raise _Gone from None
            # A whole footer over damaged data: find out whose.
            whole = list(self._whole_tables(files, columns, matching))
            return pa.concat_tables([ENCODED.empty_table().select(list(columns)), *whole])

    def _fragment(self, file: File, matching: pc.Expression | None) -> pds.ParquetFileFragment:
        """The row groups of a file that may hold matching rows.

        Which, Arrow tells only where texts are plain; but those take it twice as long to read.
        """
        path, system = self.store.path(file.name), self.store.system
        if matching is None:
            return _ENCODED.make_fragment(path, system)
        near = _PLAIN.make_fragment(path, system).subset(matching, schema=SCHEMA)
        return _ENCODED.make_fragment(path, system, row_groups=[g.id for g in near.row_groups])

    def _whole_tables(
        self, files: Sequence[File], columns: Sequence[str], matching: pc.Expression | None
    ) -> Iterator[pa.Table]:
        for file in files:
            try:
                one = _all_of([self._fragment(file, matching)], self.store)
                yield one.to_table(columns=list(columns), filter=matching)
            except (OSError, pa.ArrowException) as error:
                problem = f"{self.store.show(file.name)}: damaged, skipped ({first_line(error)})"
                warnings.warn(problem, DatasetWarning, stacklevel=9)

    def _converted(
        self, file: File, columns: Sequence[str], matching: pc.Expression | None
    ) -> pa.Table:
        """The rows of a file of an older schema version."""
        path, system = self.store.path(file.name), self.store.system
        try:
            source = pds.dataset(path, format="parquet", filesystem=system)
            have = set(source.schema.names)
            schema = pa.schema(
                [source.schema.field(f.name) if f.name in have else f for f in SCHEMA]
            )
            table = source.replace_schema(schema).to_table(columns=list(columns), filter=matching)
        except (OSError, pa.ArrowException):
            if self.store.gone(file.name):
                raise _Gone from None
            raise
        return encoded(table)


class _Gone(Exception):  # noqa: N818 - no error: another writer replaced a file
    pass


def _all_of(fragments: Sequence[pds.ParquetFileFragment], store: Store) -> pds.Dataset:
    return pds.FileSystemDataset(fragments, ENCODED, _ENCODED, store.system)


def _both(one: pc.Expression | None, other: pc.Expression | None) -> pc.Expression | None:
    if one is None or other is None:
        return other if one is None else one
    return one & other


def _of_commits(commits: set[str]) -> pc.Expression:
    return pc.field("commit_hash").isin(pa.array(sorted(commits)))


def _alike(known: Survey) -> dict[tuple[str, str], dict[tuple[Any, ...], str]]:
    """By project and name of machines that share a name: hardware to a name that tells it apart.

    What is not known of a machine is no difference: older files say less.
    """
    found = {}
    for owner, every in known.machines().items():
        groups: list[tuple[Any, ...]] = []
        for hardware in sorted(every, key=lambda h: (sum(x is None for x in h), str(h))):
            if not any(_same(hardware, group) for group in groups):
                groups.append(hardware)
        if len(groups) > 1:
            differ = [i for i in range(len(HARDWARE_IDENTITY)) if len({g[i] for g in groups}) > 1]
            found[owner] = {
                h: f"{owner[1]} ({_told(next(g for g in groups if _same(h, g)), differ)})"
                for h in every
            }
    return found


def _same(one: Sequence[Any], other: Sequence[Any]) -> bool:
    pairs = zip(one, other, strict=True)
    return all(a is None or b is None or a == b for a, b in pairs)


def _told(hardware: Sequence[Any], differ: Sequence[int]) -> str:
    return ", ".join(f"{HARDWARE_IDENTITY[i]} {hardware[i]}" for i in differ)


def _renamed(table: pa.Table, alike: dict[tuple[str, str], dict[tuple[Any, ...], str]]) -> pa.Table:
    if not alike:
        return table
    names = ["project", "machine", *HARDWARE_IDENTITY]
    renamed: defaultdict[Any, str] = defaultdict(str)
    columns = [table[name].to_pylist() for name in names]
    told = []
    for project, machine, *hardware in zip(*columns, strict=True):
        key = (project, machine, *hardware)
        if key not in renamed:
            known = alike.get((project, machine), {})
            renamed[key] = known.get(tuple(hardware), machine)
        told.append(renamed[key])
    place = table.column_names.index("machine")
    return table.set_column(place, "machine", pa.array(told, pa.string()).dictionary_encode())
