"""asv results into the dataset: walk the sources, skip what has not changed, report what is bad."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sparsebench.errors import SparsebenchError
from sparsebench.results.asv_context import Context, load_context
from sparsebench.results.asv_files import find_result_files, parse_result_file
from sparsebench.results.dataset import Survey, one_writer, path_of, remove_abandoned, store, survey
from sparsebench.results.json_files import BadFileError, read_bytes
from sparsebench.results.merge import merge
from sparsebench.results.rows import ROWS_VERSION, harness_columns, identity, to_table
from sparsebench.results.schema import SCHEMA, SCHEMA_VERSION


@dataclass(frozen=True)
class Outcome:
    """What became of one source file."""

    source: Path
    state: str  # "stored", "unchanged" or "bad"
    rows: int = 0  # of the source, that are in the dataset now
    kept: int = 0  # that were stored before of the same commit and environment, and stay
    problem: str | None = None


@dataclass(frozen=True)
class Report:
    """What one ingest did; ``problems`` are one line each and start with a path."""

    outcomes: tuple[Outcome, ...]
    problems: tuple[str, ...]

    def count(self, state: str) -> int:
        """How many source files ended in ``state``."""
        return sum(outcome.state == state for outcome in self.outcomes)

    @property
    def rows(self) -> int:
        """How many rows of the sources were written."""
        return sum(outcome.rows for outcome in self.outcomes)

    @property
    def kept(self) -> int:
        """How many rows that were stored before stay beside them."""
        return sum(outcome.kept for outcome in self.outcomes)


def ingest(
    sources: Sequence[Path],
    dataset: Path,
    *,
    project: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Store every asv result file at or under ``sources``; what is stored already is left alone.

    Stored rows of the same commit and environment are never dropped: what the source does not hold
    stays, and of a case that both hold the source's row stands unless it says less (no value, no
    samples); the whole rule is in `sparsebench.results.merge`. Two sources of the same commit and
    environment in one call are a conflict that no order decides; the second one is bad.

    A bad file is reported and the rest lands. Repeating an ingest changes nothing; an ingest that
    was cut off is continued by the next one.

    Args:
        sources: asv results trees, machine folders, or single result files.
        dataset: the folder of the Parquet dataset; made if need be.
        project: overrides the project's name, which asv's files do not hold (see `project_of`).
        progress: called with (files done, files in all) after each file.

    Raises:
        SparsebenchError: a source does not exist or holds no result file, the dataset is of a
            newer schema version, or it cannot be written (full, read-only).
    """
    walks = [find_result_files(source) for source in sources]
    files = list(dict.fromkeys(path for found in walks for path in found.files))
    unread = dict.fromkeys(line for found in walks for line in found.problems.values())
    known = survey(dataset)
    remove_abandoned(dataset)
    writer = _Writer(dataset, known, project)
    outcomes = []
    for path in files:
        outcomes.append(writer.take(path))
        if progress:
            progress(len(outcomes), len(files))
    broken = [line for path, line in known.problems.items() if path not in writer.rewritten]
    bad = [outcome.problem for outcome in outcomes if outcome.problem]
    return Report(tuple(outcomes), (*unread, *broken, *writer.context_problems(), *bad))


class _Writer:
    """One ingest under way: the dataset, what it held, and what was taken from which source."""

    def __init__(self, dataset: Path, known: Survey, project: str | None) -> None:
        self._dataset = dataset
        self._by_origin = {origin: path for path, origin in known.origins.items()}
        self._taken: dict[Path, tuple[Path, str]] = {}  # target: source, origin
        self._contexts: dict[Path, Context] = {}
        self._project = project
        self.rewritten: set[Path] = set()

    def context_problems(self) -> list[str]:
        problems = (p for context in self._contexts.values() for p in context.problems)
        return list(dict.fromkeys(problems))

    def take(self, source: Path) -> Outcome:
        try:
            return self._take(source, read_bytes(source))
        except BadFileError as error:
            return Outcome(source, "bad", problem=str(error))
        except RecursionError:
            return Outcome(source, "bad", problem=f"{source}: JSON nested too deeply")

    def _take(self, source: Path, content: bytes) -> Outcome:
        context = self._context(source.parent)
        origin = _origin(content, context)
        if (target := self._by_origin.get(origin)) is not None:
            self._claim(target, source, origin)
            return Outcome(source, "unchanged")
        file = parse_result_file(source, content)
        target = path_of(self._dataset, *identity(file, context))
        self._claim(target, source, origin)
        with _telling(target), one_writer(self._dataset):
            before = _stored(target)
            merged = merge(to_table(file, context, harness_columns(before)), before)
            store(merged.table, target, origin)
        self._by_origin[origin] = target
        self.rewritten.add(target)
        return Outcome(source, "stored", merged.table.num_rows - merged.kept, merged.kept)

    def _context(self, folder: Path) -> Context:
        if folder not in self._contexts:
            self._contexts[folder] = load_context(folder, self._project)
        return self._contexts[folder]

    def _claim(self, target: Path, source: Path, origin: str) -> None:
        """Refuse a second, different source of the same rows: one of the two would be lost."""
        first, first_origin = self._taken.setdefault(target, (source, origin))
        if first_origin != origin:
            raise BadFileError(
                source,
                f"same project, machine, commit and environment as {first}, which was stored; "
                "if it is another project's, ingest it by itself with --project NAME",
            )


def _origin(content: bytes, context: Context) -> str:
    """A hash over everything that shapes a file's rows."""
    shaped = [hashlib.sha256(content).hexdigest(), context.sha256, context.project]
    versions = [str(SCHEMA_VERSION), str(ROWS_VERSION)]
    return hashlib.sha256("\n".join(shaped + versions).encode()).hexdigest()


def _stored(target: Path) -> pa.Table:
    """The rows at ``target``; none where there are none, or the file is damaged."""
    try:
        return pq.read_table(target, partitioning=None)
    except PermissionError as error:  # whole, for all we know, so it must not be replaced
        raise SparsebenchError(f"{target}: cannot be read: {error.strerror}") from None
    except (OSError, pa.ArrowException):
        return SCHEMA.empty_table()


@contextmanager
def _telling(target: Path) -> Iterator[None]:
    """Give a disk's error as one line."""
    try:
        yield
    except OSError as error:
        raise SparsebenchError(
            f"{target}: cannot be written: {error.strerror or error}; what was stored stays, "
            "the same command continues"
        ) from None
