"""Calibration: the gate's error rates on this machine, with one commit on both sides."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from sparsebench.gate.coordinator import Rounds
from sparsebench.gate.findings import GateResult, Verdict
from sparsebench.gate.measurements import CaseMeasurements, measurements_by_case
from sparsebench.gate.record import Journal, Record, RunPlan
from sparsebench.gate.request import Request
from sparsebench.gate.runner import Progress, install_sides, launches, run_plan
from sparsebench.gate.verdicts import gate_result
from sparsebench.gate.worker_process import Launch, Pair
from sparsebench.project.installations import Installation, copy_installation
from sparsebench.project.settings import Project
from sparsebench.stats import asv_finds_slower

_SEEDS: Final = 1000  # seeds per run: rounds of two runs have different memory layouts


@dataclass(frozen=True)
class Tally:
    """Results of one decision rule in one trial.

    Attributes:
        found: number of slowed cases that it reported as slower.
        false_alarms: number of other cases that it reported as slower.
        alarmed_runs: number of runs with a false alarm.
    """

    found: int = 0
    false_alarms: int = 0
    alarmed_runs: int = 0


@dataclass(frozen=True)
class Trial:
    """Runs of one commit on both sides, with the head slowed by one effect.

    Attributes:
        effect: share of extra work, 0.1 for 10 %; 0 for A/A.
        runs: number of gates, each with its own processes.
        slowed: number of verdicts on slowed cases over all runs; 0 for A/A.
        unslowed: number of verdicts on other cases.
        gate: results of the gate.
        asv: results of asv's rule (factor 1.1, Mann-Whitney p < 0.002) on the same samples.
        undecided: verdicts UNDECIDED, over all runs.
        changed_results: verdicts CHANGED RESULT, over all runs: each of them is wrong.
        seconds: mean time of a run, without builds.
    """

    effect: float
    runs: int
    slowed: int
    unslowed: int
    gate: Tally
    asv: Tally
    undecided: int = 0
    changed_results: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        assert self.runs > 0, f"a trial has runs, got runs={self.runs}"
        assert (self.effect > 0) == (self.slowed > 0), "slowed cases need an effect"

    @property
    def kind(self) -> str:
        """``A/A``, ``every case`` or ``one case``: which cases of a run were slowed."""
        if not self.slowed:
            return "A/A"
        return "every case" if not self.unslowed else "one case"


@dataclass(frozen=True)
class Calibration:
    """The gate's error rates on one machine.

    Attributes:
        project, machine, environment: as in a `GateResult`.
        commit: hash of the commit that was on both sides.
        benchmarks: pattern of the benchmarks, "" for all.
        tolerance: of the gate.
        trials: A/A, and one trial per slow-down.
    """

    project: str
    machine: str
    environment: str
    commit: str
    benchmarks: str
    tolerance: float
    trials: tuple[Trial, ...]


@dataclass(frozen=True)
class Experiment:
    """Runs to be made with one slow-down.

    Attributes:
        effect: share of extra work; 0 for A/A.
        runs: number of gates.
        one_case: whether each run slows one case only, another one each time.
    """

    effect: float
    runs: int
    one_case: bool = False

    def slowdowns(self, timed: Sequence[int], run: int) -> dict[int, float]:
        """Return the share by which each of these cases is slowed in a run."""
        if not self.effect:
            return {}
        slowed = [timed[run % len(timed)]] if self.one_case else timed
        return dict.fromkeys(slowed, self.effect)


@dataclass(frozen=True)
class _Setup:
    """What all runs of a calibration share."""

    plan: RunPlan
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
    installation: Installation | None = None,
) -> Calibration:
    """Run all experiments; ``done`` is called with each finished trial.

    Base and head are copies of one installed commit in two folders, as in a real gate; with
    ``installation`` both are that one. Each run's record is stored below ``.asv/gate/calibration``.

    Raises:
        SparsebenchError: as for a gate.
    """
    trials = []
    with _setup(project, request, progress, installation) as setup:
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
def _setup(
    project: Project, request: Request, progress: Progress, installation: Installation | None
) -> Iterator[_Setup]:
    log = project.root / ".asv" / "gate.log"
    if installation is not None:
        installations = {"base": installation, "head": installation}
        log.parent.mkdir(parents=True, exist_ok=True)
    else:
        installations = install_sides(project, request, log, progress)
        installations["head"] = copy_installation(installations["base"])
    with tempfile.TemporaryDirectory(prefix="sparsebench-calibrate-") as folder:
        started = launches(installations, project.benchmarks, Path(folder), log)
        with Pair(started, 0) as pair:
            plan = run_plan(project, request, pair, started["base"], progress)
        journals = project.root / ".asv" / "gate" / "calibration"
        yield _Setup(plan, started, Path(folder), journals, request.budget)


def _trial(setup: _Setup, experiment: Experiment, number: int, progress: Progress) -> Trial:
    total: Trial | None = None
    for run in range(experiment.runs):
        progress.report(f"{_description(experiment)}: run {run + 1} of {experiment.runs}")
        trial = _run(setup, experiment, f"{number}-{run}", run, progress)
        total = trial if total is None else added(total, trial)
    assert total, "an experiment has runs"
    return replace(total, seconds=total.seconds / experiment.runs)


def _run(setup: _Setup, experiment: Experiment, name: str, run: int, progress: Progress) -> Trial:
    record = Record(setup.plan)
    timed = [i for i, case in enumerate(setup.plan.cases) if case.type == "time"]
    slowdowns = experiment.slowdowns(timed, run)
    journal = Journal(setup.journals / f"{name}.jsonl", record)
    rounds = Rounds(journal, dict(setup.launches), setup.folder, slowdowns, seed=run * _SEEDS)
    try:
        rounds.run(setup.budget, progress.on_case)
    finally:
        journal.close()
    result = gate_result(record)
    measurements = measurements_by_case(len(setup.plan.cases), record.events)
    return scored(experiment, result, [measurements[i] for i in timed], timed, slowdowns)


def scored(
    experiment: Experiment,
    result: GateResult,
    timed: Sequence[CaseMeasurements],
    indices: Sequence[int],
    slowdowns: Mapping[int, float],
) -> Trial:
    """Return one run as a trial.

    Args:
        experiment: which the run belongs to.
        result: of the run.
        timed: measurements of the timed cases.
        indices: their indices among all cases.
        slowdowns: index of a case to the share by which it was slowed.
    """
    slowed = [index in slowdowns for index in indices]
    gate = [result.findings[index].verdict is Verdict.REGRESSED for index in indices]
    asv = [asv_finds_slower(m.seconds("base"), m.seconds("head")) for m in timed]
    return Trial(
        effect=experiment.effect,
        runs=1,
        slowed=sum(slowed),
        unslowed=len(slowed) - sum(slowed),
        gate=_tally(gate, slowed),
        asv=_tally(asv, slowed),
        undecided=result.count(Verdict.UNDECIDED),
        changed_results=result.count(Verdict.CHANGED_RESULT),
        seconds=result.seconds,
    )


def _tally(flagged: Sequence[bool], slowed: Sequence[bool]) -> Tally:
    pairs = list(zip(flagged, slowed, strict=True))
    false = sum(flag and not slow for flag, slow in pairs)
    return Tally(sum(flag and slow for flag, slow in pairs), false, int(false > 0))


def added(first: Trial, second: Trial) -> Trial:
    """Return both trials as one; its seconds are the sum."""
    return Trial(
        effect=first.effect,
        runs=first.runs + second.runs,
        slowed=first.slowed + second.slowed,
        unslowed=first.unslowed + second.unslowed,
        gate=_added_tally(first.gate, second.gate),
        asv=_added_tally(first.asv, second.asv),
        undecided=first.undecided + second.undecided,
        changed_results=first.changed_results + second.changed_results,
        seconds=first.seconds + second.seconds,
    )


def _added_tally(first: Tally, second: Tally) -> Tally:
    return Tally(
        first.found + second.found,
        first.false_alarms + second.false_alarms,
        first.alarmed_runs + second.alarmed_runs,
    )


def _description(experiment: Experiment) -> str:
    if not experiment.effect:
        return "A/A"
    which = "one case" if experiment.one_case else "every case"
    return f"{which} slowed by {experiment.effect:.0%}"
