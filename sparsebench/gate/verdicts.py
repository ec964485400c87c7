"""Verdicts from a record; the same record always gives the same verdicts.

A case is screened, round after round, until its interval is within the tolerance (UNCHANGED), it is
IMPROVED at the false discovery rate over all cases, or it is suspected to be slower. Suspects are
confirmed: they are measured in fresh rounds and judged on these alone, at the false discovery rate
over all suspects. `python -m studies.gate_simulation` prints the error rates of this rule.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, Final, NamedTuple

from sparsebench.gate.cases import BenchmarkCase
from sparsebench.gate.control import doubts
from sparsebench.gate.findings import Finding, GateResult, Verdict
from sparsebench.gate.measurements import CaseMeasurements, is_number, measurements_by_case
from sparsebench.gate.record import Ended, Phase, Record
from sparsebench.stats import CONFIDENCE_LEVEL, Effect, Interval, adjusted, variance_prior

LEAST_ROUNDS: Final = 4  # with fewer, the variance between processes cannot be estimated
ALPHA: Final = 0.05  # false discovery rate, and the level of a suspect's p-value
POWER: Final = 0.8  # probability of detecting a change of the size of `detectable`
_SEEN: Final = 2  # rounds in which a changed exact value must be seen
_MEASURED: Final = 3  # rounds whose median is used for a value with a tolerance

# Types with different noise: variances are moderated within each family.
_FAMILIES: Final = ("time", "memory", "peakmemory")


Needs = Phase | None  # the rounds that a case still needs
ExactVerdict = tuple[Verdict, Needs, list[str]]  # with notes


class Task(NamedTuple):
    """A case that needs another round."""

    case: int
    phase: Phase


@dataclass(frozen=True)
class CaseState:
    """The finding on a case so far, and the rounds that it still needs."""

    finding: Finding
    needs: Needs = None


class Judgement(NamedTuple):
    """The verdict on an effect, and the rounds that it still needs."""

    verdict: Verdict
    effect: Effect
    needs: Needs
    note: str = ""


def gate_result(record: Record) -> GateResult:
    """Return the findings and notes of a record."""
    plan = record.plan
    findings = judge(record)
    return GateResult(
        project=plan.project,
        machine=plan.machine,
        environment=plan.environment,
        base=plan.base,
        head=plan.head,
        tolerance=plan.tolerance,
        confidence_level=CONFIDENCE_LEVEL,
        findings=tuple(findings),
        notes=(*plan.notes, *doubts(record.events), *_early_end(record)),
        seconds=record.seconds,
        skipped=len(plan.cases) - len(findings),
    )


def _early_end(record: Record) -> list[str]:
    last = record.events[-1] if record.events else None
    if isinstance(last, Ended) and last.why == "decided":
        return []
    if isinstance(last, Ended) and last.why == "budget":
        return ["the budget was spent before everything was decided"]
    return ["measuring was interrupted; the same command continues"]


def judge(record: Record) -> list[Finding]:
    """Return one finding per case in the plan's order, without cases skipped at both sides."""
    return [state.finding for state in _states(record) if state]


def remaining_tasks(record: Record) -> list[Task]:
    """Return the cases that need another round."""
    states = enumerate(_states(record))
    return [Task(index, state.needs) for index, state in states if state and state.needs]


def _states(record: Record) -> list[CaseState | None]:
    """Return the state of each case; None if it is skipped at both sides."""
    cases = record.plan.cases
    measurements = measurements_by_case(len(cases), record.events)
    states: dict[int, CaseState | None] = {}
    families: dict[str, list[int]] = {family: [] for family in _FAMILIES}
    for index, (case, measured) in enumerate(zip(cases, measurements, strict=True)):
        if len(measured.skips) == 2:
            states[index] = None
        elif state := _unmeasurable(case, measured):
            states[index] = state
        elif case.type == "track":
            states[index] = _tracked(case, measured)
        else:
            families[case.type].append(index)
    for family in families.values():
        members = [(cases[index], measurements[index]) for index in family]
        states.update(zip(family, _compared(members, record.plan.tolerance), strict=True))
    return [states[index] for index in range(len(cases))]


def _unmeasurable(case: BenchmarkCase, measured: CaseMeasurements) -> CaseState | None:
    """Return the state of a case that fails, is missing or is skipped at a side, else None."""
    reasons = {
        **dict.fromkeys(measured.skips, "is skipped at {}"),
        **dict.fromkeys({"base", "head"} - set(case.indices), "does not exist at {}"),
    }
    failing = {side: f"fails at {side}: {text}" for side, text in measured.failing().items()}
    failing |= {side: f"does not import at {side}: {text}" for side, text in case.broken.items()}
    if len(failing) == 2:
        return CaseState(_finding(case, measured, Verdict.FAILED, *failing.values(), on_both=True))
    if "head" in failing:
        return CaseState(_finding(case, measured, Verdict.FAILED, failing["head"]))
    reasons = {side: reason.format(side) for side, reason in reasons.items()} | failing
    for side, verdict in (("head", Verdict.GONE), ("base", Verdict.NEW)):
        if side in reasons:
            return CaseState(_finding(case, measured, verdict, reasons[side]))
    return None


def _tracked(case: BenchmarkCase, measured: CaseMeasurements) -> CaseState:
    verdict, needs, notes = judge_exact(case, measured)
    base, head = measured.typical("base"), measured.typical("head")
    change = head / base - 1 if base and head is not None else None
    finding = _finding(case, measured, verdict, *notes)
    return CaseState(replace(finding, base=base, head=head, change=change), needs)


def _compared(
    cases: Sequence[tuple[BenchmarkCase, CaseMeasurements]], tolerance: float
) -> list[CaseState]:
    """Return the states of one family of cases, whose rounds each have a ratio head/base."""
    limit = math.log1p(tolerance)
    times = [math.log(measured.typical("base") or 1.0) for _, measured in cases]
    prior = variance_prior([measured.effects("screen") for _, measured in cases], times)

    def judgements(indices: list[int], phase: Phase) -> dict[int, Judgement]:
        effects = [prior.effect(cases[i][1].effects(phase), times[i]) for i in indices]
        return dict(zip(indices, _judgements(effects, limit, phase), strict=True))

    screened = judgements(list(range(len(cases))), "screen")
    suspects = [i for i, judgement in screened.items() if judgement.verdict is Verdict.REGRESSED]
    final = screened | {
        i: _confirmed(judgement, screened[i].effect)
        for i, judgement in judgements(suspects, "confirm").items()
    }
    return [_state(*case, final[i], limit) for i, case in enumerate(cases)]


def _judgements(effects: Sequence[Effect], limit: float, phase: Phase) -> list[Judgement]:
    """Return the judgement on each effect; the false discovery rate is that over all of them.

    P-values of slow-downs are not adjusted while screening: a wrong suspect costs rounds but is no
    false alarm, because fresh rounds decide.
    """
    ready = [effect.count >= LEAST_ROUNDS for effect in effects]
    tested = list(zip(effects, ready, strict=True))
    slower = [e.p_above(limit) if ok else math.nan for e, ok in tested]
    slower = slower if phase == "screen" else list(adjusted(slower))
    faster = adjusted([e.p_below(-limit) if ok else math.nan for e, ok in tested])
    return [
        _judgement(effect, limit, phase, is_slower=up <= ALPHA, is_faster=down <= ALPHA)
        if ok
        else Judgement(Verdict.UNDECIDED, effect, phase)
        for (effect, ok), up, down in zip(tested, slower, faster, strict=True)
    ]


def _judgement(
    effect: Effect, limit: float, phase: Phase, *, is_slower: bool, is_faster: bool
) -> Judgement:
    interval = effect.interval(CONFIDENCE_LEVEL)
    if is_slower and (phase == "screen" or interval.low > limit):
        return Judgement(Verdict.REGRESSED, effect, None)
    if is_faster and interval.high < -limit:
        return Judgement(Verdict.IMPROVED, effect, None)
    if -limit <= interval.low and interval.high <= limit:
        return Judgement(Verdict.UNCHANGED, effect, None)
    return Judgement(Verdict.UNDECIDED, effect, phase)


def _confirmed(judgement: Judgement, screened: Effect) -> Judgement:
    """Return the judgement of the confirmation, with a note on the screening."""
    screening = f"{math.expm1(screened.value):+.1%} in {screened.count} rounds of screening"
    if judgement.effect.count == 0:
        note = f"{screening}; not confirmed in fresh rounds yet"
        return Judgement(Verdict.UNDECIDED, screened, "confirm", note)
    note = f"{screening}; the change is that of fresh rounds"
    return judgement._replace(note="" if judgement.verdict is Verdict.REGRESSED else note)


def _state(
    case: BenchmarkCase, measured: CaseMeasurements, judgement: Judgement, limit: float
) -> CaseState:
    effect = judgement.effect
    finding = _finding(case, measured, judgement.verdict, *filter(None, [judgement.note]))
    if effect.count:
        detectable = limit + effect.detectable(ALPHA / 2, POWER)
        ends = effect.interval(CONFIDENCE_LEVEL)
        is_finite = math.isfinite(ends.high)
        finding = replace(
            finding,
            base=measured.typical("base"),
            head=measured.typical("head"),
            change=math.expm1(effect.value),
            interval=Interval(math.expm1(ends.low), math.expm1(ends.high)) if is_finite else None,
            detectable=math.expm1(detectable) if is_finite else None,
        )
    return CaseState(finding, judgement.needs)


def _finding(
    case: BenchmarkCase,
    measured: CaseMeasurements,
    verdict: Verdict,
    *notes: str,
    on_both: bool = False,
) -> Finding:
    failures = [
        f"failed once at {f.side}: {f.text}" for f in measured.failures if not measured.failing()
    ]
    return Finding(
        benchmark=case.benchmark,
        param_names=case.param_names,
        params=case.params,
        type=case.type,
        unit=case.unit,
        verdict=verdict,
        rounds=measured.rounds,
        on_both=on_both,
        notes=(*notes, *failures, *measured.doubts),
    )


def judge_exact(case: BenchmarkCase, measured: CaseMeasurements) -> ExactVerdict:
    """Return the verdict on a tracked value, the rounds that it still needs, and notes.

    Values that are equal once are unchanged. A difference must be seen again in fresh processes. If
    the base's values differ from each other, the case is undecided.
    """
    base, head = measured.tracked("base"), measured.tracked("head")
    if not base:
        return Verdict.UNDECIDED, "screen", []
    if case.tolerance is not None and all(map(is_number, base + head)):
        return _within(case.tolerance, base, head)
    if all(same(b, h) for b, h in zip(base, head, strict=True)):
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


def same(first: Any, second: Any) -> bool:
    """Return whether two values are equal; NaN equals NaN, also inside lists."""
    return bool(first == second) or json.dumps(first) == json.dumps(second)


def _within(tolerance: float, base: list[float], head: list[float]) -> ExactVerdict:
    before, after = median(base), median(head)
    if abs(after - before) <= tolerance * abs(before):
        return Verdict.UNCHANGED, None, []
    if len(base) < _MEASURED:
        return Verdict.UNDECIDED, "confirm", []
    return Verdict.CHANGED_RESULT, None, [f"beyond its declared tolerance of {tolerance:.3g}"]


def _constant(values: list[Any]) -> bool:
    return all(same(values[0], value) for value in values)
