"""From a record to verdicts: pure, so that the same record gives the same verdicts again.

A case is screened: round after round, until its interval lies within the tolerance (UNCHANGED), or
it is IMPROVED with the false discovery rate over all cases held, or suspected to be slower. What is
suspected is confirmed: measured in fresh rounds and judged on those alone, the false discovery rate
held over all suspects. `python -m studies.gate_simulation` tells how often this rule errs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from sparsebench.gate.cases import Case
from sparsebench.gate.exact import Needs, judge_exact
from sparsebench.gate.findings import Finding, Verdict
from sparsebench.gate.gathered import Gathered, gather
from sparsebench.gate.record import Phase, Record
from sparsebench.stats import CONFIDENCE_LEVEL, Effect, Interval, adjusted, variance_prior

LEAST_ROUNDS: Final = 4  # below it the spread between processes is mostly guessed
ALPHA: Final = 0.05  # the false discovery rate, and the level at which a case is suspected
POWER: Final = 0.8  # with which a change of the size of `detectable` would be found

# Their noise has nothing in common: each family's variances are moderated on their own.
_FAMILIES: Final = ("time", "memory", "peakmemory")


class Todo(NamedTuple):
    """What a case is to be measured for next."""

    case: int
    phase: Phase


@dataclass(frozen=True)
class State:
    """What is said of a case so far, and which rounds it still needs."""

    finding: Finding
    needs: Needs = None


class Opinion(NamedTuple):
    """What an effect allows to say."""

    verdict: Verdict
    effect: Effect
    needs: Needs
    note: str = ""


def judge(record: Record) -> list[Finding]:
    """One finding a case, in the plan's order; none for what is skipped at both sides."""
    return [state.finding for state in _states(record) if state]


def todo(record: Record) -> list[Todo]:
    """What is still to be measured."""
    states = enumerate(_states(record))
    return [Todo(index, state.needs) for index, state in states if state and state.needs]


def _states(record: Record) -> list[State | None]:
    """The state of every case; None where both sides ask to be skipped."""
    cases = record.plan.cases
    gathered = gather(len(cases), record.events)
    states: dict[int, State | None] = {}
    families: dict[str, list[int]] = {family: [] for family in _FAMILIES}
    for index, (case, got) in enumerate(zip(cases, gathered, strict=True)):
        if len(got.skips) == 2:
            states[index] = None
        elif state := _unmeasurable(case, got):
            states[index] = state
        elif case.type == "track":
            states[index] = _tracked(case, got)
        else:
            families[case.type].append(index)
    for family in families.values():
        chosen = [(cases[index], gathered[index]) for index in family]
        states.update(zip(family, _compared(chosen, record.plan.tolerance), strict=True))
    return [states[index] for index in range(len(cases))]


def _unmeasurable(case: Case, got: Gathered) -> State | None:
    """The state of a case that fails, is missing or is skipped at a side; None where it runs."""
    reasons = {
        **dict.fromkeys(got.skips, "asks to be skipped at {}"),
        **dict.fromkeys({"base", "head"} - set(case.indices), "does not exist at {}"),
    }
    failing = {side: f"fails at {side}: {text}" for side, text in got.failing().items()}
    failing |= {side: f"does not import at {side}: {text}" for side, text in case.broken.items()}
    if len(failing) == 2:
        return State(_finding(case, got, Verdict.FAILED, *failing.values(), on_both=True))
    if "head" in failing:
        return State(_finding(case, got, Verdict.FAILED, failing["head"]))
    reasons = {side: reason.format(side) for side, reason in reasons.items()} | failing
    for side, verdict in (("head", Verdict.GONE), ("base", Verdict.NEW)):
        if side in reasons:
            return State(_finding(case, got, verdict, reasons[side]))
    return None


def _tracked(case: Case, got: Gathered) -> State:
    verdict, needs, notes = judge_exact(case, got)
    base, head = got.typical("base"), got.typical("head")
    change = head / base - 1 if base and head is not None else None
    finding = _finding(case, got, verdict, *notes)
    return State(replace(finding, base=base, head=head, change=change), needs)


def _compared(cases: Sequence[tuple[Case, Gathered]], tolerance: float) -> list[State]:
    """The states of one family of cases, whose rounds have a head/base each."""
    limit = math.log1p(tolerance)
    times = [math.log(got.typical("base") or 1.0) for _, got in cases]
    prior = variance_prior([got.effects("screen") for _, got in cases], times)

    def opinions(chosen: list[int], phase: Phase) -> dict[int, Opinion]:
        effects = [prior.effect(cases[i][1].effects(phase), times[i]) for i in chosen]
        return dict(zip(chosen, _opinions(effects, limit, phase), strict=True))

    screened = opinions(list(range(len(cases))), "screen")
    suspects = [i for i, opinion in screened.items() if opinion.verdict is Verdict.REGRESSED]
    final = screened | {
        i: _after_suspicion(opinion, screened[i].effect)
        for i, opinion in opinions(suspects, "confirm").items()
    }
    return [_state(*case, final[i], limit) for i, case in enumerate(cases)]


def _opinions(effects: Sequence[Effect], limit: float, phase: Phase) -> list[Opinion]:
    """What each effect allows to say, the false discovery rate held over all that are ready.

    While screening, a slow-down need not stand against all cases: to suspect one too many costs
    rounds, and no false alarm, because fresh rounds decide.
    """
    ready = [effect.count >= LEAST_ROUNDS for effect in effects]
    tested = list(zip(effects, ready, strict=True))
    slower = [e.p_above(limit) if ok else math.nan for e, ok in tested]
    slower = slower if phase == "screen" else list(adjusted(slower))
    faster = adjusted([e.p_below(-limit) if ok else math.nan for e, ok in tested])
    return [
        _opinion(effect, limit, phase, is_slower=up <= ALPHA, is_faster=down <= ALPHA)
        if ok
        else Opinion(Verdict.UNDECIDED, effect, phase)
        for (effect, ok), up, down in zip(tested, slower, faster, strict=True)
    ]


def _opinion(
    effect: Effect, limit: float, phase: Phase, *, is_slower: bool, is_faster: bool
) -> Opinion:
    interval = effect.interval(CONFIDENCE_LEVEL)
    if is_slower and (phase == "screen" or interval.low > limit):
        return Opinion(Verdict.REGRESSED, effect, None)
    if is_faster and interval.high < -limit:
        return Opinion(Verdict.IMPROVED, effect, None)
    if -limit <= interval.low and interval.high <= limit:
        return Opinion(Verdict.UNCHANGED, effect, None)
    return Opinion(Verdict.UNDECIDED, effect, phase)


def _after_suspicion(opinion: Opinion, screened: Effect) -> Opinion:
    """What fresh rounds say, or what made them necessary where there are none yet."""
    looked = f"looked {math.expm1(screened.value):+.1%} in {screened.count} rounds of screening"
    if opinion.effect.count == 0:
        return Opinion(Verdict.UNDECIDED, screened, "confirm", f"{looked}; not measured again yet")
    note = f"{looked}; these are fresh rounds"
    return opinion._replace(note="" if opinion.verdict is Verdict.REGRESSED else note)


def _state(case: Case, got: Gathered, opinion: Opinion, limit: float) -> State:
    effect = opinion.effect
    finding = _finding(case, got, opinion.verdict, *filter(None, [opinion.note]))
    if effect.count:
        detectable = limit + effect.detectable(ALPHA / 2, POWER)
        ends = effect.interval(CONFIDENCE_LEVEL)
        known = math.isfinite(ends.high)
        finding = replace(
            finding,
            base=got.typical("base"),
            head=got.typical("head"),
            change=math.expm1(effect.value),
            interval=Interval(math.expm1(ends.low), math.expm1(ends.high)) if known else None,
            detectable=math.expm1(detectable) if known else None,
        )
    return State(finding, opinion.needs)


def _finding(
    case: Case, got: Gathered, verdict: Verdict, *notes: str, on_both: bool = False
) -> Finding:
    tried = [f"failed once at {f.side}: {f.text}" for f in got.failures if not got.failing()]
    return Finding(
        benchmark=case.benchmark,
        param_names=case.param_names,
        params=case.params,
        type=case.type,
        unit=case.unit,
        verdict=verdict,
        rounds=got.rounds,
        on_both=on_both,
        notes=(*notes, *tried, *got.doubts),
    )
