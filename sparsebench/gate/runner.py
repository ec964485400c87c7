"""A gate from start to end: install both commits, find the cases, measure, store the record."""

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from sparsebench.errors import SparsebenchError
from sparsebench.gate.cases import cases, unimportable, unsupported
from sparsebench.gate.coordinator import OnCase, Rounds
from sparsebench.gate.findings import SIDES, Side
from sparsebench.gate.record import Journal, Record, RunPlan, parse
from sparsebench.gate.request import Request
from sparsebench.gate.worker_process import Launch, Pair, WorkerProcess
from sparsebench.project.commits import differs, extract
from sparsebench.project.installations import Installation, installed
from sparsebench.project.settings import Project

_KEPT_RECORDS = 64  # below .asv/gate
_DISCOVERY_TIMEOUT = 300.0  # seconds for importing all benchmarks


@dataclass(frozen=True)
class Progress:
    """Callbacks that show the progress of a gate."""

    report: Callable[[str], None]  # called with a line on what begins
    on_case: OnCase  # called before each case


def run(project: Project, request: Request, progress: Progress) -> Record:
    """Measure what ``request`` selects, and return the record; continue an interrupted run.

    Raises:
        SparsebenchError: a commit does not build, benchmarks cannot be discovered, or none match.
    """
    log = project.root / ".asv" / "gate.log"
    installed_sides = install_sides(project, request, log, progress)
    path = _record_path(project, request)
    record = _unfinished_record(path)
    with tempfile.TemporaryDirectory(prefix="sparsebench-gate-") as folder:
        started = launches(installed_sides, project.benchmarks, Path(folder), log)
        with Pair(started, record.rounds if record else 0) as pair:
            if record:
                progress.report(f"continuing an interrupted run after {record.rounds} rounds")
            else:
                record = Record(run_plan(project, request, pair, started["base"], progress))
            journal = Journal(path, record)
            rounds = Rounds(journal, started, Path(folder))
            try:
                rounds.run(request.budget, progress.on_case, pair)
            finally:
                journal.close()
    _delete_old(path.parent)
    return record


def install_sides(
    project: Project, request: Request, log: Path, progress: Progress
) -> dict[str, Installation]:
    """Return both commits' installations; the log is emptied first."""
    log.parent.mkdir(exist_ok=True)
    log.write_text("", encoding="utf-8")
    return {
        name: installed(project, request.environment, side.hash, log, progress.report)
        for name, side in (("base", request.base), ("head", request.head))
    }


def _record_path(project: Project, request: Request) -> Path:
    """Return the path of the record of this request and the current benchmarks."""
    files = sorted(project.benchmarks.rglob("*.py"))
    texts = b"".join(str(path).encode() + path.read_bytes() for path in files)
    name = f"{request.key}-{sha256(texts).hexdigest()[:8]}.jsonl"
    return project.root / ".asv" / "gate" / name


def _unfinished_record(path: Path) -> Record | None:
    """Return the record at ``path`` if it is that of an interrupted run."""
    if not path.is_file():
        return None
    try:
        record = parse(str(path), path.read_text(encoding="utf-8").splitlines())
    except SparsebenchError as error:
        raise SparsebenchError(f"{error}; delete it to start again") from None
    return None if record.finished else record


def _delete_old(folder: Path) -> None:
    """Delete the oldest records."""
    by_age = sorted(folder.glob("*.jsonl"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in by_age[_KEPT_RECORDS:]:
        path.unlink(missing_ok=True)


def launches(
    installations: dict[str, Installation], benchmarks: Path, folder: Path, log: Path
) -> dict[str, Launch]:
    """Return how each side's workers are started, in folders below ``folder``."""
    for side in SIDES:
        (folder / side).mkdir()
    return {side: Launch(installations[side], benchmarks, folder / side, log) for side in SIDES}


def run_plan(
    project: Project, request: Request, pair: Pair, base: Launch, progress: Progress
) -> RunPlan:
    """Return the plan of a run: the selected cases that both workers of ``pair`` discover.

    Raises:
        SparsebenchError: benchmarks cannot be discovered, or no case is selected.
    """
    progress.report("finding benchmarks")
    discovered = pair.both("discover", _DISCOVERY_TIMEOUT)
    for side, reply in discovered.items():
        if "failed" in reply:
            raise SparsebenchError(
                f"{project.benchmarks}: must be discoverable, but at {side}: {reply['failed']}; "
                f"complete log: {base.log}"
            )
    base_names = _base_benchmarks(project, request.base, base)
    notes = [f"{name}: its type of benchmark is not supported" for name in unsupported(discovered)]
    notes += unimportable(discovered)
    return RunPlan(
        project=project.name,
        machine=request.machine,
        environment=request.environment,
        base=request.base,
        head=request.head,
        tolerance=request.tolerance,
        cases=tuple(cases(discovered, base_names, project.timeout, request.wanted)),
        notes=tuple(notes),
    )


def _base_benchmarks(project: Project, base: Side, launch: Launch) -> Iterable[str]:
    """Return the names of benchmarks in the base's own files, if these differ from the current."""
    folder = project.benchmarks
    if not folder.is_relative_to(project.repository) or not differs(
        project.repository, base.hash, folder
    ):
        return []
    with tempfile.TemporaryDirectory(prefix="sparsebench-gate-") as into:
        base_folder = extract(project.repository, base.hash, folder, Path(into))
        if base_folder is None:
            return []
        worker = WorkerProcess(replace(launch, benchmarks=base_folder))
        try:
            reply = worker.ask("discover", _DISCOVERY_TIMEOUT)
        finally:
            worker.end()
    return [benchmark["name"] for benchmark in reply.get("benchmarks", [])]
