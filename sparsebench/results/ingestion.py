"""asv results into the dataset: walk the sources, skip what has not changed, report what is bad."""

import hashlib
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sparsebench.errors import SparsebenchError
from sparsebench.results.asv.context import Context, load_context
from sparsebench.results.asv.json_files import BadFileError, read_bytes
from sparsebench.results.asv.result_files import find_result_files
from sparsebench.results.batch import Batch, Result, Source, origin_of
from sparsebench.results.dataset.compaction import settle_conflicts
from sparsebench.results.dataset.snapshot import Survey, survey
from sparsebench.results.dataset.storage import Store, open_store
from sparsebench.results.workers import cores, store_all

# JSON that becomes one Parquet file: some 410 MB of memory on the way. Less than the smaller figure
# is stored sooner than a second process starts.
_BATCH: Final = 40_000_000  # bytes
_WORTH_A_PROCESS: Final = 12_000_000  # bytes


@dataclass(frozen=True)
class Outcome:
    """What became of one source file."""

    source: Path
    state: str  # "stored", "unchanged" or "bad"
    rows: int = 0
    problem: str | None = None


@dataclass(frozen=True)
class Report:
    """What one ingest did; ``problems`` are one line each and start with a path.

    Attributes:
        outcomes: of every source, in the order of the sources.
        merged: how many of them were merged with rows of the same commit and environment.
        files: how many files the dataset has now.
    """

    outcomes: tuple[Outcome, ...]
    problems: tuple[str, ...]
    merged: int = 0
    files: int = 0

    def count(self, state: str) -> int:
        """How many source files ended in ``state``."""
        return sum(outcome.state == state for outcome in self.outcomes)

    @property
    def rows(self) -> int:
        """How many rows the stored sources hold."""
        return sum(outcome.rows for outcome in self.outcomes)


def ingest(
    sources: Sequence[Path],
    dataset: str | Path,
    *,
    project: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Store every asv result file at or under ``sources``; what is stored already is left alone.

    Rows of the same commit and environment are merged case by case, whether they were stored
    before, come from several sources of this call, or are being stored by another machine: what
    one source does not hold stays, and of a case that both hold the row stands that says more, then
    the later one; the whole rule is in `sparsebench.results.dataset.conflict_rule`.

    A bad file is reported and the rest lands. Repeating an ingest changes nothing; an ingest that
    was cut off is continued by the next one.

    Args:
        sources: asv results trees, machine folders, or single result files.
        dataset: the folder of the Parquet dataset, made if need be, or a URI.
        project: overrides the project's name, which asv's files do not hold (see `project_of`).
        progress: called with (files done, files in all) after each file.

    Raises:
        SparsebenchError: a source does not exist or holds no result file, the dataset is of a
            newer schema version, it cannot be read or written (full, read-only, vanished), or what
            was stored just now has gone.
    """
    walks = [find_result_files(source) for source in sources]
    files = list(dict.fromkeys(path for found in walks for path in found.files))
    unread = dict.fromkeys(line for found in walks for line in found.problems.values())
    store = open_store(dataset)
    known = survey(store)
    store.remove_abandoned()
    contexts = {folder: load_context(folder, project) for folder in {p.parent for p in files}}
    looked = _look(files, contexts, known)
    done = sum(outcome is not None for outcome in looked.values())

    def tick() -> None:
        nonlocal done
        done += 1
        if progress:
            progress(done, len(files))

    todo = [path for path, outcome in looked.items() if outcome is None]
    merged = 0
    if todo:
        batches = list(_batches(todo, contexts, str(dataset), _next_sequence(known)))
        results = store_all(batches, tick)
        looked |= {result.source: _outcome(result) for result in results}
        added = survey(store, known)
        _still_there(store, results, added)
        merged = _merged(results, added)
        known = settle_conflicts(store, added)
    beside = dict.fromkeys(line for context in contexts.values() for line in context.problems)
    outcomes = tuple(outcome for outcome in looked.values() if outcome)
    bad = [outcome.problem for outcome in outcomes if outcome.problem]
    problems = (*unread, *known.problems.values(), *beside, *bad)
    return Report(outcomes, problems, merged, len(known.files))


def _look(
    files: Sequence[Path], contexts: Mapping[Path, Context], known: Survey
) -> dict[Path, Outcome | None]:
    """What becomes of each file that need not be parsed: unchanged, or bad; None for the rest."""
    runs = {o: run for file in known.files.values() for run in file.runs for o in run.origins}

    if not runs:
        return dict.fromkeys(files)

    def look(path: Path) -> Outcome | None:
        context = contexts[path.parent]
        try:
            digest = hashlib.sha256(read_bytes(path)).hexdigest()
            run = runs.get(origin_of(digest, context))
        except BadFileError as error:
            return Outcome(path, "bad", problem=str(error))
        same = run is not None and not run.unlisted & context.benchmarks.keys()
        return Outcome(path, "unchanged") if same else None

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # hashing lets other threads run
        return dict(zip(files, pool.map(look, files), strict=True))


def _batches(
    todo: Sequence[Path], contexts: Mapping[Path, Context], dataset: str, sequence: int
) -> Iterator[Batch]:
    """The files of each folder in portions of about equal size; several where that pays."""
    folders: defaultdict[Path, list[Source]] = defaultdict(list)
    for place, path in enumerate(todo):
        folders[path.parent].append(Source(path, sequence + place))
    total = sum(_size(path) for path in todo)
    portion = min(_BATCH, max(_WORTH_A_PROCESS, total // cores() + 1))
    for folder, sources in folders.items():
        size = sum(_size(source.path) for source in sources)
        count = min(-(-size // portion), len(sources)) or 1
        for part in range(count):
            chosen = sources[part * len(sources) // count : (part + 1) * len(sources) // count]
            yield Batch(dataset, contexts[folder], tuple(chosen))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # it has gone since; reading it will tell
        return 0


def _next_sequence(known: Survey) -> int:
    """Larger than all that is stored, also where a clock was set back; else by the clock."""
    stored = [run.sequence for file in known.files.values() for run in file.runs]
    return max(time.time_ns() // 1_000_000, 1 + max(stored, default=0))


def _still_there(store: Store, results: Sequence[Result], known: Survey) -> None:
    """Refuse to call stored what has gone since: a disk that was unmounted, an emptied bucket."""
    there = {origin for file in known.files.values() for run in file.runs for origin in run.origins}
    gone = [r.source for r in results if r.run is not None and not r.run.origins <= there]
    if gone and not known.problems:  # or they may lie in what cannot be read, which is told
        raise SparsebenchError(
            f"{store.shown}: {len(gone):,} of the files that were just stored are gone, the first "
            f"is {gone[0]}; is the store still there? the same command stores them again"
        )


def _merged(results: Sequence[Result], known: Survey) -> int:
    contested = known.contested()
    return sum(result.run is not None and result.run.key in contested for result in results)


def _outcome(result: Result) -> Outcome:
    state = "bad" if result.problem else "stored"
    return Outcome(result.source, state, result.rows, result.problem)
