"""What a gate measured, as it is kept: a plan, then an event a line, from which all is judged."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal, TextIO

from sparsebench.errors import SparsebenchError
from sparsebench.gate.cases import Case
from sparsebench.gate.findings import Side

FORMAT: Final = 1
Phase = Literal["screen", "confirm"]


@dataclass(frozen=True)
class Plan:
    """What is compared; the first line of a record.

    Attributes:
        project: asv's name of it.
        machine: the name of this machine.
        environment: asv's name of the environment.
        base, head: the commits.
        tolerance: the smallest relative change that matters.
        cases: what is measured, and what exists at one side only.
        notes: what is to be said about the whole run before it begins.
        format: of the record.
    """

    project: str
    machine: str
    environment: str
    base: Side
    head: Side
    tolerance: float
    cases: tuple[Case, ...]
    notes: tuple[str, ...] = ()
    format: int = FORMAT


@dataclass(frozen=True)
class Blocks:
    """One case, timed in one round.

    ``order`` has a letter a block, B for base and H for head, in the order of time; ``seconds`` is
    what a call took in each, the lower quartile of ``repeat`` samples of ``number`` calls.
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
    """One case that returns its value, in one round."""

    case: int
    round: int
    phase: Phase
    base: Any
    head: Any


@dataclass(frozen=True)
class Failure:
    """A side that could not be measured, and why."""

    case: int
    round: int
    side: str
    text: str


@dataclass(frozen=True)
class Skip:
    """A side that asked to be skipped."""

    case: int
    side: str


@dataclass(frozen=True)
class Doubt:
    """What is to be known about a case besides its numbers."""

    case: int
    text: str


@dataclass(frozen=True)
class Control:
    """Seconds of the same fixed work in both processes of a round: the machine's speed."""

    round: int
    base: float
    head: float


@dataclass(frozen=True)
class Ended:
    """Measuring stopped: for good, or until it is continued."""

    why: Literal["decided", "budget", "interrupted"]
    seconds: float


Event = Blocks | Values | Failure | Skip | Doubt | Control | Ended
_KINDS: Final = {kind.__name__.lower(): kind for kind in Event.__args__}


@dataclass
class Record:
    """A plan and its events so far."""

    plan: Plan
    events: list[Event] = field(default_factory=list)

    @property
    def rounds(self) -> int:
        """How many rounds have begun."""
        return 1 + max((getattr(event, "round", -1) for event in self.events), default=-1)

    @property
    def seconds(self) -> float:
        """How long measuring has taken, over all sittings."""
        return sum(event.seconds for event in self.events if isinstance(event, Ended))

    @property
    def finished(self) -> bool:
        """Whether it ended by itself."""
        last = self.events[-1] if self.events else None
        return isinstance(last, Ended) and last.why != "interrupted"


class Journal:
    """A record on disk, to which events are added as they happen.

    Raises:
        SparsebenchError: it cannot be written; what was written before stays.
    """

    def __init__(self, path: Path, record: Record) -> None:
        self.record = record
        self._path = path
        fresh = path.with_suffix(".new")
        with self._writing():
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_text("\n".join(lines(record)) + "\n", encoding="utf-8")
            fresh.replace(path)  # a record that is continued is never half there
            self._file: TextIO = path.open("a", encoding="utf-8", buffering=1)

    def add(self, *events: Event) -> None:
        """Keep these; a line each."""
        for event in events:
            self.record.events.append(event)
            with self._writing():
                self._file.write(_line(event) + "\n")

    def close(self) -> None:
        """No more events."""
        with self._writing():
            self._file.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SparsebenchError(f"{self._path}: cannot be written; {error.strerror}") from None


def lines(record: Record) -> list[str]:
    """The record as text, a JSON document a line."""
    return [json.dumps(asdict(record.plan)), *map(_line, record.events)]


def parse(where: str, text: Iterable[str]) -> Record:
    """The record that ``lines`` wrote; a last line that was cut off is left out.

    Raises:
        SparsebenchError: it is none, or one of a newer format.
    """
    rows = list(text)
    try:
        record = Record(_plan(where, json.loads(rows[0])))
        for row in rows[1:]:
            record.events.append(_event(json.loads(row), len(record.plan.cases)))
    except (json.JSONDecodeError, AttributeError, IndexError, KeyError, TypeError) as error:
        if isinstance(error, json.JSONDecodeError) and 1 < len(rows) == 2 + len(record.events):
            return record
        what = f"it has no {error}" if isinstance(error, KeyError) else error
        raise SparsebenchError(f"{where}: must be a gate's record; {what}") from None
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


def _plan(where: str, row: dict[str, Any]) -> Plan:
    if row["format"] > FORMAT:
        raise SparsebenchError(
            f"{where}: must be of format {FORMAT} or older, got format={row['format']}; "
            "update sparsebench"
        )
    row["base"], row["head"] = Side(**row["base"]), Side(**row["head"])
    row["cases"] = tuple(map(_case, row["cases"]))
    row["notes"] = tuple(row["notes"])
    return Plan(**{name.name: row[name.name] for name in fields(Plan)})


def _case(row: dict[str, Any]) -> Case:
    return Case(**{**row, "param_names": tuple(row["param_names"]), "params": tuple(row["params"])})
