"""How often the gate errs on this machine: the same commit on both sides, slowed or not."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from sparsebench.gate.calibration import Calibration, Tally, Trial
from sparsebench.gate.coordinator import Rounds
from sparsebench.gate.findings import GateResult, Verdict
from sparsebench.gate.gathered import Gathered, gather
from sparsebench.gate.record import Journal, Plan, Record
from sparsebench.gate.result import result
from sparsebench.gate.runner import Progress, Request, installations, launches, plan_of
from sparsebench.gate.worker_process import Launch, Pair
from sparsebench.project.installations import twin
from sparsebench.project.settings import Project
from sparsebench.stats import asv_finds_slower

_SEEDS: Final = 1000  # rounds that a run may have before it repeats the next one's layouts


@dataclass(frozen=True)
class Experiment:
    """Some runs with the same slow-down.

    Attributes:
        effect: the share of extra work; 0: A/A.
        runs: how many gates.
        one_case: whether only one case is slowed, another one in each run.
    """

    effect: float
    runs: int
    one_case: bool = False

    def slowdowns(self, timed: Sequence[int], run: int) -> dict[int, float]:
        """The share by which each of these cases is slowed in a run."""
        if not self.effect:
            return {}
        chosen = [timed[run % len(timed)]] if self.one_case else timed
        return dict.fromkeys(chosen, self.effect)


@dataclass(frozen=True)
class _Setup:
    """What all runs share."""

    plan: Plan
    launches: Mapping[str, Launch]
    folder: Path
    journals: Path
    budget: float


def calibrate(
    project: Project,
    request: Request,
    experiments: Sequence[Experiment],
    progress: Progress,
    done: Callable[[Trial], None],
) -> Calibration:
    """Run all experiments; ``done`` hears of each when it has ended.

    Base and head are copies of one installed commit, in two places as in a real gate. What was
    measured is kept, a record a run, below ``.asv/gate/calibration``.

    Raises:
        SparsebenchError: as for a gate.
    """
    trials = []
    with _setup(project, request, progress) as setup:
        for number, experiment in enumerate(experiments):
            trial = _trial(setup, experiment, number, progress)
            trials.append(trial)
            done(trial)
    return Calibration(
        project=project.name,
        machine=request.machine,
        environment=request.environment,
        commit=request.base.hash,
        benchmarks=request.wanted.pattern.pattern,
        tolerance=request.tolerance,
        trials=tuple(trials),
    )


@contextmanager
def _setup(project: Project, request: Request, progress: Progress) -> Iterator[_Setup]:
    log = project.root / ".asv" / "gate.log"
    homes = installations(project, request, log, progress)
    homes["head"] = twin(homes["base"])
    with tempfile.TemporaryDirectory(prefix="sparsebench-calibrate-") as folder:
        started = launches(homes, project.benchmarks, Path(folder), log)
        with Pair(started, 0) as pair:
            plan = plan_of(project, request, pair, started["base"], progress)
        journals = project.root / ".asv" / "gate" / "calibration"
        yield _Setup(plan, started, Path(folder), journals, request.budget)


def _trial(setup: _Setup, experiment: Experiment, number: int, progress: Progress) -> Trial:
    total: Trial | None = None
    for run in range(experiment.runs):
        progress.say(f"{_named(experiment)}: run {run + 1} of {experiment.runs}")
        one = _run(setup, experiment, f"{number}-{run}", run, progress)
        total = one if total is None else added(total, one)
    assert total, "an experiment has runs"
    return replace(total, seconds=total.seconds / experiment.runs)


def _run(setup: _Setup, experiment: Experiment, name: str, run: int, progress: Progress) -> Trial:
    record = Record(setup.plan)
    timed = [i for i, case in enumerate(setup.plan.cases) if case.type == "time"]
    slowdowns = experiment.slowdowns(timed, run)
    journal = Journal(setup.journals / f"{name}.jsonl", record)
    rounds = Rounds(journal, dict(setup.launches), setup.folder, slowdowns, seed=run * _SEEDS)
    try:
        rounds.run(setup.budget, progress.tell)
    finally:
        journal.close()
    found = result(record)
    gathered = gather(len(setup.plan.cases), record.events)
    return scored(experiment, found, [gathered[i] for i in timed], timed, slowdowns)


def scored(
    experiment: Experiment,
    found: GateResult,
    timed: Sequence[Gathered],
    indices: Sequence[int],
    slowdowns: Mapping[int, float],
) -> Trial:
    """One run as a trial of its own."""
    slowed = [index in slowdowns for index in indices]
    gate = [found.findings[index].verdict is Verdict.REGRESSED for index in indices]
    asv = [asv_finds_slower(got.seconds("base"), got.seconds("head")) for got in timed]
    return Trial(
        effect=experiment.effect,
        runs=1,
        slowed=sum(slowed),
        unslowed=len(slowed) - sum(slowed),
        gate=_tally(gate, slowed),
        asv=_tally(asv, slowed),
        undecided=found.count(Verdict.UNDECIDED),
        changed_results=found.count(Verdict.CHANGED_RESULT),
        seconds=found.seconds,
    )


def _tally(flagged: Sequence[bool], slowed: Sequence[bool]) -> Tally:
    pairs = list(zip(flagged, slowed, strict=True))
    false = sum(flag and not slow for flag, slow in pairs)
    return Tally(sum(flag and slow for flag, slow in pairs), false, int(false > 0))


def added(one: Trial, other: Trial) -> Trial:
    """Both trials as one; its seconds are the sum."""
    return Trial(
        effect=one.effect,
        runs=one.runs + other.runs,
        slowed=one.slowed + other.slowed,
        unslowed=one.unslowed + other.unslowed,
        gate=_added_tally(one.gate, other.gate),
        asv=_added_tally(one.asv, other.asv),
        undecided=one.undecided + other.undecided,
        changed_results=one.changed_results + other.changed_results,
        seconds=one.seconds + other.seconds,
    )


def _added_tally(one: Tally, other: Tally) -> Tally:
    return Tally(
        one.found + other.found,
        one.false_alarms + other.false_alarms,
        one.alarmed_runs + other.alarmed_runs,
    )


def _named(experiment: Experiment) -> str:
    if not experiment.effect:
        return "A/A"
    which = "one case" if experiment.one_case else "every case"
    return f"{which} slowed by {experiment.effect:.0%}"
