"""Misbehaving benchmarks: each is reported in one line, and the others are judged."""

import os
import signal
import time

import pytest

from sparsebench.gate.findings import Verdict
from sparsebench.project.processes import is_running
from tests.gate_project import GateProject, by_name

GOOD = """
def time_good():
    sum(range(2000))

def track_good():
    return 42
"""
ENDINGS = {
    "raises": ("raise ValueError('first line\\nsecond line')", "ValueError: first line"),
    "exits": ("import sys; sys.exit(3)", "SystemExit: 3"),
    "ends": ("import os; os._exit(0)", "its process ended with exit code 0"),
    "crashes": ("import ctypes; ctypes.string_at(0)", "its process was killed by SIGSEGV"),
    "killed": (
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "its process was killed by SIGKILL",
    ),
    "hangs": ("while True: pass", "timed out after 1 s"),
}


def test_what_ends_a_worker_is_one_line_and_the_rest_is_judged(tiny: GateProject) -> None:
    tiny.library("bad = False", "bad = True")
    bodies = "".join(
        f"def track_{name}():\n    if lib.bad:\n        {body}\n    return 1\n"
        f"def time_{name}():\n    if lib.bad:\n        {body}\n"
        for name, (body, _) in ENDINGS.items()
    )
    tiny.benchmarks("import lib\ntimeout = 1\n" + bodies + GOOD)
    findings = by_name(tiny.gate())
    for name, (_, reason) in ENDINGS.items():
        for kind in ("track", "time"):
            finding = findings[f"{kind}_{name}"]
            assert finding.verdict is Verdict.FAILED, name
            assert not finding.on_both
            assert finding.notes == (f"fails at head: {reason}",)
    assert findings["track_good"].verdict is Verdict.UNCHANGED
    assert findings["time_good"].verdict is Verdict.UNCHANGED


def test_what_fails_at_both_commits_is_reported_and_does_not_fail_the_gate(
    tiny: GateProject,
) -> None:
    tiny.benchmarks("def track_bad():\n    raise ValueError('no')\n" + GOOD)
    result = tiny.gate("track")
    bad = by_name(result)["track_bad"]
    assert bad.notes == ("fails at base: ValueError: no", "fails at head: ValueError: no")
    assert bad.on_both
    assert result.exit_code() == 0


def test_what_failed_once_is_tried_again(tiny: GateProject) -> None:
    marker = tiny.root / ".asv" / "marker"
    tiny.benchmarks(f"""
import lib
from pathlib import Path

def track_flaky():
    if lib.bad and not Path({str(marker)!r}).exists():
        Path({str(marker)!r}).touch()
        raise OSError('only once')
    return 1
""")
    tiny.library("bad = False", "bad = True")
    finding = by_name(tiny.gate())["track_flaky"]
    assert finding.verdict is Verdict.UNCHANGED
    assert finding.notes == ("failed once at head: OSError: only once",)


def test_output_closed_streams_and_folders_do_not_reach_the_replies(tiny: GateProject) -> None:
    tiny.benchmarks(
        """
import os, sys

def time_prints():
    print('{"seconds": 0}')
    os.write(1, b'{"seconds": 0}\\n')
    os.write(2, b'to stderr\\n')

def track_huge_output():
    for _ in range(200):
        print('x' * 10_000)
    return 1

def track_closes():
    sys.stdout.close()
    sys.stderr.close()
    return 1

def track_moves():
    os.chdir('/')
    return 1

def track_prints_later():
    print('later')
    return os.getcwd() != '/'

def track_stdin():
    return sys.stdin.read()

class Skips:
    def setup(self):
        raise NotImplementedError  # asv_runner prints that
    def track_skips(self):
        return 1
"""
        + GOOD
    )
    for seed in range(2):  # whatever the order
        tiny.journal.unlink(missing_ok=True) if seed else None
        result = tiny.gate("track|prints", budget=6)
        findings = by_name(result)
        assert {
            f.name: f.notes for f in findings.values() if f.verdict is not Verdict.UNCHANGED
        } == {}
        assert findings["track_prints_later"].head == 1
        assert result.skipped == 1
    assert "to stderr" in tiny.log


def test_closed_streams_are_there_again_for_the_next_benchmark(tiny: GateProject) -> None:
    tiny.benchmarks("""
import sys

def track_1():
    print('one'); sys.stdout.close(); sys.stderr.close()
    return 1

track_2, track_3, track_4 = ((lambda f: f)(type(track_1)(
    track_1.__code__, track_1.__globals__, f"track_{n}")) for n in (2, 3, 4))
""")
    findings = by_name(tiny.gate())
    assert [f.verdict for f in findings.values()] == [Verdict.UNCHANGED] * 4
    assert [f.notes for f in findings.values()] == [()] * 4


def test_nothing_that_a_benchmark_started_runs_after_the_gate(tiny: GateProject) -> None:
    pids = tiny.root / ".asv" / "pids"
    tiny.benchmarks(f"""
import subprocess, threading, time

def keep(process):
    with open({str(pids)!r}, "a") as file:
        print(process.pid, file=file)

def track_leaves_a_child():
    keep(subprocess.Popen(["sleep", "600"]))
    return 1

def track_leaves_a_daemon():
    keep(subprocess.Popen(["sleep", "600"], start_new_session=True))
    return 1

def track_leaves_a_thread():
    threading.Thread(target=time.sleep, args=(600,)).start()
    return 1
""")
    findings = by_name(tiny.gate())
    assert [f.verdict for f in findings.values()] == [Verdict.UNCHANGED] * 3
    assert findings["track_leaves_a_thread"].notes == (
        "leaves threads running; its processes were replaced",
    )
    started = list(map(int, pids.read_text().split()))
    left = [pid for pid in started if is_running(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert len(started) == 4
    assert left == []


def test_setup_teardown_and_setup_cache_that_raise(tiny: GateProject) -> None:
    tiny.library("bad = False", "bad = True")
    tiny.benchmarks("""
import lib

class BadSetup:
    def setup(self):
        assert not lib.bad, "in setup"
    def track_it(self):
        return 1

class BadTeardown:
    def teardown(self):
        assert not lib.bad, "in teardown"
    def track_it(self):
        return 1

class Cache:
    def setup_cache(self):
        assert not lib.bad, "in setup_cache"
        return 1
    def track_it(self, cache):
        return cache
    def time_it(self, cache):
        pass
""")
    findings = by_name(tiny.gate("it$"))
    assert {name: (f.verdict, f.notes) for name, f in findings.items()} == {
        "BadSetup.track_it": (Verdict.FAILED, ("fails at head: AssertionError: in setup",)),
        "BadTeardown.track_it": (
            Verdict.UNCHANGED,
            ("its teardown fails: AssertionError: in teardown",),
        ),
        "Cache.track_it": (
            Verdict.FAILED,
            ("fails at head: setup_cache: AssertionError: in setup_cache",),
        ),
        "Cache.time_it": (
            Verdict.FAILED,
            ("fails at head: setup_cache: AssertionError: in setup_cache",),
        ),
    }


@pytest.mark.parametrize("timer", ["lambda: 0.0", "lambda: float('nan')", "lambda: -time.time()"])
def test_a_timer_that_returns_no_time_fails_at_both(timer: str, tiny: GateProject) -> None:
    tiny.benchmarks(f"""
import time

class Zero:
    timer = staticmethod({timer})
    number = 1
    def time_it(self):
        time.sleep(1e-5)
""")
    result = tiny.gate()
    (finding,) = result.findings
    assert finding.verdict is Verdict.FAILED
    assert finding.notes[0].startswith("fails at base: its timer measured ")
    assert result.exit_code() == 2


def test_a_hang_costs_its_timeout_and_not_the_time_that_starting_may_take(
    tiny: GateProject,
) -> None:
    tiny.benchmarks("timeout = 0.5\ndef track_hangs():\n    while True: pass\n")
    start = time.monotonic()
    (finding,) = tiny.gate().findings
    assert finding.notes[0] == "fails at base: timed out after 0.5 s"
    assert time.monotonic() - start < 60  # not the two minutes that starting may take
