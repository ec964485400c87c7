"""A gate from end to end: install both commits, find the cases, measure, keep the record."""

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from sparsebench.errors import SparsebenchError
from sparsebench.gate.cases import Selection, cases, unimportable, unsupported
from sparsebench.gate.coordinator import Rounds, Tell
from sparsebench.gate.findings import Side
from sparsebench.gate.record import Journal, Plan, Record, parse
from sparsebench.gate.worker_process import SIDES, Launch, Pair, WorkerProcess
from sparsebench.project.commits import differs, extract
from sparsebench.project.installations import Installation, installed
from sparsebench.project.settings import Project

_KEPT = 64  # records below .asv/gate
_DISCOVERY = 300.0  # seconds for importing all benchmarks


@dataclass(frozen=True)
class Request:
    """What is to be compared, and how.

    Attributes:
        base, head: the commits.
        wanted: which cases.
        tolerance: the smallest relative change that matters.
        budget: seconds for measuring; what is undecided then stays so.
        environment: asv's name of the one to measure in.
        machine: the name of this machine.
    """

    base: Side
    head: Side
    wanted: Selection
    tolerance: float
    budget: float
    environment: str
    machine: str

    @property
    def key(self) -> str:
        """The same for requests that one record can serve."""
        wanted = (self.wanted.pattern.pattern, self.wanted.device)
        parts = (self.base, self.head, wanted, self.tolerance, self.environment)
        return sha256(repr(parts).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Progress:
    """Where a gate tells how far it is."""

    say: Callable[[str], None]  # a line about what begins
    tell: Tell  # how far measuring is


def run(project: Project, request: Request, progress: Progress) -> Record:
    """Measure what is asked for; an interrupted run is continued where it stopped.

    Raises:
        SparsebenchError: a commit does not build, benchmarks cannot be discovered, or none match.
    """
    log = project.root / ".asv" / "gate.log"
    homes = installations(project, request, log, progress)
    record = _interrupted(project, request)
    with tempfile.TemporaryDirectory(prefix="sparsebench-gate-") as folder:
        started = launches(homes, project.benchmarks, Path(folder), log)
        with Pair(started, record.rounds if record else 0) as pair:
            if record:
                progress.say(f"continuing an interrupted run after {record.rounds} rounds")
            else:
                record = Record(plan_of(project, request, pair, started["base"], progress))
            journal = Journal(_path(project, request), record)
            rounds = Rounds(journal, started, Path(folder))
            try:
                rounds.run(request.budget, progress.tell, pair)
            finally:
                journal.close()
    _forget_old(_path(project, request).parent)
    return record


def installations(
    project: Project, request: Request, log: Path, progress: Progress
) -> dict[str, Installation]:
    """Both commits, installed; the log begins anew."""
    log.parent.mkdir(exist_ok=True)
    log.write_text("", encoding="utf-8")
    return {
        name: installed(project, request.environment, side.hash, log, progress.say)
        for name, side in (("base", request.base), ("head", request.head))
    }


def _path(project: Project, request: Request) -> Path:
    """Where the record of this request and today's benchmarks is kept."""
    files = sorted(project.benchmarks.rglob("*.py"))
    texts = b"".join(str(path).encode() + path.read_bytes() for path in files)
    name = f"{request.key}-{sha256(texts).hexdigest()[:8]}.jsonl"
    return project.root / ".asv" / "gate" / name


def _interrupted(project: Project, request: Request) -> Record | None:
    """The record of an earlier run of the same request that was cut off."""
    path = _path(project, request)
    if not path.is_file():
        return None
    try:
        record = parse(str(path), path.read_text(encoding="utf-8").splitlines())
    except SparsebenchError as error:
        raise SparsebenchError(f"{error}; delete it to begin anew") from None
    return None if record.finished else record


def _forget_old(folder: Path) -> None:
    """Delete all but the newest records."""
    by_age = sorted(folder.glob("*.jsonl"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in by_age[_KEPT:]:
        path.unlink(missing_ok=True)


def launches(
    homes: dict[str, Installation], benchmarks: Path, folder: Path, log: Path
) -> dict[str, Launch]:
    """How to start each side's workers, which live below ``folder``."""
    for side in SIDES:
        (folder / side).mkdir()
    return {side: Launch(homes[side], benchmarks, folder / side, log) for side in SIDES}


def plan_of(
    project: Project, request: Request, pair: Pair, base: Launch, progress: Progress
) -> Plan:
    """What is to be compared: what both workers of ``pair`` find in today's benchmarks.

    Raises:
        SparsebenchError: they cannot be discovered, or none is wanted.
    """
    progress.say("finding benchmarks")
    discovered = pair.both("discover", _DISCOVERY)
    for side, reply in discovered.items():
        if "failed" in reply:
            raise SparsebenchError(
                f"{project.benchmarks}: must be discoverable, but at {side}: {reply['failed']}; "
                f"all of it: {base.log}"
            )
    own = _own_names(project, request.base, base)
    notes = [f"{name}: its type of benchmark is not supported" for name in unsupported(discovered)]
    notes += unimportable(discovered)
    return Plan(
        project=project.name,
        machine=request.machine,
        environment=request.environment,
        base=request.base,
        head=request.head,
        tolerance=request.tolerance,
        cases=tuple(cases(discovered, own, project.timeout, request.wanted)),
        notes=tuple(notes),
    )


def _own_names(project: Project, base: Side, launch: Launch) -> Iterable[str]:
    """The benchmarks in the base's own files; none where those are today's."""
    folder = project.benchmarks
    if not folder.is_relative_to(project.repository) or not differs(
        project.repository, base.hash, folder
    ):
        return []
    with tempfile.TemporaryDirectory(prefix="sparsebench-gate-") as into:
        own = extract(project.repository, base.hash, folder, Path(into))
        if own is None:
            return []
        worker = WorkerProcess(replace(launch, benchmarks=own))
        try:
            reply = worker.ask("discover", _DISCOVERY)
        finally:
            worker.end()
    return [benchmark["name"] for benchmark in reply.get("benchmarks", [])]
