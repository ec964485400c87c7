"""The record of a gate: a plan, then one event per line, from which verdicts are derived."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal, TextIO

from sparsebench.errors import SparsebenchError
from sparsebench.files import atomic_path
from sparsebench.gate.cases import BenchmarkCase
from sparsebench.gate.findings import Side

FORMAT: Final = 2  # 1 had no control blocks of a GPU
Phase = Literal["screen", "confirm"]


@dataclass(frozen=True)
class RunPlan:
    """What a run compares; the first line of a record.

    Attributes:
        project: asv's name of the project.
        machine: the name of this machine.
        environment: asv's name of the environment.
        base, head: the commits.
        tolerance: the smallest relative change that matters.
        cases: the selected cases, also those that only one side has.
        notes: on the whole run, known before it begins.
        format: version of the record's format.
    """

    project: str
    machine: str
    environment: str
    base: Side
    head: Side
    tolerance: float
    cases: tuple[BenchmarkCase, ...]
    notes: tuple[str, ...] = ()
    format: int = FORMAT


@dataclass(frozen=True)
class Blocks:
    """The blocks of one case in one round.

    Attributes:
        order: one letter per block in measuring order, B for base and H for head.
        seconds: time per call of each block, the lower quartile of its samples.
        number: calls per sample.
        repeat: samples per block.
    """

    case: int
    round: int
    phase: Phase
    order: str
    seconds: tuple[float, ...]
    number: int
    repeat: int


@dataclass(frozen=True)
class Values:
    """The values of one case in one round, of a benchmark that returns its value."""

    case: int
    round: int
    phase: Phase
    base: Any
    head: Any


@dataclass(frozen=True)
class Failure:
    """A side that could not be measured, with the error."""

    case: int
    round: int
    side: str
    text: str


@dataclass(frozen=True)
class Skip:
    """A side at which the benchmark skips the case."""

    case: int
    side: str


@dataclass(frozen=True)
class Doubt:
    """A warning about a case."""

    case: int
    text: str


@dataclass(frozen=True)
class Control:
    """Seconds of the same fixed work in both processes of a round, to compare their speed.

    ``device``: "cpu", or "cuda" for a copy on the GPU that the measured cases use.
    """

    round: int
    base: float
    head: float
    device: str = "cpu"


@dataclass(frozen=True)
class Ended:
    """The end of measuring, or of a part of it if it was interrupted."""

    why: Literal["decided", "budget", "interrupted"]
    seconds: float


Event = Blocks | Values | Failure | Skip | Doubt | Control | Ended
_KINDS: Final = {kind.__name__.lower(): kind for kind in Event.__args__}


@dataclass
class Record:
    """A plan and its events so far."""

    plan: RunPlan
    events: list[Event] = field(default_factory=list)

    @property
    def rounds(self) -> int:
        """The number of rounds that have begun."""
        return 1 + max((getattr(event, "round", -1) for event in self.events), default=-1)

    @property
    def seconds(self) -> float:
        """Seconds of measuring, over all parts."""
        return sum(event.seconds for event in self.events if isinstance(event, Ended))

    @property
    def finished(self) -> bool:
        """Whether measuring was not interrupted."""
        last = self.events[-1] if self.events else None
        return isinstance(last, Ended) and last.why != "interrupted"


class Journal:
    """A record on disk, to which events are added as they happen.

    Attributes:
        record: the plan and all events so far.
        file: the open file, which is written line by line.

    Raises:
        SparsebenchError: it cannot be written; earlier events are kept.
    """

    def __init__(self, path: Path, record: Record) -> None:
        self.record = record
        self._path = path
        with self._write_errors():
            with atomic_path(path) as temporary:
                temporary.write_text("\n".join(lines(record)) + "\n", encoding="utf-8")
            self.file: TextIO = path.open("a", encoding="utf-8", buffering=1)

    def add(self, *events: Event) -> None:
        """Add events, one line each."""
        for event in events:
            self.record.events.append(event)
            with self._write_errors():
                self.file.write(_line(event) + "\n")

    def close(self) -> None:
        """Close the file."""
        with self._write_errors():
            self.file.close()

    @contextmanager
    def _write_errors(self) -> Iterator[None]:
        """Raise a SparsebenchError that names the file for an OSError in the block."""
        try:
            yield
        except OSError as error:
            raise SparsebenchError(f"{self._path}: cannot be written; {error.strerror}") from None


def lines(record: Record) -> list[str]:
    """Return the record as text, one JSON document per line."""
    return [json.dumps(asdict(record.plan)), *map(_line, record.events)]


def parse(where: str, text: Iterable[str]) -> Record:
    """Return the record that ``lines`` wrote; an incomplete last line is ignored.

    Raises:
        SparsebenchError: it is not a record, or has a newer format.
    """
    rows = list(text)
    try:
        record = Record(_plan(where, json.loads(rows[0])))
        for row in rows[1:]:
            record.events.append(_event(json.loads(row), len(record.plan.cases)))
    except (json.JSONDecodeError, AttributeError, IndexError, KeyError, TypeError) as error:
        if isinstance(error, json.JSONDecodeError) and 1 < len(rows) == 2 + len(record.events):
            return record
        reason = f"it has no {error}" if isinstance(error, KeyError) else error
        raise SparsebenchError(f"{where}: must be a gate's record; {reason}") from None
    return record


def _line(event: Event) -> str:
    return json.dumps({"event": type(event).__name__.lower(), **asdict(event)})


def _event(row: dict[str, Any], cases: int) -> Event:
    kind = _KINDS[row.pop("event")]
    if row.get("case", 0) not in range(cases):
        raise IndexError(f"its plan has no case {row['case']!r}")
    if kind is Blocks:
        row["seconds"] = tuple(row["seconds"])
    event: Event = kind(**row)
    return event


def _plan(where: str, row: dict[str, Any]) -> RunPlan:
    if row["format"] > FORMAT:
        raise SparsebenchError(
            f"{where}: must be of format {FORMAT} or older, got format={row['format']}; "
            "update sparsebench"
        )
    row["base"], row["head"] = Side(**row["base"]), Side(**row["head"])
    row["cases"] = tuple(map(_case, row["cases"]))
    row["notes"] = tuple(row["notes"])
    return RunPlan(**{name.name: row[name.name] for name in fields(RunPlan)})


def _case(row: dict[str, Any]) -> BenchmarkCase:
    return BenchmarkCase(
        **{**row, "param_names": tuple(row["param_names"]), "params": tuple(row["params"])}
    )


def load_record(path: Path) -> Record:
    """Return the record in a file of ``gate --json`` or ``--into``, or below ``.asv/gate``.

    Raises:
        SparsebenchError: it cannot be read or contains no record.
    """
    if path.is_dir():
        records = [p for p in path.iterdir() if p.suffix in (".json", ".jsonl", ".parquet")]
        newest = max(records, key=lambda p: p.stat().st_mtime, default=None)
        hint = f"; the newest in it: {newest}" if newest else ""
        raise SparsebenchError(f"{path}: must be one record, got a folder{hint}")
    if path.suffix == ".parquet":
        from sparsebench.gate import parquet  # imports Arrow, 70 MB, which is rarely needed

        return parquet.read(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SparsebenchError(f"{path}: cannot be read; {error}") from None
    try:
        document = json.loads(text)
    except json.JSONDecodeError:  # more than one document: a journal
        return parse(str(path), text.splitlines())
    rows = document.get("record") if isinstance(document, dict) else None
    return parse(str(path), rows if isinstance(rows, list) else text.splitlines())
