"""Calibration: what is slowed in a run, and how a run is scored."""

from sparsebench.gate.calibration import Experiment, Tally, added, scored
from sparsebench.gate.findings import Finding, GateResult, Side, Verdict
from sparsebench.gate.measurements import CaseMeasurements
from sparsebench.gate.record import Blocks

SIDE = Side("a" * 40, "same")


def measured(ratio: float) -> CaseMeasurements:
    """Blocks of which head took ``ratio`` times as long."""
    order = "BHHB" * 8
    seconds = tuple(
        (1 + 0.001 * position) * (ratio if side == "H" else 1.0)
        for position, side in enumerate(order)
    )
    return CaseMeasurements(blocks=[Blocks(0, 0, "screen", order, seconds, 1, 1)])


def result_of(*verdicts: Verdict) -> GateResult:
    findings = [
        Finding(f"m.time_{n}", (), (), "time", "seconds", v) for n, v in enumerate(verdicts)
    ]
    return GateResult("p", "m", "e", SIDE, SIDE, 0.05, 0.95, tuple(findings), seconds=2.0)


def test_each_run_slows_another_single_case() -> None:
    experiment = Experiment(0.1, 5, one_case=True)
    assert [experiment.slowdowns([3, 5, 8], run) for run in range(4)] == [
        {3: 0.1},
        {5: 0.1},
        {8: 0.1},
        {3: 0.1},
    ]
    assert Experiment(0.1, 1).slowdowns([3, 5], 0) == {3: 0.1, 5: 0.1}
    assert Experiment(0.0, 1).slowdowns([3, 5], 0) == {}


def test_finding_what_was_slowed_is_power_and_anything_else_an_alarm() -> None:
    result = result_of(Verdict.REGRESSED, Verdict.REGRESSED, Verdict.UNDECIDED)
    gathered = [measured(1.2), measured(1.0), measured(1.2)]
    trial = scored(Experiment(0.1, 1), result, gathered, [0, 1, 2], {0: 0.1, 2: 0.1})
    assert (trial.slowed, trial.unslowed, trial.undecided) == (2, 1, 1)
    assert trial.gate == Tally(found=1, false_alarms=1, alarmed_runs=1)
    assert trial.asv == Tally(found=2, false_alarms=0, alarmed_runs=0)


def test_runs_add_up() -> None:
    result = result_of(Verdict.REGRESSED)
    trial = scored(Experiment(0.0, 1), result, [measured(1.0)], [0], {})
    total = added(added(trial, trial), trial)
    assert (total.runs, total.unslowed, total.seconds) == (3, 3, 6.0)
    assert total.gate == Tally(found=0, false_alarms=3, alarmed_runs=3)
