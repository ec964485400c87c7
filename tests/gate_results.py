"""Synthetic results of gates and calibrations, without measurement."""

from dataclasses import replace
from typing import Any

import numpy as np

from sparsebench.gate.calibration import Calibration, Tally, Trial
from sparsebench.gate.findings import Finding, GateResult, Side, Verdict
from sparsebench.stats import Interval
from tests.synthetic import LONG

NAMES = ("case", "device", "dtype", "weights", "implementation")
BASE = Side("2744ec7fa1b2c3d4e5f60718293a4b5c6d7e8f90", "Give the fallback's figures")
HEAD = Side("d0b520a1b2c3d4e5f60718293a4b5c6d7e8f9001", "Rank blocks in one pass", uncommitted=2)
NASTY = "a|b`c<script>*_[x](y)\n@someone #1 $x$ \x1b[31m\\|"


def finding(case: str = LONG[0], verdict: Verdict = Verdict.UNCHANGED, **fields: Any) -> Finding:
    """One timed case of our own grid."""
    params = (case, "cpu", "float32", "random", "sparsebench")
    given: dict[str, Any] = {
        "benchmark": "step.Long.time_step",
        "param_names": NAMES,
        "params": tuple(map(repr, params)),
        "type": "time",
        "unit": "seconds",
        "verdict": verdict,
        "rounds": 8,
    }
    return Finding(**(given | fields))


def timed(
    case: str, verdict: Verdict, change: float, *, half: float = 0.02, **fields: Any
) -> Finding:
    """A timed case with a change and its interval."""
    given: dict[str, Any] = {
        "base": 35.4e-6,
        "head": 35.4e-6 * (1 + change),
        "change": change,
        "interval": Interval(change - half, change + half),
        "detectable": 0.021,
    }
    return finding(case, verdict, **(given | fields))


def digest(case: str, verdict: Verdict, base: float | None, head: float | None) -> Finding:
    """A tracked case: exact, without noise."""
    return finding(
        case, verdict, benchmark="step.Long.track_digest", type="track", unit="sha256/48",
        base=base, head=head,
    )  # fmt: skip


def result(*findings: Finding, **fields: Any) -> GateResult:
    """Return a gate's result with these findings."""
    given: dict[str, Any] = {
        "project": "sparsebench",
        "machine": "epyc-2core",
        "environment": "virtualenv-py3.11",
        "base": BASE,
        "head": HEAD,
        "tolerance": 0.05,
        "confidence_level": 0.95,
        "findings": findings,
        "seconds": 192.4,
    }
    return GateResult(**(given | fields))


def quiet(count: int = 200, seed: int = 0) -> list[Finding]:
    """Unchanged timed cases, as noisy as on a small shared machine."""
    rng = np.random.default_rng(seed)
    return [
        timed(
            LONG[index % len(LONG)] + f",n={index // len(LONG)}" * (index >= len(LONG)),
            Verdict.UNCHANGED,
            float(rng.normal(0, 0.006)),
            half=float(rng.uniform(0.008, 0.03)),
            detectable=float(rng.uniform(0.012, 0.04)),
        )
        for index in range(count)
    ]


def one_of_each() -> GateResult:
    """Every verdict, doubts that cases share, and 200 that are unchanged."""
    shared = "needs 6 process pairs for an interval at 0.95, got 4"
    regressed = timed(LONG[201], Verdict.REGRESSED, 0.164, half=0.042)
    return result(
        *quiet(),
        replace(regressed, notes=("confirmed on 6 fresh rounds",)),
        timed(LONG[202], Verdict.REGRESSED, 1.31, half=0.09),
        timed(LONG[203], Verdict.IMPROVED, -0.46, half=0.03),
        timed(LONG[204], Verdict.UNDECIDED, 0.041, half=0.06, detectable=0.12, notes=(shared,)),
        finding(LONG[205], Verdict.UNDECIDED, base=8.1e-6, head=8.4e-6, notes=(shared,), rounds=4),
        finding(LONG[206], Verdict.NEW, head=12e-6),
        finding(LONG[207], Verdict.GONE, base=14.2e-6),
        finding(LONG[208], Verdict.FAILED, base=14.2e-6, notes=("ValueError: no\nsuch block",)),
        finding(LONG[209], Verdict.FAILED, on_both=True, notes=("timed out after 60 s",)),
        *(digest(case, Verdict.UNCHANGED, 2.0**40 + 7, 2.0**40 + 7) for case in LONG[:30]),
        digest(LONG[30], Verdict.CHANGED_RESULT, 53501240115412.0, 53501240115413.0),
        notes=("the machine slowed down by 4 % between minute 1 and 2",),
        skipped=12,
    )


def calibration() -> Calibration:
    """Return a calibration with high power and few false alarms."""

    def uniform(effect: float, gate: int, asv: int) -> Trial:
        return Trial(effect, 4, 976, 0, Tally(gate), Tally(asv), undecided=3, seconds=247.0)

    return Calibration(
        project="sparsebench",
        machine="epyc-2core",
        environment="virtualenv-py3.11",
        commit=BASE.hash,
        benchmarks=r"step\.Long\.time_step",
        tolerance=0.05,
        trials=(
            uniform(0.2, 976, 547),
            uniform(0.1, 970, 215),
            uniform(0.05, 310, 32),
            uniform(0.03, 2, 9),
            Trial(0.0, 100, 0, 2400, Tally(0, 1, 1), Tally(0, 412, 100), 12, seconds=18.3),
            Trial(0.1, 40, 40, 920, Tally(39, 0, 0), Tally(11, 160, 40), seconds=18.3),
        ),
    )
