"""The dataset's Parquet files: how one is written, and what its footer says of its rows.

A file holds the rows of any number of runs, sorted by benchmark and then by commit date. A run is
what one machine measured of one commit in one environment. The footer names the runs, with hashes
of the sources that they were made from, and the files that this one replaces. So the files alone
say what the dataset is: there is no index beside them that could be lost or out of date.
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
from sparsebench.results.table.encoding import TEXT_COLUMNS
from sparsebench.results.table.schema import SCHEMA_VERSION

_SCHEMA_KEY: Final = b"sparsebench_schema"
_RUNS_KEY: Final = b"sparsebench_runs"
ROW_GROUP: Final = 32_768  # rows; small enough to read one benchmark without many others
HARDWARE_IDENTITY: Final = ("arch", "cpu", "num_cpu", "ram", "gpu")
IDENTITY_COLUMNS: Final = ("project", "machine", "commit_hash", "env_name", *HARDWARE_IDENTITY)

# Columns that differ from row to row, which a dictionary would only make larger. zstd compresses
# doubles best if their first bytes are stored together (byte stream split), and only from level 11
# on: 6 % less. Times and counts compress best as they are. Levels above 11 gain 1 % for twice the
# time.
_SPLIT: Final = ("value", "samples.list.element", "ci_99_a", "ci_99_b", "q_25", "q_75")
_PLAIN: Final = ("number", "started_at", "duration")

# The text columns whose least and greatest value per row group let readers skip row groups, since
# rows are sorted by them or alike. Of the others it takes a third of the writing time and skips
# nothing.
_WITH_STATISTICS: Final = ("project", "machine", "env_name", "benchmark")

Hardware = tuple[str | int | None, ...]  # in the order of HARDWARE_IDENTITY


@dataclass(frozen=True)
class MachineIdentity:
    """A machine's name and hardware; one name with different hardware is two machines."""

    project: str
    name: str
    hardware: Hardware


RunKey = tuple[MachineIdentity, str, str]  # machine, commit hash, environment
Canonical = dict[MachineIdentity, MachineIdentity]


def canonical_machines(machines: Iterable[MachineIdentity]) -> Canonical:
    """Return, for each identity, the one that stands for all identities of the same machine.

    Two identities of one name are the same machine if no hardware that both know differs: what is
    not known is no difference, because older files say less. The one that knows most stands for
    the others.
    """
    groups: list[MachineIdentity] = []
    canonical: Canonical = {}
    for machine in sorted(set(machines), key=_least_unknown):
        same = (group for group in groups if _may_be_same(machine, group))
        canonical[machine] = group = next(same, machine)
        if group is machine:
            groups.append(machine)
    return canonical


def _least_unknown(machine: MachineIdentity) -> tuple[int, str]:
    return sum(value is None for value in machine.hardware), str(machine)


def _may_be_same(first: MachineIdentity, second: MachineIdentity) -> bool:
    pairs = zip(first.hardware, second.hardware, strict=True)
    names = (first.project, first.name) == (second.project, second.name)
    return names and all(a is None or b is None or a == b for a, b in pairs)


@dataclass(frozen=True)
class Run:
    """What one machine measured of one commit in one environment.

    Attributes:
        sequence: the order of ingestion; larger than those of all runs that were stored before.
        origins: a hash of each source that it was made from.
        unlisted: the benchmarks that asv's benchmarks.json did not list at the time.
    """

    machine: MachineIdentity
    commit_hash: str
    env_name: str
    sequence: int
    origins: frozenset[str]
    unlisted: frozenset[str] = frozenset()

    @property
    def key(self) -> RunKey:
        """The run's identity; two runs of the same key are merged."""
        return self.machine, self.commit_hash, self.env_name


@dataclass(frozen=True)
class DatasetFile:
    """A Parquet file of the dataset and what its footer says.

    Attributes:
        benchmarks: the names of all benchmarks that have a row.
        replaces: names of files whose rows are all in this one.
        rows: their number.
        size: bytes.
        version: of the schema.
    """

    name: str
    runs: tuple[Run, ...]
    benchmarks: tuple[str, ...]
    replaces: frozenset[str]
    rows: int
    size: int
    version: int


def read_footer(store: Store, name: str) -> DatasetFile:
    """Return what the footer of one file says.

    Raises:
        SparsebenchError: the file has a newer schema version than this sparsebench knows.
        OSError, pa.ArrowException: it is no readable Parquet file.
    """
    with store.open(name) as source:
        footer = pq.read_metadata(source)
        size = source.size()
        metadata = footer.metadata or {}
        version = metadata.get(_SCHEMA_KEY, b"0").decode(errors="replace")
        if not version.isdecimal() or int(version) > SCHEMA_VERSION:
            raise SparsebenchError(
                f"{store.show(name)}: dataset schema version must be at most {SCHEMA_VERSION}, "
                f"got {version}; update sparsebench"
            )
        if _RUNS_KEY in metadata:
            runs, benchmarks, replaces = _unpack(metadata[_RUNS_KEY])
        else:
            runs, benchmarks = _version_1_runs(source, footer.schema.names)
            replaces = frozenset()
    return DatasetFile(name, runs, benchmarks, replaces, footer.num_rows, size, int(version))


def write_file(store: Store, table: pa.Table, runs: Sequence[Run], replaces: Iterable[str]) -> str:
    """Store sorted rows as a new file and return its name, which holds a hash of its content.

    Args:
        store: the dataset's.
        table: rows of `SCHEMA`, of one project and machine; columns may be dictionaries.
        runs: all that the rows belong to, and those that have no row.
        replaces: names of files whose rows are all in ``table``.
    """
    benchmarks = pc.unique(table["benchmark"]).to_pylist()
    paths = [  # Parquet's names of the columns
        f"{field.name}.list.element" if pa.types.is_list(field.type) else field.name
        for field in table.schema
    ]
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        table.schema,
        compression="zstd",
        compression_level={path: 11 if path in _SPLIT else 6 for path in paths},
        store_schema=False,  # or readers would get categories for columns that are dictionaries
        use_dictionary=[path for path in paths if path not in (*_SPLIT, *_PLAIN)],
        use_byte_stream_split=list(_SPLIT),
        write_statistics=[p for p in paths if p in _WITH_STATISTICS or p not in TEXT_COLUMNS],
    ) as writer:
        writer.write_table(table, row_group_size=ROW_GROUP)
        writer.add_key_value_metadata(
            {
                _SCHEMA_KEY: str(SCHEMA_VERSION).encode(),
                _RUNS_KEY: _pack(runs, benchmarks, sorted(replaces)),
            }
        )
    content = sink.getvalue()
    machine = runs[0].machine
    label = slug(runs[0].commit_hash)[:8] if len(runs) == 1 else f"{len(runs)}-commits"
    digest = hashlib.sha256(content).hexdigest()[:16]
    name = f"{slug(machine.project)}/{slug(machine.name)}/{label}-{digest}.parquet"
    store.put(name, content)
    return name


def _pack(runs: Sequence[Run], benchmarks: Sequence[str], replaces: Sequence[str]) -> bytes:
    """Return compressed JSON in base64, which each reader of Parquet accepts as text."""
    machines = list(dict.fromkeys(run.machine for run in runs))
    names = sorted(set().union(*(run.unlisted for run in runs)))
    machine_index = {machine: index for index, machine in enumerate(machines)}
    name_index = {name: index for index, name in enumerate(names)}
    content = {
        "machines": [[m.project, m.name, m.hardware] for m in machines],
        "names": names,
        "runs": [
            [
                machine_index[run.machine],
                run.commit_hash,
                run.env_name,
                run.sequence,
                sorted(run.origins),
                sorted(name_index[name] for name in run.unlisted),
            ]
            for run in runs
        ],
        "benchmarks": benchmarks,
        "replaces": replaces,
    }
    return base64.b64encode(zlib.compress(json.dumps(content).encode()))


def _unpack(packed: bytes) -> tuple[tuple[Run, ...], tuple[str, ...], frozenset[str]]:
    """Return the runs, the benchmarks' names and the names of replaced files."""
    content = json.loads(zlib.decompress(base64.b64decode(packed)))
    machines = [
        MachineIdentity(project, name, tuple(hardware))
        for project, name, hardware in content["machines"]
    ]
    runs = tuple(
        Run(
            machines[machine],
            commit_hash,
            env_name,
            sequence,
            frozenset(origins),
            frozenset(content["names"][index] for index in unlisted),
        )
        for machine, commit_hash, env_name, sequence, origins, unlisted in content["runs"]
    )
    return runs, tuple(content["benchmarks"]), frozenset(content["replaces"])


def _version_1_runs(
    source: pa.NativeFile, columns: Sequence[str]
) -> tuple[tuple[Run, ...], tuple[str, ...]]:
    """Return the runs and benchmarks of a file of version 1: older than all others, no origins."""
    names = [name for name in IDENTITY_COLUMNS if name in columns]
    table = pq.ParquetFile(source).read(columns=[*names, "benchmark"])
    runs = tuple(
        Run(*key, sequence=0, origins=frozenset())
        for key in dict.fromkeys(run_keys(table.group_by(names).aggregate([])))
    )
    return runs, tuple(pc.unique(table["benchmark"]).to_pylist())


def run_keys(table: pa.Table, canonical: Canonical | None = None) -> list[RunKey]:
    """Return the key of each row's run; a column that an older version lacked is null.

    ``canonical``: see `canonical_machines`; the keys then have these identities.
    """
    columns = [
        table[name].to_pylist() if name in table.column_names else [None] * table.num_rows
        for name in IDENTITY_COLUMNS
    ]
    cache: dict[Any, RunKey] = {}
    keys = []
    for row in zip(*columns, strict=True):
        if row not in cache:
            project, name, commit, env, *hardware = row
            machine = MachineIdentity(project, name, tuple(hardware))
            cache[row] = (canonical or {}).get(machine, machine), commit, env
        keys.append(cache[row])
    return keys


def merge_runs(runs: Iterable[Run]) -> list[Run]:
    """Return one run per key: the newest, with the origins of all."""
    merged: dict[RunKey, Run] = {}
    for run in sorted(runs, key=lambda run: run.sequence):
        older = merged.get(run.key, run)
        merged[run.key] = replace(run, origins=run.origins | older.origins)
    return list(merged.values())
