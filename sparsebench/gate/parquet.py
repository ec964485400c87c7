"""A record as a Parquet file: one row per block, all other events in the metadata."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from sparsebench.errors import SparsebenchError
from sparsebench.files import atomic_path
from sparsebench.gate.record import Blocks, Record, lines, parse

_KEY: Final = b"sparsebench_gate_record"
_SIDES: Final = {"B": "base", "H": "head"}

SCHEMA: Final = pa.schema(
    [
        pa.field("project", pa.string()),
        pa.field("machine", pa.string()),
        pa.field("environment", pa.string()),
        pa.field("base", pa.string()),  # hashes of the two commits
        pa.field("head", pa.string()),
        pa.field("benchmark", pa.string()),
        pa.field("param_names", pa.list_(pa.string())),
        pa.field("params", pa.list_(pa.string())),
        pa.field("phase", pa.string()),  # screen or confirm
        pa.field("round", pa.int32()),  # each with a fresh pair of processes
        pa.field("position", pa.int32()),  # of the block among the case's in this round
        pa.field("side", pa.string()),  # base or head
        pa.field("seconds", pa.float64()),  # per call: the lower quartile of the samples
        pa.field("number", pa.int64()),  # calls per sample
        pa.field("repeat", pa.int64()),  # samples per block
        pa.field("event", pa.int32()),  # the line of the record that the block belongs to
    ]
)


def write(record: Record, folder: Path) -> Path:
    """Add a record to ``folder`` and return its file, which is the same for the same record.

    Raises:
        SparsebenchError: the folder cannot be written to, or holds Parquet files of another kind.
    """
    _check_own(folder)
    text = lines(record)
    name = sha256("\n".join(text).encode()).hexdigest()[:12]
    plan = record.plan
    path = folder / f"gate-{plan.base.hash[:8]}-{plan.head.hash[:8]}-{name}.parquet"
    table = pa.Table.from_pylist(_rows(record), SCHEMA)
    metadata = {_KEY: json.dumps([text[0], *map(_without_seconds, text[1:])])}
    try:
        with atomic_path(path) as temporary:
            pq.write_table(table.replace_schema_metadata(metadata), temporary, compression="zstd")
    except OSError as error:
        raise SparsebenchError(f"{folder}: cannot be written to; {error}") from None
    return path


def _check_own(folder: Path) -> None:
    """Refuse a folder with other Parquet files, since readers expect equal columns in a folder."""
    other = next((p for p in folder.rglob("*.parquet") if not p.name.startswith("gate-")), None)
    if other:
        raise SparsebenchError(
            f"{folder}: must hold gates only, got {other.name}; "
            "give a folder of its own, such as results/gate"
        )


def read(path: Path) -> Record:
    """Return the record of a file, equal to the one that was written.

    Raises:
        SparsebenchError: no Parquet file, or not one of a gate.
    """
    try:
        table = pq.read_table(path, columns=["event", "position", "seconds"])
    except (pa.ArrowException, OSError) as error:
        raise SparsebenchError(f"{path}: cannot be read; {error}") from None
    metadata = table.schema.metadata or {}
    if _KEY not in metadata:
        raise SparsebenchError(f"{path}: must be a gate's Parquet file; it has no record")
    text = json.loads(metadata[_KEY])
    seconds: dict[int, list[float]] = {}
    for event, second in zip(table["event"].to_pylist(), table["seconds"].to_pylist(), strict=True):
        seconds.setdefault(event, []).append(second)
    return parse(str(path), [_with_seconds(row, seconds.get(i)) for i, row in enumerate(text)])


def _rows(record: Record) -> list[dict[str, Any]]:
    plan = record.plan
    shared = {
        "project": plan.project,
        "machine": plan.machine,
        "environment": plan.environment,
        "base": plan.base.hash,
        "head": plan.head.hash,
    }
    return [
        {**shared, **row, "event": line}
        for line, event in enumerate(record.events, start=1)
        if isinstance(event, Blocks)
        for row in _blocks(record, event)
    ]


def _blocks(record: Record, blocks: Blocks) -> list[dict[str, Any]]:
    case = record.plan.cases[blocks.case]
    shared = {
        "benchmark": case.benchmark,
        "param_names": case.param_names,
        "params": case.params,
        "phase": blocks.phase,
        "round": blocks.round,
        "number": blocks.number,
        "repeat": blocks.repeat,
    }
    return [
        {**shared, "position": position, "side": _SIDES[letter], "seconds": seconds}
        for position, (letter, seconds) in enumerate(zip(blocks.order, blocks.seconds, strict=True))
    ]


def _without_seconds(row: str) -> str:
    event = json.loads(row)
    return json.dumps({**event, "seconds": []}) if event["event"] == "blocks" else row


def _with_seconds(row: str, seconds: list[float] | None) -> str:
    return row if seconds is None else json.dumps({**json.loads(row), "seconds": seconds})
