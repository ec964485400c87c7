"""A gate that is cut off, continued, refused or short of space; and which cases it finds."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from sparsebench.errors import SparsebenchError
from sparsebench.gate import runner
from sparsebench.gate.cases import selection
from sparsebench.gate.coordinator import OnCase, Rounds
from sparsebench.gate.findings import Verdict
from sparsebench.gate.record import Blocks, Ended, Record
from sparsebench.gate.runner import Progress
from sparsebench.gate.verdicts import gate_result
from sparsebench.gate.worker_process import Pair
from sparsebench.project.processes import is_running
from tests.conftest import git
from tests.gate_project import GateProject, by_name

TIMED = """
import os
import lib

def track_pid():
    with open(lib.pids, "a") as file:
        print(os.getpid(), file=file)
    return 1

def time_it():
    sum(range(3000))
"""


def interrupted_at(round_number: int, error: type[BaseException] = KeyboardInterrupt) -> OnCase:
    def on_case(number: int, done: int, cases: int) -> None:
        if number == round_number:
            raise error

    return on_case


def interrupt_run(tiny: GateProject, error: type[BaseException] = KeyboardInterrupt) -> None:
    progress = Progress(tiny.messages.append, interrupted_at(2, error))
    with pytest.raises(error):
        runner.run(tiny.project, tiny.request, progress)


def journal_rows(tiny: GateProject) -> list[dict[str, object]]:
    return [json.loads(line) for line in tiny.journal.read_text().splitlines()]


@pytest.fixture
def timed(tiny: GateProject) -> GateProject:
    tiny.library(f"pids = {str(tiny.root / '.asv' / 'pids')!r}")
    tiny.benchmarks(TIMED)
    return tiny


def test_an_interrupted_run_leaves_no_process_and_is_continued(timed: GateProject) -> None:
    interrupt_run(timed)
    pids = list(map(int, (timed.root / ".asv" / "pids").read_text().split()))
    assert len(pids) == 2
    assert not any(map(is_running, pids))
    before = journal_rows(timed)
    assert before[-1]["event"] == "ended"
    assert before[-1]["why"] == "interrupted"

    record = timed.measure()
    assert timed.messages[-1] == "continuing an interrupted run after 2 rounds"
    assert journal_rows(timed)[: len(before)] == before
    ends = [event for event in record.events if isinstance(event, Ended)]
    assert [end.why for end in ends] == ["interrupted", "decided"]
    assert record.seconds == ends[0].seconds + ends[1].seconds
    blocks = [event for event in record.events if isinstance(event, Blocks)]
    assert [block.round for block in blocks] == list(range(len(blocks)))


def test_a_run_that_was_killed_in_the_middle_of_a_line_is_continued(timed: GateProject) -> None:
    interrupt_run(timed)
    lines = timed.journal.read_text().splitlines()
    timed.journal.write_text("\n".join(lines[:-2]) + "\n" + lines[-2][:20])
    assert by_name(timed.gate())["time_it"].verdict is Verdict.UNCHANGED
    assert journal_rows(timed)[-1]["why"] == "decided"


def test_a_finished_run_is_measured_again(timed: GateProject) -> None:
    first, second = timed.measure(), timed.measure()
    assert first.events != second.events
    assert "continuing" not in " ".join(timed.messages)


def test_a_budget_that_is_spent_leaves_undecided(timed: GateProject) -> None:
    result = timed.gate(budget=0.01)
    assert by_name(result)["time_it"].verdict is Verdict.UNDECIDED
    assert result.notes[-1] == "the budget was spent before everything was decided"
    assert result.exit_code() == 3


def test_no_space_left_is_one_line_that_names_the_file(
    timed: GateProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    full, measure = Path("/dev/full"), Rounds.run

    def run(self: Rounds, *arguments: object) -> None:
        self.journal.close()
        self.journal.file = full.open("w", buffering=1)
        measure(self, *arguments)  # type: ignore[arg-type]  # passed on

    monkeypatch.setattr(Rounds, "run", run)
    with pytest.raises(SparsebenchError) as raised:
        timed.measure()
    assert str(raised.value) == f"{timed.journal}: cannot be written; No space left on device"
    monkeypatch.undo()


def test_a_record_that_cannot_be_begun_leaves_no_process(timed: GateProject) -> None:
    (timed.root / ".asv" / "gate").write_text("in the way")
    with pytest.raises(SparsebenchError, match=r"\.asv/gate.*: cannot be written; File exists"):
        timed.measure()  # a worker that is still running is a ResourceWarning


def test_modules_and_benchmarks_of_one_commit_only(tiny: GateProject) -> None:
    tiny.benchmarks("def track_old():\n    return 1\n", "old")
    tiny.benchmarks("import lib\ndef track_x():\n    return lib.x\n")
    tiny.benchmarks("import new_module\ndef track_y():\n    return 1\n", "added")
    tiny.benchmarks("import gone_module\ndef track_z():\n    return 1\n", "broken")
    tiny.library("x = 1")
    (tiny.root / ".asv" / "head" / "new_module.py").touch()
    (tiny.root / ".asv" / "base" / "gone_module.py").touch()
    findings = by_name(tiny.gate())
    missing = "ModuleNotFoundError: No module named "
    assert {name: (f.verdict, *f.notes) for name, f in findings.items()} == {
        "track_x": (Verdict.UNCHANGED,),
        "old.track_old": (Verdict.UNCHANGED,),
        "added.track_y": (Verdict.NEW, f"does not import at base: {missing}'new_module'"),
        "broken.track_z": (Verdict.FAILED, f"does not import at head: {missing}'gone_module'"),
    }


def test_a_benchmark_file_that_only_the_base_has_is_gone(tiny: GateProject) -> None:
    tiny.benchmarks("def track_x():\n    return 1\n")
    tiny.benchmarks("def track_old():\n    return 1\n", "old")
    git(tiny.root, "add", "--all")
    git(tiny.root, "commit", "--quiet", "--amend", "--message", "with old")
    tiny.base_is_the_newest_commit()
    (tiny.root / "benchmarks" / "old.py").unlink()
    findings = by_name(tiny.gate())
    assert findings["old.track_old"].verdict is Verdict.GONE
    assert findings["old.track_old"].notes == ("does not exist at head",)
    assert findings["track_x"].verdict is Verdict.UNCHANGED


def test_the_package_of_benchmarks_itself_does_not_import_at_head(tiny: GateProject) -> None:
    tiny.library("x = 1", "")
    (tiny.root / "benchmarks" / "__init__.py").write_text(
        "from lib import x\ndef track_x():\n    return x\n"
    )
    (finding,) = tiny.gate().findings
    assert finding.verdict is Verdict.FAILED
    assert "does not import at head: ImportError: cannot import name 'x'" in finding.notes[0]


def test_a_crash_during_discovery_is_reported(tiny: GateProject) -> None:
    tiny.library("", "import os; os._exit(7)")
    tiny.benchmarks("import lib\ndef track_x():\n    return 1\n")
    with pytest.raises(SparsebenchError, match="at head: its process ended with exit code 7"):
        tiny.gate()


def test_a_pattern_that_matches_nothing(tiny: GateProject) -> None:
    tiny.benchmarks("def track_x():\n    return 1\n")
    text = r"--bench: unknown case 'track_y'; near: suite\.track_x"
    with pytest.raises(SparsebenchError, match=text):
        tiny.gate("track_y")


def test_a_case_that_is_spelled_otherwise_is_named_as_it_is(tiny: GateProject) -> None:
    """A person sees the parameters as columns, and cannot know how asv writes them."""
    tiny.benchmarks(
        "def track_x(n, kind):\n    return 1\n"
        "track_x.params = [[1, 20], ['a']]\ntrack_x.param_names = ['n', 'device']\n"
    )
    progress = Progress(tiny.messages.append, lambda *_: None)
    by_case = selection("track_x.n=20", None, ("--case", "suite.track_x(n=20,a)"))
    text = r"--case: unknown case 'suite\.track_x\(n=20,a\)'; near: suite\.track_x\(20, 'a'\), "
    with pytest.raises(SparsebenchError, match=text):
        runner.run(tiny.project, replace(tiny.request, wanted=by_case), progress)
    on_cuda = replace(tiny.request, wanted=selection("track_x", "cuda"))
    have = r"--device: must be one that the matching cases have \(a\), got 'cuda'"
    with pytest.raises(SparsebenchError, match=have):
        runner.run(tiny.project, on_cuda, progress)


def test_a_module_that_imports_nowhere_is_reported_for_any_selection(tiny: GateProject) -> None:
    tiny.benchmarks("def track_x():\n    return 1\n")
    tiny.benchmarks("import nowhere\n", "never")
    result = tiny.gate("track_x")
    assert [finding.name for finding in result.findings] == ["suite.track_x"]
    assert result.notes[:2] == (
        "never: does not import at base: ModuleNotFoundError: No module named 'nowhere'",
        "never: does not import at head: ModuleNotFoundError: No module named 'nowhere'",
    )


def test_changed_benchmarks_are_not_mixed_with_an_interrupted_run(timed: GateProject) -> None:
    interrupt_run(timed)
    timed.benchmarks("def track_else():\n    return 1\n")
    assert list(by_name(timed.gate())) == ["track_else"]


def test_where_no_module_imports_the_reason_is_reported(tiny: GateProject) -> None:
    tiny.benchmarks("import nowhere\n")
    with pytest.raises(SparsebenchError, match="got none; suite: does not import at base: Mod"):
        tiny.gate()


def test_workers_that_are_killed_from_outside_are_replaced(
    timed: GateProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[int] = []
    quietest_processor = Rounds.quietest_processor

    def kill_first(rounds: Rounds, pair: Pair, timeout: float) -> int | None:
        pid = pair.sides["base"].pid
        if not killed and pid:
            killed.append(pid)
            os.kill(pid, signal.SIGKILL)
        return quietest_processor(rounds, pair, timeout)

    monkeypatch.setattr(Rounds, "quietest_processor", kill_first)
    finding = by_name(timed.gate())["time_it"]
    assert finding.verdict is Verdict.UNCHANGED
    (note,) = finding.notes
    assert note.startswith("failed once at base: its process was ")


def test_the_same_record_gives_the_same_result(timed: GateProject) -> None:
    record = timed.measure()
    assert gate_result(Record(record.plan, list(record.events))) == gate_result(record)
