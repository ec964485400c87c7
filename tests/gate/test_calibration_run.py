"""A calibration from end to end, on a small project."""

import sys
from dataclasses import replace
from pathlib import Path
from statistics import median
from timeit import repeat

import pytest

from sparsebench.errors import SparsebenchError
from sparsebench.gate import calibration, worker
from sparsebench.gate.calibration import Experiment, Trial, calibrate
from sparsebench.gate.cases import selection
from sparsebench.gate.record import parse
from sparsebench.gate.runner import Progress
from sparsebench.gate.verdicts import judge
from sparsebench.project.installations import existing_installation
from tests.gate_project import GateProject

BENCHMARKS = """
def work():
    return sum(range(3000))

def time_one():
    work()

class Suite:
    params = [1, 2]
    def setup(self, n):
        self.n = n
    def time_two(self, n):
        work()

def track_it():
    return 7
"""


@pytest.fixture
def project(tiny: GateProject, monkeypatch: pytest.MonkeyPatch) -> GateProject:
    tiny.benchmarks(BENCHMARKS)
    monkeypatch.setattr(calibration, "copy_installation", lambda installation: installation)
    tiny.request = replace(tiny.request, head=tiny.request.base, budget=40.0)
    return tiny


def test_what_is_slowed_is_found_and_nothing_else(project: GateProject) -> None:
    experiments = [Experiment(0.0, 1), Experiment(2.0, 1), Experiment(2.0, 1, one_case=True)]
    trials: list[Trial] = []
    progress = Progress(project.messages.append, lambda *_: None)
    result = calibrate(project.project, project.request, experiments, progress, trials.append)
    assert list(result.trials) == trials
    same, every, single = result.trials
    assert (same.kind, same.unslowed, same.gate.found, same.gate.false_alarms) == ("A/A", 3, 0, 0)
    assert (every.kind, every.slowed, every.gate.found) == ("every case", 3, 3)
    assert (single.kind, single.slowed, single.unslowed) == ("one case", 1, 2)
    assert (single.gate.found, single.gate.false_alarms) == (1, 0)
    assert sum(trial.changed_results for trial in trials) == 0
    assert [line for line in project.messages if "run 1 of 1" in line] == [
        "A/A: run 1 of 1",
        "every case slowed by 200%: run 1 of 1",
        "one case slowed by 200%: run 1 of 1",
    ]
    kept = sorted((project.root / ".asv" / "gate" / "calibration").glob("*.jsonl"))
    records = [parse(str(path), path.read_text().splitlines()) for path in kept]
    assert [sum(f.verdict == "REGRESSED" for f in judge(r)) for r in records] == [0, 3, 1]


def test_what_runs_in_another_process_cannot_be_slowed_and_is_reported(
    project: GateProject,
) -> None:
    project.benchmarks("def timeraw_it():\n    return 'pass'\n")
    progress = Progress(project.messages.append, lambda *_: None)
    request = replace(project.request, wanted=selection("timeraw", None))
    trial = calibrate(
        project.project, request, [Experiment(2.0, 1)], progress, lambda _: None
    ).trials[0]
    assert trial.gate.found == 0
    (path,) = (project.root / ".asv" / "gate" / "calibration").glob("*.jsonl")
    assert "runs in another process and cannot be slowed down" in path.read_text()


def test_a_slow_down_is_of_the_share_that_was_asked_for() -> None:
    """The call is long beside what the clock can tell, and the shorter of both times is taken."""

    def call() -> int:
        return sum(range(5000))

    ratios = []
    for _ in range(15):
        slowed = worker.slowed_call(call, 0.5, 0.0)
        ratios.append(min(repeat(slowed, number=5)) / min(repeat(call, number=5)))
    assert 1.3 < median(ratios) < 1.7


def test_an_existing_environment_is_both_sides_and_nothing_is_installed(
    project: GateProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "install_sides", None)
    (project.root / "lib.py").write_text("VALUE = 7\n")
    project.benchmarks("import lib\n\ndef track_it():\n    return lib.VALUE\n")
    progress = Progress(project.messages.append, lambda *_: None)
    installation = existing_installation(project.project, Path(sys.executable))
    (trial,) = calibrate(
        project.project,
        project.request,
        [Experiment(0.0, 1)],
        progress,
        lambda _: None,
        installation,
    ).trials
    assert (trial.changed_results, trial.undecided) == (0, 0)


def test_an_interpreter_that_cannot_run_benchmarks_is_refused(project: GateProject) -> None:
    with pytest.raises(SparsebenchError, match=r"--python: .*nowhere must import asv_runner; "):
        existing_installation(project.project, Path("nowhere"))
