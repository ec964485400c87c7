"""A batch of asv result files into one Parquet file: what a worker process does.

`main` reads pickled batches from stdin and answers on stdout: a process of its own, and not one of
multiprocessing, so that a script which calls `ingest` needs no ``__main__`` guard, and that a
killed parent takes its workers along, for their pipe ends.
"""

import gc
import hashlib
import pickle
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparsebench.errors import SparsebenchError
from sparsebench.results.asv.context import Context
from sparsebench.results.asv.json_files import BadFileError
from sparsebench.results.asv.result_files import load_result_file
from sparsebench.results.dataset.parquet_files import Run, write_file
from sparsebench.results.dataset.storage import open_store
from sparsebench.results.table import file_columns
from sparsebench.results.table.rows import ROWS_VERSION, Rows


@dataclass(frozen=True)
class Source:
    """One result file to be stored; the later of two has the larger sequence."""

    path: Path
    sequence: int


@dataclass(frozen=True)
class Batch:
    """Result files of one folder, which share what lies beside them."""

    dataset: str
    context: Context
    sources: tuple[Source, ...]


@dataclass(frozen=True)
class Result:
    """What became of a source: its rows and run, or its problem."""

    source: Path
    rows: int = 0
    run: Run | None = None
    problem: str | None = None


def origin_of(digest: str, context: Context) -> str:
    """A hash over all that makes a file's rows, but for asv's benchmarks.json (see `Run`).

    Args:
        digest: the file's SHA-256.
        context: what lies beside it.
    """
    made_of = f"{digest}\n{context.sha256}\n{context.project}\n{ROWS_VERSION}"
    return hashlib.sha256(made_of.encode("utf-8", "replace")).hexdigest()[:32]


def store_batch(batch: Batch, tick: Callable[[], None]) -> list[Result]:
    """Store the rows of a batch and tell what became of each of its sources.

    Args:
        batch: what to read, and the dataset.
        tick: called after each source was read.

    Raises:
        SparsebenchError: the dataset cannot be written.
    """
    layers: list[_Layer] = []
    results = []
    gc.disable()  # millions of numbers and no cycle: it would look at all of them again and again
    try:
        for source in batch.sources:
            results.append(_taken(source, batch.context, layers))
            tick()
        for layer in layers:
            layer.write(batch.dataset)
    finally:
        gc.enable()
    return results


class _Layer:
    """Rows of different runs; a second source of the same run goes into another file."""

    def __init__(self, context: Context) -> None:
        self.rows = Rows(context)
        self.runs: dict[Any, Run] = {}

    def write(self, dataset: str) -> None:
        store = open_store(dataset)
        for owner, table in self.rows.tables():
            runs = [r for r in self.runs.values() if (r.machine.project, r.machine.name) == owner]
            write_file(store, table, runs, ())


def _taken(source: Source, context: Context, layers: list[_Layer]) -> Result:
    try:
        file = load_result_file(source.path)
        run = Run(
            file_columns.machine_of(file_columns.columns_of(file, context)),
            file.commit_hash,
            file.env_name,
            source.sequence,
            frozenset([origin_of(file.sha256, context)]),
            frozenset(m.name for m in file.benchmarks) - context.benchmarks.keys(),
        )
        layer = next((layer for layer in layers if run.key not in layer.runs), None)
        if layer is None:
            layers.append(layer := _Layer(context))
        rows = layer.rows.add(file)
    except BadFileError as error:
        return Result(source.path, problem=str(error))
    except RecursionError:
        return Result(source.path, problem=f"{source.path}: JSON nested too deeply")
    except MemoryError:
        return Result(source.path, problem=f"{source.path}: too large for this machine's memory")
    layer.runs[run.key] = run
    return Result(source.path, rows, run)


def main() -> None:
    """Store batch after batch until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's ^C is the parent's matter
    answer = sys.stdout.buffer
    sys.stdout = sys.stderr  # whatever prints must not get between the answers

    def say(kind: str, what: Any = None) -> None:
        pickle.dump((kind, what), answer)
        answer.flush()

    while True:
        try:
            batch = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the process that started us
        except EOFError:
            return
        try:
            say("done", store_batch(batch, lambda: say("tick")))
        except SparsebenchError as error:
            say("error", str(error))
