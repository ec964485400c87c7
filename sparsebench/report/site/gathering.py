"""A dataset too large for memory, gone through some benchmarks at a time.

What stays is what the whole site needs of every row: whom it belongs to and its value, texts as
numbers; in full only the newest row of each case, and one row of each run.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sparsebench.analysis.environments import current, gave_way
from sparsebench.analysis.history import COLUMNS as SEARCHED
from sparsebench.analysis.history.machines import codes
from sparsebench.report.site.machines import HARDWARE, VERSIONS

# What a benchmark's page is made of, and what a comparison of the newest rows needs besides.
PAGE: Final = [
    "project", "machine", "commit_hash", "commit_date", "env_name", "benchmark", "param_names",
    "params", "case", "implementation", "value", "unit", "direction", "status", "error", "samples",
    "benchmark_version", "fingerprint", "started_at",
]  # fmt: skip
LISTED: Final = ["project", "benchmark", "implementation", "unit"]
NEWEST: Final = [*PAGE, "torch", "python", "shape", "device", "dtype", "weights"]

MOST_ROWS: Final = 100_000  # in memory at once, in a few columns

_RUN: Final = ("project", "machine", "env_name", "commit_hash")
_RUNS: Final = [*_RUN, "commit_date", *HARDWARE, *VERSIONS, "requirements", "env_vars"]
_CASE: Final = ("project", "machine", "env_name", "benchmark", "case")

Benchmark = tuple[str, str]  # project, name


class Reader(Protocol):
    """Reads a dataset's rows; it can go to other processes."""

    def __call__(
        self,
        columns: list[str],
        benchmarks: Collection[str],
        commits: Collection[str] | None = None,
    ) -> pd.DataFrame:
        """Return the rows of these benchmarks, and commits where given."""


@dataclass(frozen=True)
class Gathered:
    """What a site knows of a history's rows.

    Attributes:
        listed: how many rows each (project, benchmark, implementation, unit) has, skipped ones
            left out.
        newest: the newest row of each case, in full, of environments that are still measured.
        digests: of each benchmark's rows a number that changes with any of them.
    """

    listed: pd.DataFrame
    newest: pd.DataFrame
    digests: dict[Benchmark, int]


def read_history(
    read: Reader, sizes: Mapping[str, int], progress: Callable[[int, int], None]
) -> pd.DataFrame:
    """Return every row in the columns that `survey` needs, texts as categories.

    ``sizes`` maps each benchmark to its rows' count; ``progress(done, total)`` counts rows.
    """
    columns = {name: _Column() for name in [*SEARCHED, "implementation"]}
    done = 0
    for names in batches(sizes, MOST_ROWS):
        rows = read(list(columns), names)
        for name, column in columns.items():
            column.add(rows[name])
        done += len(rows)
        progress(done, sum(sizes.values()))
    return pd.DataFrame({name: column.whole() for name, column in columns.items()})


def gather(read: Reader, history: pd.DataFrame) -> Gathered:
    """Return what there is of the rows of ``history``."""
    ran = history[history["status"] != "skipped"]
    listed = ran.groupby(LISTED, observed=True, dropna=False).size().reset_index(name="rows")
    return Gathered(listed, _newest_in_full(read, ran), digests_of(history))


def runs_of(read: Reader, history: pd.DataFrame) -> pd.DataFrame:
    """Return a row a run (a machine's environment at a commit) with hardware and versions.

    They are read from as few benchmarks as have all of them.
    """
    run, benchmark = codes(history, _RUN), pd.Series(history["benchmark"])
    found = []
    while len(benchmark):
        name = str(benchmark.value_counts().idxmax())
        found.append(read(_RUNS, [name]).drop_duplicates(list(_RUN)))
        left = ~np.isin(run, run[benchmark.eq(name).to_numpy()])
        run, benchmark = run[left], benchmark[left]
    return pd.concat(found, ignore_index=True).drop_duplicates(list(_RUN))


def batches(sizes: Mapping[str, int], most: int) -> Iterator[list[str]]:
    """Yield the names in order, as many at a time as have ``most`` rows together, one at least."""
    batch: list[str] = []
    rows = 0
    for name, size in sizes.items():
        if batch and rows + size > most:
            yield batch
            batch, rows = [], 0
        batch.append(name)
        rows += size
    if batch:
        yield batch


def digests_of(rows: pd.DataFrame) -> dict[Benchmark, int]:
    """Return a number a benchmark that is the same for the same rows, whatever their order.

    A row is told by what `survey` needs of it: who measures it anew changes value and time.
    """
    owners = rows[["project", "benchmark"]].reset_index(drop=True)
    hashes = pd.util.hash_pandas_object(rows[SEARCHED], index=False).to_numpy()
    found = (
        owners.assign(digest=hashes)
        .groupby(["project", "benchmark"], observed=True)["digest"]
        .sum()
    )
    names = found.index.to_frame(index=False).itertuples(index=False, name=None)
    return {
        (str(project), str(name)): int(digest)
        for (project, name), digest in zip(names, found, strict=True)
    }


def _newest_in_full(read: Reader, ran: pd.DataFrame) -> pd.DataFrame:
    """Return the newest row of each case in `NEWEST`, of environments still measured."""
    over = gave_way(ran)
    commits = set(current(ran.iloc[_newest(ran)], over)["commit_hash"])
    counts = ran["benchmark"].value_counts().sort_index()
    sizes = {str(name): int(count) for name, count in counts.items() if count}
    parts = []
    for names in batches(sizes, 4 * MOST_ROWS):  # which are gone through for a few of their rows
        rows = read(NEWEST, names, commits)
        rows = current(rows[rows["status"] != "skipped"], over)
        parts.append(rows.iloc[_newest(rows)])
    return pd.concat(parts, ignore_index=True)


def _newest(rows: pd.DataFrame) -> NDArray[np.int64]:
    """Return the place of each case's newest row: by commit's date, then by its own start."""
    times = [pd.DatetimeIndex(rows[name]).asi8 for name in ("started_at", "commit_date")]
    order = np.lexsort(times)  # an unknown time is the lowest
    series = codes(rows, _CASE)[order]
    return np.sort(order[~pd.Series(series).duplicated(keep="last").to_numpy()])


@dataclass
class _Column:
    """A column that is added to: texts as the places of their values, all else as it is."""

    places: dict[Any, int] = field(default_factory=dict)
    parts: list[Any] = field(default_factory=list)
    texts: bool = True

    def add(self, column: pd.Series) -> None:
        self.texts = pd.api.types.is_string_dtype(column.dtype)
        if not self.texts:
            self.parts.append(column)
            return
        codes, values = pd.factorize(column)
        known = [self.places.setdefault(value, len(self.places)) for value in values]
        small = np.min_scalar_type(-len(self.places) - 1)
        self.parts.append(np.array([*known, -1], dtype=small)[codes])  # -1: null, as codes have

    def whole(self) -> Any:
        """Return the column."""
        if not self.texts:
            return pd.concat(self.parts, ignore_index=True)
        return pd.Categorical.from_codes(np.concatenate(self.parts), pd.Index(list(self.places)))
