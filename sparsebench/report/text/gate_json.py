"""A gate's findings as strict JSON, for programs."""

import json
import math
from collections.abc import Collection, Iterable
from dataclasses import asdict
from typing import Any, Final

from sparsebench.gate.findings import DEFAULT_FAIL_ON, GateResult, Verdict
from sparsebench.report.text.gate_format import outcome

# The number rises if a field changes its meaning or is removed.
SCHEMA: Final = "sparsebench.gate/1"


def to_json(
    result: GateResult,
    fail_on: Collection[Verdict] = DEFAULT_FAIL_ON,
    record: Iterable[str] = (),
) -> str:
    """Return all findings as strict JSON, one object per finding, in asv's order.

    Fields are those of `GateResult`, `Finding`, `Side` and `Interval`, in base units, and
    ``schema``, ``outcome`` (exit code, word and tally), ``fail_on`` and ``record``. Numbers that
    JSON does not have are the strings "NaN", "Infinity" and "-Infinity"; null means no value.

    Args:
        result: the findings.
        fail_on: verdicts that fail the gate.
        record: lines of the run's record, which ``gate --replay`` judges again.
    """
    head = {"schema": SCHEMA, "outcome": asdict(outcome(result, fail_on))}
    tail = {"fail_on": sorted(fail_on), "record": list(record)}
    strict = _strict(head | asdict(result) | tail)
    return json.dumps(strict, indent=1, allow_nan=False) + "\n"


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else f"{'-' * (value < 0)}Infinity"
    return value
