"""The dataset's Parquet files: how one is written, and what its footer says of its rows.

A file holds the rows of any number of runs, sorted by benchmark and then by commit date. A run is
what one machine measured of one commit in one environment. The footer names the runs, with what
they were made from, and the files that this one replaces, so that the files alone say what the
dataset is: there is no index beside them that could be lost or be out of step.
"""

import base64
import hashlib
import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sparsebench.errors import SparsebenchError
from sparsebench.results.dataset.storage import Store, slug
from sparsebench.results.table.encoding import TEXT
from sparsebench.results.table.schema import SCHEMA_VERSION

_SCHEMA_KEY: Final = b"sparsebench_schema"
_RUNS_KEY: Final = b"sparsebench_runs"
ROW_GROUP: Final = 32_768  # small enough that one benchmark's rows are read without many others
HARDWARE_IDENTITY: Final = ("arch", "cpu", "num_cpu", "ram", "gpu")
IDENTITY_COLUMNS: Final = ("project", "machine", "commit_hash", "env_name", *HARDWARE_IDENTITY)

Hardware = tuple[str | int | None, ...]  # in the order of HARDWARE_IDENTITY


@dataclass(frozen=True)
class Machine:
    """A machine's name and what it is: two of one name and different hardware are two machines."""

    project: str
    name: str
    hardware: Hardware


@dataclass(frozen=True)
class Run:
    """What one machine measured of one commit in one environment.

    Attributes:
        sequence: when it was ingested: larger than of all that was stored before.
        origins: a hash over each source that it was made from.
        unlisted: the benchmarks that asv's benchmarks.json did not list then.
    """

    machine: Machine
    commit_hash: str
    env_name: str
    sequence: int
    origins: frozenset[str]
    unlisted: frozenset[str] = frozenset()

    @property
    def key(self) -> tuple[Machine, str, str]:
        """What tells runs apart; two of the same key are merged."""
        return self.machine, self.commit_hash, self.env_name


@dataclass(frozen=True)
class File:
    """A Parquet file of the dataset and what its footer says.

    Attributes:
        benchmarks: the names of all benchmarks that have a row.
        replaces: names of files whose rows are all in this one.
    """

    name: str
    runs: tuple[Run, ...]
    benchmarks: tuple[str, ...]
    replaces: frozenset[str]
    rows: int
    size: int
    version: int


def read_footer(store: Store, name: str) -> File:
    """What the footer of one file says.

    Raises:
        SparsebenchError: the file has a newer schema version than this sparsebench knows.
        OSError, pa.ArrowException: it is no readable Parquet file.
    """
    with store.open(name) as source:
        footer = pq.read_metadata(source)
        size = source.size()
        told = footer.metadata or {}
        version = _version(store, name, told)
        if _RUNS_KEY in told:
            runs, benchmarks, replaces = _unpacked(told[_RUNS_KEY])
        else:
            runs, benchmarks = _told_by_rows(source, footer.schema.names)
            replaces = frozenset()
    return File(name, runs, benchmarks, replaces, footer.num_rows, size, version)


def write_file(store: Store, table: pa.Table, runs: Sequence[Run], replaces: Iterable[str]) -> str:
    """Store sorted rows as a new file, and give its name: a hash over its content.

    Args:
        store: where to.
        table: rows of `SCHEMA`, of one project and machine; columns may be dictionaries.
        runs: all that the rows belong to, and those that have no row.
        replaces: names of files whose rows are all in ``table``.
    """
    told = {
        _SCHEMA_KEY: str(SCHEMA_VERSION).encode(),
        _RUNS_KEY: _packed(runs, pc.unique(table["benchmark"]).to_pylist(), sorted(replaces)),
    }
    paths = _paths(table.schema)
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        table.schema,
        compression="zstd",
        compression_level={path: 11 if path in _SPLIT else 6 for path in paths},
        store_schema=False,  # or readers would get categories where the memory held dictionaries
        use_dictionary=[path for path in paths if path not in (*_SPLIT, *_PLAIN)],
        use_byte_stream_split=list(_SPLIT),
        write_statistics=[path for path in paths if path in _SOUGHT or path not in TEXT],
    ) as writer:
        writer.write_table(table, row_group_size=ROW_GROUP)
        writer.add_key_value_metadata(told)
    content = sink.getvalue()
    machine = runs[0].machine
    label = slug(runs[0].commit_hash)[:8] if len(runs) == 1 else f"{len(runs)}-commits"
    digest = hashlib.sha256(content).hexdigest()[:16]
    name = f"{slug(machine.project)}/{slug(machine.name)}/{label}-{digest}.parquet"
    store.put(name, content)
    return name


# What differs row by row, which a dictionary would only make larger. Of doubles zstd finds most
# where first bytes stand beside first bytes, and only from level 11 on: 6 % less there. Of times
# and counts it finds most where each is whole. Still higher levels gain 1 % for twice the time.
_SPLIT: Final = ("value", "samples.list.element", "ci_99_a", "ci_99_b", "q_25", "q_75")
_PLAIN: Final = ("number", "started_at", "duration")

# Least and greatest text of a row group tell readers what to leave out where rows are sorted by it
# or alike; elsewhere finding them takes a third of the time of writing texts, and tells nothing.
_SOUGHT: Final = ("project", "machine", "env_name", "benchmark")


def _paths(schema: pa.Schema) -> list[str]:
    """Parquet's names of the columns, of which a list's has more than one part."""
    nested = {field.name: pa.types.is_list(field.type) for field in schema}
    return [f"{name}.list.element" if many else name for name, many in nested.items()]


def _version(store: Store, name: str, told: dict[bytes, bytes]) -> int:
    stored = told.get(_SCHEMA_KEY, b"0").decode(errors="replace")
    if not stored.isdecimal() or int(stored) > SCHEMA_VERSION:
        raise SparsebenchError(
            f"{store.show(name)}: dataset schema version must be at most {SCHEMA_VERSION}, "
            f"got {stored}; update sparsebench"
        )
    return int(stored)


def _packed(runs: Sequence[Run], benchmarks: Sequence[str], replaces: Sequence[str]) -> bytes:
    """JSON, compressed, in letters that every reader of Parquet takes for text."""
    machines = list(dict.fromkeys(run.machine for run in runs))
    names = sorted(set().union(*(run.unlisted for run in runs)))
    place = {name: index for index, name in enumerate(names)}
    place_of = {machine: index for index, machine in enumerate(machines)}
    listed = [
        [
            place_of[run.machine],
            run.commit_hash,
            run.env_name,
            run.sequence,
            sorted(run.origins),
            sorted(place[name] for name in run.unlisted),
        ]
        for run in runs
    ]
    told = {
        "machines": [[m.project, m.name, m.hardware] for m in machines],
        "names": names,
        "runs": listed,
        "benchmarks": benchmarks,
        "replaces": replaces,
    }
    return base64.b64encode(zlib.compress(json.dumps(told).encode()))


def _unpacked(packed: bytes) -> tuple[tuple[Run, ...], tuple[str, ...], frozenset[str]]:
    told = json.loads(zlib.decompress(base64.b64decode(packed)))
    machines = [Machine(project, name, tuple(hw)) for project, name, hw in told["machines"]]
    names = told["names"]
    runs = tuple(
        Run(
            machines[machine],
            commit_hash,
            env_name,
            sequence,
            frozenset(origins),
            frozenset(names[place] for place in unlisted),
        )
        for machine, commit_hash, env_name, sequence, origins, unlisted in told["runs"]
    )
    return runs, tuple(told["benchmarks"]), frozenset(told["replaces"])


def _told_by_rows(
    source: pa.NativeFile, columns: Sequence[str]
) -> tuple[tuple[Run, ...], tuple[str, ...]]:
    """The runs and benchmarks of a file of version 1: older than everything, of unknown origin."""
    have = [name for name in IDENTITY_COLUMNS if name in columns]
    table = pq.ParquetFile(source).read(columns=[*have, "benchmark"])
    runs = tuple(
        Run(*identity, sequence=0, origins=frozenset())
        for identity in dict.fromkeys(identities(table.group_by(have).aggregate([])))
    )
    return runs, tuple(pc.unique(table["benchmark"]).to_pylist())


def identities(table: pa.Table) -> list[tuple[Machine, str, str]]:
    """The key of each row's run; a column that an older version lacked is null."""
    size = table.num_rows
    columns = [
        table[name].to_pylist() if name in table.column_names else [None] * size
        for name in IDENTITY_COLUMNS
    ]
    known: dict[Any, tuple[Machine, str, str]] = {}
    keys = []
    for row in zip(*columns, strict=True):
        if row not in known:
            project, name, commit, env, *hardware = row
            known[row] = Machine(project, name, tuple(hardware)), commit, env
        keys.append(known[row])
    return keys


def combined(runs: Iterable[Run]) -> list[Run]:
    """One run a key: the newest, with all that any of them was made from."""
    found: dict[Any, Run] = {}
    for run in sorted(runs, key=lambda run: run.sequence):
        other = found.get(run.key, run)
        found[run.key] = replace(run, origins=run.origins | other.origins)
    return list(found.values())
