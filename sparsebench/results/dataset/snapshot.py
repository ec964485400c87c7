"""What a dataset holds at this moment: its files, and which of their rows count.

Any number of writers add files at once, without a lock. So a run may be in several files. And a
file that was replaced may still be there: its writer was killed before it removed it, or is about
to. All of that is decided here, from the footers alone, in the same way by each reader.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import pyarrow as pa

from sparsebench.results.dataset.parquet_files import (
    Canonical,
    DatasetFile,
    Run,
    RunKey,
    canonical_machines,
    read_footer,
)
from sparsebench.results.dataset.storage import Store, first_line

_ATTEMPTS: Final = 5  # a file may be replaced between listing and opening it
_REQUESTS: Final = 16  # at once, to an object store


@dataclass(frozen=True)
class Snapshot:
    """The readable files of a dataset, and what is wrong with the others.

    Attributes:
        files: those whose rows count, by name, sorted.
        replaced: files that are left over: all their rows are in ``files``, too.
        problems: by name, one line per file that could not be read.
    """

    files: dict[str, DatasetFile]
    replaced: dict[str, DatasetFile]
    problems: dict[str, str]

    @cached_property
    def canonical(self) -> Canonical:
        """The identity that stands for each machine's, see `canonical_machines`."""
        return _canonical(self.files.values())

    def key(self, run: Run) -> RunKey:
        """Return the key of a run with its machine's canonical identity."""
        return self.canonical.get(run.machine, run.machine), run.commit_hash, run.env_name

    def sequences(self, file: DatasetFile) -> dict[RunKey, int]:
        """Return the sequence number of each run of a file by `key`."""
        numbers: dict[RunKey, int] = {}
        for run in file.runs:
            numbers[self.key(run)] = max(run.sequence, numbers.get(self.key(run), 0))
        return numbers

    def conflicts(self) -> dict[RunKey, dict[str, Run]]:
        """Return the runs that are in several files, by key and file, see `conflict_rule`."""
        by_key = _runs_by_key(self.files.values(), self.canonical)
        return {key: runs for key, runs in by_key.items() if len(runs) > 1}

    def benchmarks(self) -> list[str]:
        """Return the names of all benchmarks, sorted."""
        return sorted(set().union(*(file.benchmarks for file in self.files.values())))

    def commits(self) -> set[str]:
        """Return the hashes of all commits."""
        return {run.commit_hash for file in self.files.values() for run in file.runs}


def take_snapshot(store: Store, earlier: Snapshot | None = None) -> Snapshot:
    """Return what the dataset holds now, from the footer of each Parquet file.

    Args:
        store: the dataset's.
        earlier: footers in it are not read again, for files never change.

    Raises:
        SparsebenchError: a file has a newer schema version than this sparsebench knows, or the
            store cannot be reached.
    """
    cache = {**earlier.files, **earlier.replaced} if earlier else {}

    def read(name: str) -> DatasetFile | str | None:
        """Return a file, what is wrong with it, or None if it has been removed meanwhile."""
        if name in cache:
            return cache[name]
        try:
            return read_footer(store, name)
        except (pa.ArrowException, OSError) as error:
            if store.gone(name):
                return None
            return f"{store.show(name)}: not readable as Parquet, skipped ({first_line(error)})"

    for _ in range(_ATTEMPTS):
        names = store.names()
        with ThreadPoolExecutor(parallel_requests(store)) as pool:
            results = dict(zip(names, pool.map(read, names), strict=True))
        cache |= {name: file for name, file in results.items() if isinstance(file, DatasetFile)}
        if all(result is not None for result in results.values()):
            break
    problems = {name: result for name, result in results.items() if isinstance(result, str)}
    present = {name: file for name, file in results.items() if isinstance(file, DatasetFile)}
    return _without_replaced(present, problems)


def parallel_requests(store: Store) -> int:
    """Return how many files to read at once."""
    return 1 if store.local else _REQUESTS


def _without_replaced(present: dict[str, DatasetFile], problems: dict[str, str]) -> Snapshot:
    """Return the snapshot of these files, the replaced ones apart.

    A file is replaced if another file names it, or if each of its runs is in another file that was
    made from the same sources or more. The oldest is judged first.
    """
    named = set().union(*(file.replaces for file in present.values()))
    files = {name: file for name, file in present.items() if name not in named}
    canonical = _canonical(files.values())
    by_key = _runs_by_key(files.values(), canonical)

    def key(run: Run) -> RunKey:
        return canonical[run.machine], run.commit_hash, run.env_name

    def age(name: str) -> tuple[int, str]:
        return min((run.sequence for run in files[name].runs), default=0), name

    for name in sorted(files, key=age):
        runs = files[name].runs
        if runs and all(_in_another_file(run, by_key[key(run)], name) for run in runs):
            del files[name]
            for run in runs:
                by_key[key(run)].pop(name, None)
    replaced = {name: file for name, file in present.items() if name not in files}
    return Snapshot(files, replaced, problems)


def _in_another_file(run: Run, runs: Mapping[str, Run], name: str) -> bool:
    """Return whether a file besides ``name`` has the run, made from all of its origins.

    ``runs``: those of the same key, by file.
    """
    return bool(run.origins) and any(
        other_name != name and other.origins >= run.origins and other.sequence >= run.sequence
        for other_name, other in runs.items()
    )


def _canonical(files: Iterable[DatasetFile]) -> Canonical:
    return canonical_machines(run.machine for file in files for run in file.runs)


def _runs_by_key(
    files: Iterable[DatasetFile], canonical: Canonical
) -> dict[RunKey, dict[str, Run]]:
    """Return, by the run's key, the names of the files that hold it, each with its run."""
    by_key: defaultdict[RunKey, dict[str, Run]] = defaultdict(dict)
    for file in files:
        for run in file.runs:
            runs = by_key[canonical[run.machine], run.commit_hash, run.env_name]
            other = runs.get(file.name, run)  # the same machine, of which one of them says less
            sequence = max(run.sequence, other.sequence)
            runs[file.name] = replace(run, origins=run.origins | other.origins, sequence=sequence)
    return dict(by_key)
