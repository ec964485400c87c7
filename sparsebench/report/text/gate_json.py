"""A gate's findings as strict JSON, for programs."""

import json
import math
from collections.abc import Collection, Iterable
from dataclasses import asdict
from typing import Any, Final

from sparsebench.gate.findings import DEFAULT_FAIL_ON, GateResult, Verdict
from sparsebench.report.text.gate_words import outcome

SCHEMA: Final = "sparsebench.gate/1"  # the number rises when a field changes its meaning or goes


def to_json(
    result: GateResult,
    fail_on: Collection[Verdict] = DEFAULT_FAIL_ON,
    record: Iterable[str] = (),
) -> str:
    """Return everything the gate found as strict JSON, a finding an object, in asv's order.

    Fields are those of `GateResult`, `Finding`, `Side` and `Interval`, in base units, besides
    ``schema``, ``outcome`` (exit code, word and tally) and ``fail_on``. What JSON has no number for
    stands as the string "NaN", "Infinity" or "-Infinity"; null is only what there is not.
    ``record``: the lines of the run's record, from which ``gate --replay`` says all of it again.
    """
    said = {"schema": SCHEMA, "outcome": asdict(outcome(result, fail_on))}
    kept = {"fail_on": sorted(fail_on), "record": list(record)}
    strict = _strict(said | asdict(result) | kept)
    return json.dumps(strict, indent=1, allow_nan=False) + "\n"


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else f"{'-' * (value < 0)}Infinity"
    return value
