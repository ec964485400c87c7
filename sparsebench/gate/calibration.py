"""What a calibration measured: how often the gate finds what was injected, and what was not."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tally:
    """How one decision rule did in one trial.

    Attributes:
        found: of the slowed cases, how many it called slower.
        false_alarms: of the cases that were not slowed, how many it called slower.
        alarmed_runs: runs with a false alarm or more.
    """

    found: int = 0
    false_alarms: int = 0
    alarmed_runs: int = 0


@dataclass(frozen=True)
class Trial:
    """Some runs of the same commit on both sides, its cases slowed at the head by one effect.

    Attributes:
        effect: the share of extra work, 0.1 for 10 %; 0 is A/A.
        runs: how many gates, each with processes of its own.
        slowed: verdicts about cases that were slowed, over all runs; 0 in A/A.
        unslowed: verdicts about cases that were not.
        gate: how the gate did.
        asv: how asv's rule (factor 1.1, Mann-Whitney p < 0.002) did on the same samples.
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
        assert (self.effect > 0) == (self.slowed > 0), "what is slowed is slowed by something"

    @property
    def kind(self) -> str:
        """``A/A``, ``every case`` or ``one case``: which cases of a run were slowed."""
        if not self.slowed:
            return "A/A"
        return "every case" if not self.unslowed else "one case"


@dataclass(frozen=True)
class Calibration:
    """The operating characteristic of the gate on one machine.

    Attributes:
        project, machine, environment: as in a `GateResult`.
        commit: hash of the commit that was on both sides.
        benchmarks: the pattern that chose them, "" for all.
        tolerance: the gate's.
        trials: A/A and a trial a slow-down.
    """

    project: str
    machine: str
    environment: str
    commit: str
    benchmarks: str
    tolerance: float
    trials: tuple[Trial, ...]
