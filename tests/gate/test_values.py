"""Tracked values of every kind, and what asv lets a benchmark declare."""

from sparsebench.gate.findings import Verdict
from tests.gate_project import GateProject, by_name

SAME = {
    "nan": "float('nan')",
    "infinite": "float('inf')",
    "text": "'\\u00e9\\n\"quoted\" \\ud800'",
    "nothing": "None",
    "list": "[1, [float('nan'), 'x']]",
    "flag": "True",
    "numpy": "numpy.float32(1.5)",
    "huge": "10 ** 400",
    "negative": "-3",
    "zero": "0",
}
CHANGED = {
    "int": ("1", "2", ()),
    "huge_int": ("10 ** 400", "10 ** 400 + 1", (f"was 1{'0' * 59}, is 1{'0' * 59}",)),
    "kind": ("'1'", "1", ("was '1', is 1",)),
    "none": ("None", "0", ("was None, is 0",)),
    "nan": ("1.0", "float('nan')", ("was 1.0, is nan",)),
    "infinite": ("1.0", "float('inf')", ("was 1.0, is inf",)),
    "from_zero": ("0", "1", ()),
}
REFUSED = {
    "set": ("{1}", "TypeError: Object of type set is not JSON serializable"),
    "array": ("numpy.zeros(2)", "ValueError: can only convert an array of size 1"),
    "digits": ("10 ** 5000", "ValueError: Exceeds the limit (4300 digits) for integer string"),
    "circular": ("(lambda a: a.append(a) or a)([])", "ValueError: Circular reference detected"),
    "long": ("'x' * 10**7", "ValueError: tracks 10000002 characters, at most 10000 are stored"),
}


def track(name: str, value: str) -> str:
    return f"def track_{name}():\n    return {value}\n"


def test_equal_values_of_any_kind_are_unchanged_and_others_refused(tiny: GateProject) -> None:
    tiny.benchmarks(
        "import numpy\n"
        + "".join(track(f"same_{name}", value) for name, value in SAME.items())
        + "".join(track(name, value) for name, (value, _) in REFUSED.items())
    )
    findings = by_name(tiny.gate())
    for name in SAME:
        assert findings[f"track_same_{name}"].verdict is Verdict.UNCHANGED, name
    for name, (_, reason) in REFUSED.items():
        finding = findings[f"track_{name}"]
        assert finding.verdict is Verdict.FAILED
        assert finding.notes[0].startswith(f"fails at base: {reason}")


def test_a_changed_value_is_seen_in_two_rounds(tiny: GateProject) -> None:
    cases = CHANGED.items()
    tiny.library(*("".join(f"{n} = {pair[side]}\n" for n, pair in cases) for side in (0, 1)))
    tiny.benchmarks("import lib\n" + "".join(track(name, f"lib.{name}") for name, _ in cases))
    result = tiny.gate()
    for name, finding in by_name(result).items():
        assert finding.verdict is Verdict.CHANGED_RESULT, name
        assert finding.rounds == 2
        assert finding.notes == CHANGED[name.removeprefix("track_")][2], name
    assert result.exit_code() == 1


def test_what_does_not_agree_with_itself_is_undecided(tiny: GateProject) -> None:
    tiny.benchmarks("import os\n" + track("random", "os.urandom(4).hex()"))
    (finding,) = tiny.gate().findings
    assert finding.verdict is Verdict.UNDECIDED
    assert finding.notes[0].startswith("not deterministic: base gave ")


def test_a_declared_tolerance_is_applied(tiny: GateProject) -> None:
    tiny.library("near, far = 100.0, 100.0", "near, far = 101.0, 103.0")
    tiny.benchmarks("import lib\n" + track("near", "lib.near") + track("far", "lib.far"))
    with (tiny.root / "benchmarks" / "suite.py").open("a") as file:
        file.write("track_near.tolerance = track_far.tolerance = 0.02\n")
    findings = by_name(tiny.gate())
    assert findings["track_near"].verdict is Verdict.UNCHANGED
    assert findings["track_far"].verdict is Verdict.CHANGED_RESULT
    assert findings["track_far"].rounds == 3


def test_everything_that_asv_lets_a_benchmark_declare(tiny: GateProject) -> None:
    tiny.library("sizes = [1, 2]", "sizes = [2, 3]")
    tiny.benchmarks("""
import time
from pathlib import Path

import lib

class Declared:
    number, sample_time, warmup_time, timeout, rounds, repeat = 3, 0.001, 0.002, 5, 1, 2
    timer = time.process_time
    def time_it(self):
        sum(range(50000))

def timeraw_code():
    return "sum(range(300000))", "import json"

def mem_list():
    return [0] * 100

def peakmem_bytes():
    return len(b"x" * 10_000_000)

class Params:
    params = [lib.sizes, ["a'b", "\u00fc, \\"x\\""]]
    param_names = ["size", "text"]
    def setup(self, size, text):
        self.state = (size, text)
    def track_both(self, size, text):
        assert self.state == (size, text)
        return size
    def teardown(self, size, text):
        del self.state

class Skips:
    params = [1, 2, 3]
    skip_params = [(2,)]
    def setup(self, n):
        if n == 3:
            raise NotImplementedError("not here")
    def track_n(self, n):
        return n

class Cached:
    def setup_cache(self):
        Path("file.txt").write_text("kept")
        return {"answer": 42}
    def track_cache(self, cache):
        return cache["answer"]
    def track_file(self, cache):
        return Path("file.txt").read_text()

class Falsy:
    def setup_cache(self):
        return 0
    def track_zero(self, cache):
        return cache

class Renamed:
    def track_x(self):
        return 1
    track_x.benchmark_name = "other.track_name"
    track_x.unit = "apples"
""")
    result = tiny.gate(budget=60.0)  # a process a sample takes long
    findings = by_name(result)
    verdicts = {name: finding.verdict for name, finding in findings.items()}
    both = ("""Params.track_both({}, "a'b")""", """Params.track_both({}, 'ü, "x"')""")
    assert verdicts == {
        **dict.fromkeys(
            (
                "Declared.time_it",
                "timeraw_code",
                "mem_list",
                "peakmem_bytes",
                "Skips.track_n(1)",
                "Cached.track_cache",
                "Cached.track_file",
                "Falsy.track_zero",
                "other.track_name",
                *(name.format(2) for name in both),
            ),
            Verdict.UNCHANGED,
        ),
        **dict.fromkeys([name.format(1) for name in both], Verdict.GONE),
        **dict.fromkeys([name.format(3) for name in both], Verdict.NEW),
    }
    assert result.skipped == 2
    assert findings["other.track_name"].unit == "apples"
    assert findings["Cached.track_cache"].head == 42
    blocks = [e for e in tiny.measure("Declared").events if hasattr(e, "number")]
    assert {block.number for block in blocks} == {3}


def test_a_track_benchmark_may_call_its_type_as_it_likes(tiny: GateProject) -> None:
    tiny.library("n = 1", "n = -2")
    tiny.benchmarks("""
import lib

def track_memory():
    return lib.n
track_memory.type = "memory"

def track_time():
    return 5
track_time.type = "time"

def track_other():
    return "x"
track_other.type = "other"
""")
    findings = by_name(tiny.gate())
    assert {name: finding.verdict for name, finding in findings.items()} == {
        "track_memory": Verdict.CHANGED_RESULT,
        "track_time": Verdict.UNCHANGED,
        "track_other": Verdict.UNCHANGED,
    }
