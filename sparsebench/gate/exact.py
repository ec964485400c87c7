"""Tracked values: equal, or within the tolerance that their benchmark declares."""

import json
from statistics import median
from typing import Any, Final

from sparsebench.gate.cases import Case
from sparsebench.gate.findings import Verdict
from sparsebench.gate.gathered import Gathered, is_number
from sparsebench.gate.record import Phase

Needs = Phase | None
Said = tuple[Verdict, Needs, list[str]]

_SEEN: Final = 2  # rounds that a changed exact value must be seen in
_MEASURED: Final = 3  # rounds of which a value with a tolerance is the median


def judge_exact(case: Case, got: Gathered) -> Said:
    """The verdict about a tracked value, the rounds that it still needs, and notes.

    Equal once is equal. A difference must be seen again in fresh processes; where the base does not
    agree with itself nothing can be said of the head.
    """
    base, head = got.tracked("base"), got.tracked("head")
    if not base:
        return Verdict.UNDECIDED, "screen", []
    if case.tolerance is not None and all(map(is_number, base + head)):
        return _within(case.tolerance, base, head)
    if all(same(one, other) for one, other in zip(base, head, strict=True)):
        return Verdict.UNCHANGED, None, []
    if len(base) < _SEEN:
        return Verdict.UNDECIDED, "confirm", []
    if not _constant(base):
        text = f"not deterministic: base gave {base[0]} and then {base[-1]}; declare a tolerance"
        return Verdict.UNDECIDED, None, [text]
    notes = [] if _constant(head) else ["differs from round to round at head"]
    if not is_number(base[0]) or not is_number(head[0]):
        notes.append(f"was {base[0]!r:.60}, is {head[0]!r:.60}")
    return Verdict.CHANGED_RESULT, None, notes


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal; NaN equals NaN alone, in a list as well."""
    return bool(one == other) or json.dumps(one) == json.dumps(other)


def _within(tolerance: float, base: list[float], head: list[float]) -> Said:
    before, after = median(base), median(head)
    if abs(after - before) <= tolerance * abs(before):
        return Verdict.UNCHANGED, None, []
    if len(base) < _MEASURED:
        return Verdict.UNDECIDED, "confirm", []
    return Verdict.CHANGED_RESULT, None, [f"beyond its declared tolerance of {tolerance:.3g}"]


def _constant(values: list[Any]) -> bool:
    return all(same(values[0], value) for value in values)
