"""The rows of a site, read some benchmarks at a time from a dataset larger than memory.

Kept in memory are the columns that the history search needs of every row (texts as categories),
all columns of the newest row per case, and one row per run.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa

from sparsebench.analysis.environments import superseded_environments, without_environments
from sparsebench.analysis.history import COLUMNS as SEARCHED
from sparsebench.analysis.history.machine_tables import combination_codes
from sparsebench.report.site.machines import CONDITIONS, HARDWARE, VERSIONS
from sparsebench.results import latest, read

# The columns of a benchmark's page; comparisons of the newest rows need those of NEWEST.
PAGE: Final = [
    "project", "machine", "commit_hash", "commit_date", "env_name", "benchmark", "param_names",
    "params", "case", "implementation", "value", "unit", "direction", "status", "error", "samples",
    "benchmark_version", "fingerprint", "started_at",
]  # fmt: skip
LISTED: Final = ["project", "benchmark", "implementation", "unit"]
NEWEST: Final = [
    *PAGE, "torch", "gpu", "throttle", "mismatch", "python", "shape", "device", "dtype", "weights",
]  # fmt: skip

MOST_ROWS: Final = 100_000  # in memory at once, in a few columns

_RUN: Final = ("project", "machine", "env_name", "commit_hash")
_RUNS: Final = [
    *(*_RUN, "commit_date", *HARDWARE, *CONDITIONS, *VERSIONS, "requirements", "env_vars"),
]

_DIFFERENT: Final = [*_RUN, *HARDWARE, *CONDITIONS, *VERSIONS]

Benchmark = tuple[str, str]  # project, name


class SiteReader(Protocol):
    """Reads rows of a dataset; can be pickled."""

    def __call__(
        self,
        columns: list[str],
        benchmarks: Collection[str],
        commits: Collection[str] | None = None,
    ) -> pd.DataFrame:
        """Return the rows of these benchmarks, of ``commits`` only if given."""


@dataclass(frozen=True)
class DatasetRows:
    """Rows of a dataset, read as they are needed.

    Attributes:
        dataset: a folder or a URI.
        machines: only these, if given.
        commits: only these, if given.
    """

    dataset: str
    machines: tuple[str, ...] | None
    commits: frozenset[str] | None = None

    def sizes(self, benchmark: str | None) -> dict[str, int]:
        """Return the number of rows per benchmark whose name matches, sorted by name."""
        names = read(
            self.dataset, columns=["benchmark"], benchmark=benchmark, machine=self.machines
        )
        counts = names["benchmark"].value_counts().sort_index()
        return {str(name): int(count) for name, count in counts.items()}

    def __call__(
        self,
        columns: list[str],
        benchmarks: Collection[str],
        commits: Collection[str] | None = None,
    ) -> pd.DataFrame:
        """Return the rows of these benchmarks, of ``commits`` only if given."""
        pattern = f"^({'|'.join(map(re.escape, benchmarks))})$"
        rows = read(
            self.dataset, columns=columns, benchmark=pattern, machine=self.machines,
            commit=sorted(commits) if commits else None,
        )  # fmt: skip
        pa.default_memory_pool().release_unused()  # or Arrow keeps the memory for long
        return rows if self.commits is None else rows[rows["commit_hash"].isin(self.commits)]


@dataclass(frozen=True)
class SiteRows:
    """What pages need of all benchmarks' rows.

    Attributes:
        listed: rows per (project, benchmark, implementation, unit), without skipped ones.
        newest: the newest row per case with the columns `NEWEST`, of environments that are still
            measured.
        digests: per benchmark a hash over its rows.
    """

    listed: pd.DataFrame
    newest: pd.DataFrame
    digests: dict[Benchmark, int]


def read_history(
    read: SiteReader, sizes: Mapping[str, int], progress: Callable[[int, int], None]
) -> pd.DataFrame:
    """Return all rows with the columns that `survey` needs, texts as categories.

    ``sizes`` has the number of rows per benchmark; ``progress(done, total)`` counts rows.
    """
    columns = {name: _ColumnBuilder() for name in [*SEARCHED, "implementation"]}
    done = 0
    for names in batches(sizes, MOST_ROWS):
        rows = read(list(columns), names)
        for name, column in columns.items():
            column.add(rows[name])
        done += len(rows)
        progress(done, sum(sizes.values()))
    return pd.DataFrame({name: column.build() for name, column in columns.items()})


def collect_rows(read: SiteReader, history: pd.DataFrame) -> SiteRows:
    """Return what pages need of the rows of ``history``."""
    ran = history[history["status"] != "skipped"]
    listed = ran.groupby(LISTED, observed=True, dropna=False).size().reset_index(name="rows")
    return SiteRows(listed, _newest_rows(read, ran), row_digests(history))


def runs_of(read: SiteReader, history: pd.DataFrame) -> pd.DataFrame:
    """Return one row per run (machine, environment and commit) with hardware and versions.

    Only as many benchmarks are read as are needed to meet every run.
    """
    run, benchmark = combination_codes(history, _RUN), pd.Series(history["benchmark"])
    parts = []
    while len(benchmark):
        name = str(benchmark.value_counts().idxmax())
        parts.append(read(_RUNS, [name]).drop_duplicates(_DIFFERENT))
        left = ~np.isin(run, run[benchmark.eq(name).to_numpy()])
        run, benchmark = run[left], benchmark[left]
    return pd.concat(parts, ignore_index=True).drop_duplicates(
        [*_RUN, *HARDWARE, *CONDITIONS, *VERSIONS]
    )


def batches(sizes: Mapping[str, int], most: int) -> Iterator[list[str]]:
    """Yield the names in order, in batches of up to ``most`` rows or of a single name."""
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


def row_digests(rows: pd.DataFrame) -> dict[Benchmark, int]:
    """Return a hash over the rows per (project, benchmark), the same for any order of rows.

    It covers the columns that `survey` needs: measuring again changes a row's value and time.
    """
    owners = rows[["project", "benchmark"]].reset_index(drop=True)
    hashes = pd.util.hash_pandas_object(rows[SEARCHED], index=False).to_numpy()
    sums = (
        owners.assign(digest=hashes)
        .groupby(["project", "benchmark"], observed=True)["digest"]
        .sum()
    )
    names = sums.index.to_frame(index=False).itertuples(index=False, name=None)
    return {
        (str(project), str(name)): int(digest)
        for (project, name), digest in zip(names, sums, strict=True)
    }


def _newest_rows(read: SiteReader, ran: pd.DataFrame) -> pd.DataFrame:
    """Return the newest row per case with the columns `NEWEST`, of environments still measured."""
    over = superseded_environments(ran)
    commits = set(without_environments(latest(ran), over)["commit_hash"])
    counts = ran["benchmark"].value_counts().sort_index()
    sizes = {str(name): int(count) for name, count in counts.items() if count}
    parts = []
    for names in batches(sizes, 4 * MOST_ROWS):  # few of these rows are kept
        rows = read(NEWEST, names, commits)
        rows = without_environments(rows[rows["status"] != "skipped"], over)
        parts.append(latest(rows))
    return pd.concat(parts, ignore_index=True)


@dataclass
class _ColumnBuilder:
    """Builds a column from parts: texts as a categorical, other types by concatenation."""

    categories: dict[Any, int] = field(default_factory=dict)  # value to code
    parts: list[Any] = field(default_factory=list)
    texts: bool = True

    def add(self, column: pd.Series) -> None:
        self.texts = pd.api.types.is_string_dtype(column.dtype)
        if not self.texts:
            self.parts.append(column)
            return
        codes, values = pd.factorize(column)
        own = [self.categories.setdefault(value, len(self.categories)) for value in values]
        small = np.min_scalar_type(-len(self.categories) - 1)
        self.parts.append(np.array([*own, -1], dtype=small)[codes])  # -1: null, in both codes

    def build(self) -> Any:
        """Return the column."""
        if not self.texts:
            return pd.concat(self.parts, ignore_index=True)
        return pd.Categorical.from_codes(
            np.concatenate(self.parts), pd.Index(list(self.categories))
        )
