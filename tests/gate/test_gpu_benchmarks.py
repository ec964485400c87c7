"""Benchmarks that queue work on a GPU, by a stand-in for torch whose device is a clock."""

from sparsebench.gate.control import doubts
from sparsebench.gate.findings import Verdict
from sparsebench.gate.record import Control
from tests.gate_project import GateProject, by_name

# A kernel's time passes when somebody waits for the device.
TORCH = """
import sys, time, types

class Device:
    queued, broken, waits = 0.0, False, 0

    def is_initialized(self):
        return True

    def synchronize(self):
        if self.broken:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        Device.waits += 1
        time.sleep(self.queued)
        self.queued = 0.0

class Tensor:
    def clone(self):
        return Tensor()

    def copy_(self, other):
        cuda.queued += 1e-4

cuda = Device()
sys.modules["torch"] = types.SimpleNamespace(
    cuda=cuda, int32="int32", zeros=lambda *_, **__: Tensor()
)
"""


def test_queued_work_ends_before_the_other_side_begins(tiny: GateProject) -> None:
    tiny.library(TORCH)
    tiny.benchmarks("""
import lib

def time_launch():
    lib.cuda.queued += 2e-4

time_launch.number, time_launch.warmup_time = 5, 0

def track_queued():
    return lib.cuda.queued
""")
    record = tiny.measure()
    controls = [event for event in record.events if isinstance(event, Control)]
    assert {event.device for event in controls} == {"cpu", "cuda"}
    copies = [event for event in controls if event.device == "cuda"]
    assert all(8e-4 <= seconds < 0.2 for event in copies for seconds in (event.base, event.head))
    findings = by_name(tiny.gate())
    assert findings["track_queued"].head == 0
    assert findings["time_launch"].verdict is not Verdict.FAILED


def test_an_error_that_stays_on_the_device_fails_one_case_alone(tiny: GateProject) -> None:
    tiny.library(TORCH)
    tiny.benchmarks("""
import lib

def track_breaks():
    lib.cuda.broken = True
    return 1

def track_1():
    return 1

def track_2():
    return 2
""")
    findings = by_name(tiny.gate())
    breaks = findings.pop("track_breaks")
    assert "illegal memory access" in breaks.notes[0]
    assert {f.verdict for f in findings.values()} == {Verdict.UNCHANGED}


def test_an_unsteady_gpu_is_told_from_an_unsteady_machine() -> None:
    steady = [Control(number, 1.0, 1.0) for number in range(20)]
    hot = [Control(number, 1.0, 1.0 if number < 10 else 1.5, "cuda") for number in range(20)]
    notes = doubts([*steady, *hot])
    assert notes[0].startswith("the GPU was not steady: 25% of control blocks were disturbed")
    assert not any("machine" in note for note in notes)
