"""Cases and records made by hand."""

from collections.abc import Iterable
from typing import Any

from sparsebench.gate.cases import BenchmarkCase
from sparsebench.gate.findings import Side
from sparsebench.gate.record import Event, Record, RunPlan

BOTH: dict[str, int | None] = {"base": None, "head": None}


def case(name: str = "time_it", kind: str = "time", **fields: Any) -> BenchmarkCase:
    given: dict[str, Any] = {"indices": BOTH, "unit": "seconds", "tolerance": None}
    given |= {"timeout": 60.0, "cache_key": None, "cache_timeout": 60.0}
    return BenchmarkCase(benchmark=name, param_names=(), params=(), type=kind, **(given | fields))


def record(cases: Iterable[BenchmarkCase], *events: Event, tolerance: float = 0.05) -> Record:
    side = Side("0" * 40, "same")
    return Record(RunPlan("p", "m", "e", side, side, tolerance, tuple(cases)), list(events))
