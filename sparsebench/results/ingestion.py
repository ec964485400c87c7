"""asv results into the dataset: find files, skip unchanged ones, store the others, report bad ones.

`ingest` cuts the files into batches. `store_batch` makes one Parquet file of a batch: it reads the
result files, builds their rows and writes them. Batches are stored by several processes.
"""

import gc
import hashlib
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from sparsebench.errors import SparsebenchError
from sparsebench.executor import WorkerKilledError, available_cores, run_all
from sparsebench.results.asv.context import Context, load_context
from sparsebench.results.asv.json_files import BadFileError, read_bytes
from sparsebench.results.asv.recordings import SUFFIX, recording_bytes
from sparsebench.results.asv.result_files import (
    ResultFile,
    content_hash,
    find_result_files,
    load_result_file,
)
from sparsebench.results.dataset.compaction import resolve_conflicts
from sparsebench.results.dataset.parquet_files import (
    HARDWARE_IDENTITY,
    MachineIdentity,
    Run,
    RunKey,
    write_file,
)
from sparsebench.results.dataset.snapshot import Snapshot, take_snapshot
from sparsebench.results.dataset.storage import Store, open_store
from sparsebench.results.table.file_columns import Columns, columns_of_benchmarks
from sparsebench.results.table.rows import ROWS_VERSION, RowBuilder

# A batch is at most this much JSON; it takes some 410 MB of memory. Less than the smaller size is
# stored sooner than a second process starts.
BATCH_BYTES: Final = 40_000_000
MIN_BATCH_BYTES: Final = 12_000_000
MAX_WORKERS: Final = 2  # each needs some 350 MB, and all of them are to stay below 1 GB


@dataclass(frozen=True)
class FileOutcome:
    """What became of one source file.

    Attributes:
        state: "stored", "unchanged" or "bad".
        rows: how many were stored.
        problem: one line that starts with the path; None unless it, or a recording of it, is bad.
        run: what was stored; None unless it was.
    """

    source: Path
    state: str
    rows: int = 0
    problem: str | None = None
    run: Run | None = None


@dataclass(frozen=True)
class Report:
    """What one ingest did.

    Attributes:
        outcomes: of each source file, in the order of the sources.
        problems: one line each that starts with a path.
        merged: how many source files were merged with rows of the same commit and environment.
        files: how many files the dataset has now.
    """

    outcomes: tuple[FileOutcome, ...]
    problems: tuple[str, ...]
    merged: int = 0
    files: int = 0

    def count(self, state: str) -> int:
        """Return how many source files ended in ``state``."""
        return sum(outcome.state == state for outcome in self.outcomes)

    @property
    def rows(self) -> int:
        """How many rows the stored source files hold."""
        return sum(outcome.rows for outcome in self.outcomes)


def ingest(
    sources: Sequence[Path],
    dataset: str | Path,
    *,
    project: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Store the asv result files at or under ``sources``; unchanged ones are skipped.

    Rows of the same commit and environment are merged case by case, whether they were stored
    before, come from several sources of this call, or are being stored by another machine. Rows of
    cases that one source does not hold are kept. Of two rows of one case the one that says more
    counts, then the later one. `sparsebench.results.dataset.conflict_rule` is the whole rule.

    A bad file is reported and the others are stored. To repeat an ingest changes nothing; an
    interrupted one is continued by the next one.

    Args:
        sources: asv results trees, machine folders, or single result files.
        dataset: the folder of the Parquet dataset, made if need be, or a URI.
        project: overrides the project's name, which result files do not hold (see `project_of`).
        progress: called with (files done, files in all) after each batch of files.

    Raises:
        SparsebenchError: a source does not exist or holds no result file; the dataset has a newer
            schema version, or cannot be read or written; or what was just stored is missing.
    """
    searches = [find_result_files(source) for source in sources]
    files = list(dict.fromkeys(path for search in searches for path in search.files))
    unread = dict.fromkeys(line for search in searches for line in search.problems.values())
    store = open_store(dataset)
    snapshot = take_snapshot(store)
    store.remove_abandoned()
    contexts = {folder: load_context(folder, project) for folder in {p.parent for p in files}}
    outcomes = _unchanged_or_bad(files, contexts, snapshot)
    merged = 0
    if len(outcomes) < len(files):
        changed = [path for path in files if path not in outcomes]
        batches = list(_batches(changed, contexts, str(dataset), _next_sequence(snapshot)))
        stored = _store_all(batches, len(files), store, progress)
        outcomes |= {outcome.source: outcome for outcome in stored}
        after = take_snapshot(store, snapshot)
        _check_stored(store, stored, after)
        conflicts = after.conflicts()
        merged = sum(o.run is not None and after.key(o.run) in conflicts for o in stored)
        snapshot = resolve_conflicts(store, after)
    beside = dict.fromkeys(line for context in contexts.values() for line in context.problems)
    ordered = tuple(outcomes[path] for path in files)
    bad = [outcome.problem for outcome in ordered if outcome.problem]
    problems = (*unread, *snapshot.problems.values(), *beside, *bad)
    return Report(ordered, problems, merged, len(snapshot.files))


def _unchanged_or_bad(
    files: Sequence[Path], contexts: Mapping[Path, Context], snapshot: Snapshot
) -> dict[Path, FileOutcome]:
    """Return the outcomes of files that need not be parsed: unchanged, or not readable."""
    runs = {o: run for file in snapshot.files.values() for run in file.runs for o in run.origins}
    if not runs:
        return {}

    def outcome(path: Path) -> FileOutcome | None:
        context = contexts[path.parent]
        try:
            content = b"" if path.name.endswith(SUFFIX) else read_bytes(path)
            recorded = recording_bytes(path)
            sha256 = content_hash(content, hashlib.sha256(recorded).hexdigest() if recorded else "")
        except BadFileError as error:
            return FileOutcome(path, "bad", problem=str(error))
        run = runs.get(_origin(sha256, context))
        if run is None or run.unlisted & context.benchmarks.keys():
            return None
        return FileOutcome(path, "unchanged")

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # hashing lets other threads run
        return {o.source: o for o in pool.map(outcome, files) if o is not None}


def _origin(sha256: str, context: Context) -> str:
    """Return a hash of all that decides a file's rows but benchmarks.json, see `Run.unlisted`.

    Args:
        sha256: of the file.
        context: what is beside it.
    """
    text = f"{sha256}\n{context.sha256}\n{context.project}\n{ROWS_VERSION}"
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]


def _next_sequence(snapshot: Snapshot) -> int:
    """Return a number larger than all stored ones, by the clock unless that was set back."""
    stored = [run.sequence for file in snapshot.files.values() for run in file.runs]
    return max(time.time_ns() // 1_000_000, 1 + max(stored, default=0))


@dataclass(frozen=True)
class Source:
    """One result file to be stored; of two of the same run the larger sequence is the later one."""

    path: Path
    sequence: int


@dataclass(frozen=True)
class Batch:
    """Result files of one folder, which share what is beside them."""

    dataset: str
    context: Context
    sources: tuple[Source, ...]


def _batches(
    files: Sequence[Path], contexts: Mapping[Path, Context], dataset: str, sequence: int
) -> Iterator[Batch]:
    """Yield the files of each folder in batches of about equal size, for all workers if it pays."""
    folders: defaultdict[Path, list[Source]] = defaultdict(list)
    sizes: dict[Path, int] = {}
    for index, path in enumerate(files):
        folders[path.parent].append(Source(path, sequence + index))
        try:
            sizes[path] = path.stat().st_size
        except OSError:  # removed since; reading it will report that
            sizes[path] = 0
    share = sum(sizes.values()) // _workers() + 1
    limit = min(BATCH_BYTES, max(MIN_BATCH_BYTES, share))
    for folder, sources in folders.items():
        size = sum(sizes[source.path] for source in sources)
        count = min(-(-size // limit), len(sources)) or 1
        for part in range(count):
            chosen = sources[part * len(sources) // count : (part + 1) * len(sources) // count]
            yield Batch(dataset, contexts[folder], tuple(chosen))


def _workers() -> int:
    return min(available_cores(), MAX_WORKERS)


def _store_all(
    batches: Sequence[Batch],
    total: int,
    store: Store,
    progress: Callable[[int, int], None] | None,
) -> list[FileOutcome]:
    """Store all batches, on several processes if there are several; see `store_batch`.

    A batch whose process was killed is stored again. That is safe: the same sources give the same
    file, of the same name.
    """
    done = total - sum(len(batch.sources) for batch in batches)

    def report(index: int) -> None:
        nonlocal done
        done += len(batches[index].sources)
        if progress:
            progress(done, total)

    tasks = [partial(store_batch, batch) for batch in batches]
    try:
        results = run_all(tasks, _workers(), report, initializer=block_pandas)
    except WorkerKilledError as error:
        raise SparsebenchError(
            f"{store.shown}: {error}; what was stored is kept, the same command continues"
        ) from None
    return [outcome for outcomes in results for outcome in outcomes]


class _NoPandas:
    def find_spec(self, name: str, *_: object) -> None:
        if name == "pandas":
            raise ImportError(name)


def block_pandas() -> None:
    """Make ``import pandas`` fail in this process.

    Arrow would import it, which takes a quarter of a second, to check whether a list is a Series.
    """
    sys.meta_path.insert(0, _NoPandas())


def store_batch(batch: Batch) -> list[FileOutcome]:
    """Store the rows of a batch and return what became of each of its sources.

    Raises:
        SparsebenchError: the dataset cannot be written.
    """
    layers: list[_Layer] = []
    gc.disable()  # it would search millions of numbers for cycles, again and again; there are none
    try:
        outcomes = [_add_source(source, batch.context, layers) for source in batch.sources]
        store = open_store(batch.dataset)
        for layer in layers:
            runs: defaultdict[tuple[str, str], list[Run]] = defaultdict(list)
            for run in layer.runs.values():
                runs[run.machine.project, run.machine.name].append(run)
            for owner, table in layer.rows.tables():
                write_file(store, table, runs[owner], ())
    finally:
        gc.enable()
    return outcomes


@dataclass(frozen=True)
class _Layer:
    """Rows of different runs, for one file; a second source of a run goes into another layer."""

    rows: RowBuilder
    runs: dict[RunKey, Run]


def _add_source(source: Source, context: Context, layers: list[_Layer]) -> FileOutcome:
    """Read one result file and add its rows to the first layer that does not have its run."""
    path = source.path
    try:
        file = load_result_file(path)
        columns = columns_of_benchmarks(file, context)
        runs = _runs(source, file, columns, context)
        layer = next((layer for layer in layers if not runs.keys() & layer.runs.keys()), None)
        if layer is None:
            layers.append(layer := _Layer(RowBuilder(context), {}))
        rows = layer.rows.add(file, columns)
    except BadFileError as error:
        return FileOutcome(path, "bad", problem=str(error))
    except RecursionError:
        return FileOutcome(path, "bad", problem=f"{path}: JSON nested too deeply")
    except MemoryError:
        problem = f"{path}: too large for this machine's memory"
        return FileOutcome(path, "bad", problem=problem)
    layer.runs.update(runs)
    problems = file.recording.problems
    return FileOutcome(path, "stored", rows, next(iter(problems), None), next(iter(runs.values())))


def _runs(
    source: Source, file: ResultFile, columns: Sequence[Columns], context: Context
) -> dict[RunKey, Run]:
    """Return the runs of a result file by key: one, or one per GPU if recordings name several."""
    listed = {result.name for result in file.benchmarks if result.recorded is None}
    unknown = frozenset(listed) - context.benchmarks.keys()
    origins = frozenset([_origin(file.sha256, context)])
    runs = {}
    for own in {id(own): own for own in columns}.values():
        hardware = tuple(own[name] for name in HARDWARE_IDENTITY)
        run = Run(
            MachineIdentity(own["project"], own["machine"], hardware),
            file.commit_hash,
            file.env_name,
            source.sequence,
            origins,
            unknown,
        )
        runs[run.key] = run
    return runs


def _check_stored(store: Store, outcomes: Sequence[FileOutcome], snapshot: Snapshot) -> None:
    """Check that what was just stored is there: the disk may be unmounted, the bucket emptied.

    Raises:
        SparsebenchError: some of it is missing.
    """
    origins = {o for file in snapshot.files.values() for run in file.runs for o in run.origins}
    gone = [o.source for o in outcomes if o.run is not None and not o.run.origins <= origins]
    if gone and not snapshot.problems:  # or they may be in a file that cannot be read
        raise SparsebenchError(
            f"{store.shown}: {len(gone):,} of the files that were just stored are gone, the first "
            f"is {gone[0]}; is the store still there? the same command stores them again"
        )
