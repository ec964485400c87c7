"""The process that coordinates a gate stays small, so that it disturbs nothing."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CODE = """
import sys
import sparsebench.cli.gate  # all that the command imports
import numpy as np
from sparsebench.gate.record import Blocks
from sparsebench.gate.verdicts import judge, remaining_tasks
from tests.gate.made_records import case, record

rng = np.random.default_rng(0)
cases = [case(f"time_{n}") for n in range(600)]
events = [
    Blocks(n, number, "screen", "BHHBHBBH" * 2, tuple(rng.lognormal(-7 + n % 7, 0.05, 16)), 3, 4)
    for number in range(10) for n in range(600)
]
assert len(judge(record(cases, *events))) == 600
print("torch" in sys.modules, "asv_runner" in sys.modules)
print(int(next(l for l in open("/proc/self/status") if l.startswith("VmHWM")).split()[1]) // 1024)
"""


def test_it_never_imports_torch_and_stays_below_300_megabytes_with_600_cases() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=True, cwd=ROOT
    )
    modules, megabytes = ran.stdout.splitlines()
    assert modules.split()[0] == "False"
    assert int(megabytes) < 300
