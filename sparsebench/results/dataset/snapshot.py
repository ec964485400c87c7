"""What a dataset holds at this moment: its files, and which of their rows stand.

Any number of writers add files at once, without a lock. So a run may lie in several files, and a
file that another one replaced may still be there: its writer was killed before it removed it, or is
about to. All of that is decided here, from the footers alone, the same way by every reader.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import pyarrow as pa

from sparsebench.results.dataset.parquet_files import File, Machine, Run, read_footer
from sparsebench.results.dataset.storage import Store, first_line

_TRIES: Final = 5  # a file may be replaced between listing and opening it
_REQUESTS: Final = 16  # at once, to a store that answers slowly

Key = tuple[Machine, str, str]


@dataclass(frozen=True)
class Survey:
    """The readable files of a dataset, and what is wrong with the others.

    Attributes:
        files: those whose rows count, by name, sorted.
        replaced: those whose rows all stand in ``files``, too; they are left over.
        problems: by name, a line on each file that could not be read.
    """

    files: dict[str, File]
    replaced: dict[str, File]
    problems: dict[str, str]

    def contested(self) -> dict[Key, dict[str, Run]]:
        """The runs that lie in more than one file, whose rows `merge.settle` must decide."""
        holding = holders(self.files.values())
        return {key: runs for key, runs in holding.items() if len(runs) > 1}

    def benchmarks(self) -> list[str]:
        """The names of all benchmarks, sorted."""
        return sorted(set().union(*(file.benchmarks for file in self.files.values())))

    def commits(self) -> set[str]:
        """The hashes of all commits."""
        return {run.commit_hash for file in self.files.values() for run in file.runs}

    def machines(self) -> dict[tuple[str, str], set[tuple[Any, ...]]]:
        """By project and name, the different hardware behind that name."""
        found: defaultdict[tuple[str, str], set[tuple[Any, ...]]] = defaultdict(set)
        for machine in {run.machine for file in self.files.values() for run in file.runs}:
            found[machine.project, machine.name].add(machine.hardware)
        return dict(found)


def survey(store: Store, before: Survey | None = None) -> Survey:
    """Look at the footer of every Parquet file.

    Args:
        store: the dataset's place.
        before: an earlier survey; what it knows is not read again, for files never change.

    Raises:
        SparsebenchError: a file has a newer schema version than this sparsebench knows, or the
            store is out of reach.
    """
    known = {**before.files, **before.replaced} if before else {}
    for attempt in range(_TRIES):
        names = store.names()
        look = partial(_look, store, known)
        with ThreadPoolExecutor(at_once(store)) as pool:
            looks = dict(zip(names, pool.map(look, names), strict=True))
        gone = any(look is None for look in looks.values())
        known |= {name: look for name, look in looks.items() if isinstance(look, File)}
        if not gone or attempt == _TRIES - 1:
            break
    problems = {name: look for name, look in looks.items() if isinstance(look, str)}
    present = {name: known[name] for name in names if name in known and looks[name] is not None}
    return _sorted_out(present, problems)


def at_once(store: Store) -> int:
    """How many files to look at side by side."""
    return 1 if store.local else _REQUESTS


def _look(store: Store, known: Mapping[str, File], name: str) -> File | str | None:
    """A file, what is wrong with it, or None where it has gone meanwhile."""
    if name in known:
        return known[name]
    try:
        return read_footer(store, name)
    except (pa.ArrowException, OSError) as error:
        if store.gone(name):
            return None
        return f"{store.show(name)}: not readable as Parquet, skipped ({first_line(error)})"


def _sorted_out(present: dict[str, File], problems: dict[str, str]) -> Survey:
    named = set().union(*(file.replaces for file in present.values())) & present.keys()
    files = {name: file for name, file in present.items() if name not in named}
    holding = holders(files.values())
    for name in sorted(files, key=lambda name: (_oldest(files[name]), name)):
        if _within(files[name], holding):
            for run in files.pop(name).runs:
                del holding[run.key][name]
    replaced = {name: file for name, file in present.items() if name not in files}
    return Survey(files, replaced, problems)


def holders(files: Iterable[File]) -> dict[Key, dict[str, Run]]:
    """By the runs' keys, the files that hold rows of it, and what they say of the run."""
    found: defaultdict[Key, dict[str, Run]] = defaultdict(dict)
    for file in files:
        for run in file.runs:
            found[run.key][file.name] = run
    return dict(found)


def _oldest(file: File) -> int:
    return min((run.sequence for run in file.runs), default=0)


def _within(file: File, holding: Mapping[Key, Mapping[str, Run]]) -> bool:
    """Whether other files were made from all that each run of this one was made from."""
    return bool(file.runs) and all(
        any(name != file.name and _covers(other, run) for name, other in holding[run.key].items())
        for run in file.runs
    )


def _covers(other: Run, run: Run) -> bool:
    return bool(run.origins) and other.origins >= run.origins and other.sequence >= run.sequence
