"""Print what the dataset costs on a long history: the table of docs/results.md, as Markdown.

Each time is measured in a process of its own, so that none profits from what another has loaded;
the files are in the operating system's cache.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sparsebench.results import read
from sparsebench.results.dataset.compaction import read_encoded
from sparsebench.results.dataset.snapshot import take_snapshot
from sparsebench.results.dataset.storage import open_store
from studies.fleet_history import write_tree

FLOOR: Final = """
import json, pathlib, sys, time
began = time.perf_counter()
for path in pathlib.Path(sys.argv[1]).glob("*/*-*.json"):
    with path.open() as source:
        json.load(source)
print(time.perf_counter() - began)
"""
READ: Final = """
import sys, time
import pandas, pyarrow.dataset
from sparsebench.results import read, read_latest
dataset, one = sys.argv[1:]
eight = ["machine", "env_name", "benchmark", "case", "commit_hash", "commit_date", "value", "unit"]
began = time.perf_counter()
{}
print(time.perf_counter() - began)
"""
PLAIN: Final = """
import pathlib, sys
from studies.dataset_cost import plain_parquet_size
print(plain_parquet_size(*map(pathlib.Path, sys.argv[1:])))
"""
ONE: Final = "read(dataset, benchmark=one)"
IMPORTS: Final = "import sparsebench.cli.ingest, sparsebench.results.ingestion"
TIMES: Final = 5  # the median is printed; what takes seconds runs three times


@dataclass(frozen=True)
class ProcessRun:
    """Cost of a process and its children: seconds, and MB of the largest process."""

    wall: float
    cpu: float
    largest: float
    printed: str


def run(*arguments: str | Path) -> ProcessRun:
    """Run Python with these arguments."""
    began = time.perf_counter()
    with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        printed = child.stdout.read()
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - began
    if child.returncode:
        raise click.ClickException(f"{arguments}: ended with {child.returncode}")
    return ProcessRun(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1000, printed)


def verb(*arguments: str | Path) -> ProcessRun:
    """Run `sparsebench` with these arguments."""
    return run("-m", "sparsebench", *arguments)


def median_seconds(code: str, *arguments: str | Path, times: int = TIMES) -> float:
    """Return the median of the seconds that ``code`` prints."""
    return statistics.median(float(run("-c", code, *arguments).printed) for _ in range(times))


def size(folder: Path, pattern: str) -> int:
    """Return the bytes of all files that match."""
    return sum(path.stat().st_size for path in folder.rglob(pattern))


def stored(tree: Path, dataset: Path, floor: float) -> Iterator[tuple[str, str]]:
    """Yield time, memory and size of ingesting everything, three times into an empty dataset."""
    every = []
    for _ in range(3):
        shutil.rmtree(dataset, ignore_errors=True)
        every.append(verb("ingest", tree, "--into", dataset))
    wall = statistics.median(ran.wall for ran in every)
    cpu = statistics.median(ran.cpu for ran in every)
    yield (
        f"ingest of all files, {len(os.sched_getaffinity(0))} cores",
        f"{wall:.1f} s, {wall / floor:.2f} times as long; {cpu:.1f} s of processor time",
    )
    yield "... its largest process", f"{max(ran.largest for ran in every):.0f} MB"
    json_size, ours = size(tree, "*-*.json"), size(dataset, "*.parquet")
    files = len(list(dataset.rglob("*.parquet")))
    yield "dataset", f"{ours / 1e6:.1f} MB, {ours / json_size:.1%} of the JSON, {files} files"
    plain = int(run("-c", PLAIN, dataset, dataset.with_name("plain.parquet")).printed)
    yield (
        "the same rows in one Parquet file by plain zstd",
        f"{plain / 1e6:.1f} MB, {plain / json_size:.1%}",
    )


def plain_parquet_size(dataset: Path, path: Path) -> int:
    """Return the size of all rows as written by pyarrow's defaults, sorted by benchmark."""
    store = open_store(dataset)
    tables = [read_encoded(store, file) for file in take_snapshot(store).files.values()]
    table = pa.concat_tables(t for t in tables if t is not None)
    order = np.argsort(table["benchmark"].to_numpy().astype(str), kind="stable")
    plain = pa.schema(
        [f.with_type(pa.string()) if pa.types.is_dictionary(f.type) else f for f in table.schema]
    )
    with pq.ParquetWriter(path, plain, compression="zstd") as writer:
        for part in np.array_split(order, 4):
            writer.write_table(table.take(pa.array(part)).cast(plain))
    size = path.stat().st_size
    path.unlink()
    return size


def repeated(tree: Path, dataset: Path) -> Iterator[tuple[str, str]]:
    """Yield the time of ingesting what is stored already, and one new file."""
    start = statistics.median(run("-c", IMPORTS).wall for _ in range(TIMES))
    yield "start-up of `sparsebench ingest`: Python and its imports", f"{start:.2f} s"
    again = statistics.median(verb("ingest", tree, "--into", dataset).wall for _ in range(TIMES))
    yield "ingest of the unchanged tree, start-up included", f"{again:.2f} s"
    some = min(tree.glob("*/*-*.json"))
    alone, beside = [], []
    for number in range(2 * TIMES):
        new = some.with_name(f"{number:08x}-new.json")
        new.write_text(json.dumps(json.loads(some.read_text()) | {"commit_hash": f"{number:040x}"}))
        source, walls = (new, alone) if number % 2 else (tree, beside)
        walls.append(verb("ingest", source, "--into", dataset).wall)
        new.unlink()
    yield "ingest of one new file, beyond start-up", f"{statistics.median(alone) - start:.2f} s"
    yield "... as part of the whole tree", f"{statistics.median(beside) - start:.2f} s"


def read_times(dataset: Path, after: str = "") -> Iterator[tuple[str, str]]:
    """Yield the time of a first read in a process that has its imports."""
    rows = read(dataset, columns=["benchmark"])["benchmark"].value_counts()
    usual, longest = rows.index[len(rows) // 2], rows.index[0]
    for what, call, name in [
        (f"one benchmark's whole history ({rows[usual]:,} rows), all columns", ONE, usual),
        ("... eight columns", ONE.replace("one)", "one, columns=eight)"), usual),
        (f"the longest one's ({rows[longest]:,} rows), all columns", ONE, longest),
        ("newest value of everything, eight columns", "read_latest(dataset, columns=eight)", ""),
        ("... all columns", "read_latest(dataset)", ""),
    ]:
        pattern = f"^{name}$".replace(".", r"\.")
        yield f"{what}{after}", f"{median_seconds(READ.format(call), dataset, pattern):.2f} s"


def compacted(dataset: Path) -> Iterator[tuple[str, str]]:
    """Yield the cost of compacting the dataset."""
    before, one = len(list(dataset.rglob("*.parquet"))), verb("compact", dataset)
    files, megabytes = len(list(dataset.rglob("*.parquet"))), size(dataset, "*.parquet") / 1e6
    yield (
        f"compaction of {before} files into {files}",
        f"{one.wall:.1f} s, {one.largest:.0f} MB; {megabytes:.1f} MB stored",
    )


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
def main(folder: Path) -> None:
    """Measure in FOLDER; the history is generated there first, in half a minute."""
    tree, dataset = folder / "history", folder / "dataset"
    if not (tree / "benchmarks.json").exists():
        click.echo(write_tree(tree), err=True)
    floor = median_seconds(FLOOR, tree, times=3)
    click.echo("| | |\n|---|---|")
    click.echo(f"| `json.load` of all files, one core | {floor:.2f} s |")
    for parts in (
        stored(tree, dataset, floor),
        read_times(dataset),
        repeated(tree, dataset),
        compacted(dataset),
        read_times(dataset, after=", compacted"),
    ):
        for what, figure in parts:
            click.echo(f"| {what} | {figure} |")


if __name__ == "__main__":
    main()
