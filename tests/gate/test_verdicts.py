"""Verdicts from records made by hand: which rounds are asked for, and what is said of them."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from sparsebench.gate.cases import BenchmarkCase
from sparsebench.gate.findings import Finding, Verdict
from sparsebench.gate.record import Blocks, Doubt, Event, Failure, Phase, Record, Skip, Values
from sparsebench.gate.verdicts import LEAST_ROUNDS, Task, judge, remaining_tasks
from tests.gate.made_records import case, record


def rounds(
    index: int, changes: Iterable[float], phase: Phase = "screen", seconds: float = 1e-3
) -> list[Event]:
    """A round a change, its blocks without any noise of their own."""
    return [
        Blocks(index, number, phase, "BHHB", (seconds, h, h, seconds), 1, 1)
        for number, change in enumerate(changes)
        for h in [seconds * (1 + change)]
    ]


def noisy(change: float, count: int, seed: int = 0, spread: float = 0.004) -> list[float]:
    return list(change + np.random.default_rng(seed).normal(0, spread, count))


def only(made: Record) -> Finding:
    (finding,) = judge(made)
    return finding


def values(pairs: Iterable[tuple[Any, Any]], index: int = 0) -> list[Event]:
    return [Values(index, n, "screen", base, head) for n, (base, head) in enumerate(pairs)]


def test_nothing_is_reported_and_screening_asked_for_below_the_least_number_of_rounds() -> None:
    for count in range(LEAST_ROUNDS):
        made = record([case()], *rounds(0, noisy(1.0, count)))
        assert only(made).verdict is Verdict.UNDECIDED
        assert remaining_tasks(made) == [Task(0, "screen")]


def test_within_the_tolerance_is_unchanged_and_needs_no_more() -> None:
    made = record([case()], *rounds(0, noisy(0.01, LEAST_ROUNDS)))
    finding = only(made)
    assert finding.verdict is Verdict.UNCHANGED
    assert remaining_tasks(made) == []
    assert finding.rounds == LEAST_ROUNDS
    assert finding.change == pytest.approx(0.01, abs=0.005)
    assert finding.interval
    assert finding.interval.low < finding.change < finding.interval.high < 0.05
    assert finding.detectable
    assert finding.detectable > 0.05


def test_faster_is_improved_at_once() -> None:
    made = record([case()], *rounds(0, noisy(-0.3, LEAST_ROUNDS)))
    assert only(made).verdict is Verdict.IMPROVED
    assert remaining_tasks(made) == []


def test_an_interval_across_the_tolerance_asks_for_more_screening() -> None:
    made = record([case()], *rounds(0, noisy(0.05, 6, spread=0.02)))
    assert only(made).verdict is Verdict.UNDECIDED
    assert remaining_tasks(made) == [Task(0, "screen")]


def test_slower_is_suspected_until_fresh_rounds_say_so_too() -> None:
    screened = rounds(0, noisy(0.2, LEAST_ROUNDS))
    made = record([case()], *screened)
    finding = only(made)
    assert finding.verdict is Verdict.UNDECIDED
    assert finding.notes == (
        f"{finding.change:+.1%} in 4 rounds of screening; not confirmed in fresh rounds yet",
    )
    assert remaining_tasks(made) == [Task(0, "confirm")]

    few = record([case()], *screened, *rounds(0, noisy(0.2, LEAST_ROUNDS - 1), "confirm"))
    assert only(few).verdict is Verdict.UNDECIDED
    assert remaining_tasks(few) == [Task(0, "confirm")]

    confirmed = record([case()], *screened, *rounds(0, noisy(0.2, LEAST_ROUNDS, 1), "confirm"))
    finding = only(confirmed)
    assert finding.verdict is Verdict.REGRESSED
    assert finding.notes == ()
    assert finding.rounds == 2 * LEAST_ROUNDS
    assert remaining_tasks(confirmed) == []


def test_a_suspect_that_fresh_rounds_do_not_confirm_is_unchanged_and_reported() -> None:
    screened = rounds(0, noisy(0.2, LEAST_ROUNDS))
    made = record([case()], *screened, *rounds(0, noisy(0.0, LEAST_ROUNDS, 1), "confirm"))
    finding = only(made)
    assert finding.verdict is Verdict.UNCHANGED
    assert abs(finding.change or math.inf) < 0.01  # of the fresh rounds alone
    assert finding.notes[0].startswith("+")
    assert finding.notes[0].endswith("screening; the change is that of fresh rounds")


def test_families_have_separate_variances() -> None:
    counted = [case(f"mem_{n}", "memory") for n in range(20)]
    exact = [e for n in range(20) for e in values([(1000, 1000)] * LEAST_ROUNDS, n)]
    loud = case()
    events = rounds(20, noisy(0.0, LEAST_ROUNDS, spread=0.2))
    *memory, timed = judge(record([*counted, loud], *exact, *events))
    alone = only(record([loud], *rounds(0, noisy(0.0, LEAST_ROUNDS, spread=0.2))))
    assert {finding.verdict for finding in memory} == {Verdict.UNCHANGED}
    assert [finding.detectable for finding in memory] == pytest.approx([0.05] * 20)
    assert timed.interval == alone.interval


def test_bytes_from_none_at_all_can_be_compared() -> None:
    grown = record([case("mem_it", "memory")], *values([(0, 1000)] * LEAST_ROUNDS))
    assert remaining_tasks(grown) == [Task(0, "confirm")]
    none = record([case("mem_it", "memory")], *values([(0, 0)] * LEAST_ROUNDS))
    assert only(none).verdict is Verdict.UNCHANGED


def test_among_many_unchanged_cases_chance_is_not_a_suspicion() -> None:
    rng = np.random.default_rng(5)
    cases = [case(f"time_{n}") for n in range(300)]
    events = [e for n in range(300) for e in rounds(n, list(rng.normal(0.03, 0.02, 5)))]
    assert [
        task for task in remaining_tasks(record(cases, *events)) if task.phase == "confirm"
    ] == []


@pytest.mark.parametrize(
    ("made", "verdict", "notes"),
    [
        (case(indices={"head": None}), Verdict.NEW, ("does not exist at base",)),
        (case(indices={"base": None}), Verdict.GONE, ("does not exist at head",)),
        (case(broken={"head": "E"}), Verdict.FAILED, ("does not import at head: E",)),
        (case(broken={"base": "E"}), Verdict.NEW, ("does not import at base: E",)),
    ],
)
def test_what_cannot_be_measured_is_not_asked_for(
    made: BenchmarkCase, verdict: Verdict, notes: tuple[str, ...]
) -> None:
    finding = only(record([made]))
    assert (finding.verdict, finding.notes) == (verdict, notes)
    assert remaining_tasks(record([made])) == []


def failures(*sides: str, text: str = "E") -> list[Event]:
    return [Failure(0, number, side, text) for number, side in enumerate(sides)]


@pytest.mark.parametrize(
    ("events", "verdict", "on_both"),
    [
        (failures("head", "head"), Verdict.FAILED, False),
        (failures("head", text="timed out after 1 s"), Verdict.FAILED, False),
        (failures("base", "base"), Verdict.NEW, False),
        (failures("base", "base", "head", "head"), Verdict.FAILED, True),
        ([Skip(0, "head")], Verdict.GONE, False),
        ([Skip(0, "base")], Verdict.NEW, False),
        ([Skip(0, "base"), *failures("head", "head")], Verdict.FAILED, False),
        ([*rounds(0, [0.0] * 8), *failures("head", "head")], Verdict.FAILED, False),
    ],
)
def test_failures_and_skips(events: list[Event], verdict: Verdict, on_both: bool) -> None:
    made = record([case()], *events)
    finding = only(made)
    assert (finding.verdict, finding.on_both) == (verdict, on_both)
    assert remaining_tasks(made) == []


def test_one_failure_is_tried_again_and_noted() -> None:
    made = record([case()], *failures("head"), Doubt(0, "odd"))
    assert remaining_tasks(made) == [Task(0, "screen")]
    assert only(made).notes == ("failed once at head: E", "odd")


def test_what_both_sides_skip_is_no_finding() -> None:
    cases = [case("a"), case("b")]
    made = record(cases, Skip(0, "base"), Skip(0, "head"))
    assert [finding.name for finding in judge(made)] == ["b"]
    assert remaining_tasks(made) == [Task(1, "screen")]


def test_tracked_values_are_asked_for_again_only_where_they_differ() -> None:
    tracked = [case("track_it", "track")]
    assert remaining_tasks(record(tracked)) == [Task(0, "screen")]
    assert remaining_tasks(record(tracked, *values([(1, 1)]))) == []
    assert remaining_tasks(record(tracked, *values([(1, 2)]))) == [Task(0, "confirm")]
    made = record(tracked, *values([(1, 2), (1, 2)]))
    assert only(made).verdict is Verdict.CHANGED_RESULT
    assert (only(made).base, only(made).head, only(made).change) == (1, 2, 1.0)


def test_a_value_that_changes_at_head_alone_and_one_that_changes_at_base() -> None:
    tracked = [case("track_it", "track")]
    assert only(record(tracked, *values([(1, 2), (1, 3)]))).notes == (
        "differs from round to round at head",
    )
    assert only(record(tracked, *values([(1, 2), (3, 2)]))).verdict is Verdict.UNDECIDED
    once = record(tracked, *values([(1, 2), (1, 1)]))
    assert only(once).verdict is Verdict.CHANGED_RESULT


@pytest.mark.parametrize(
    ("pair", "change"), [((0, 5), None), ((0, 0), None), ((-2, -4), 1.0), ((10**400, 1), None)]
)
def test_a_change_is_reported_where_it_has_a_meaning(
    pair: tuple[int, int], change: float | None
) -> None:
    assert only(record([case("track_it", "track")], *values([pair] * 2))).change == change


def test_times_that_no_clock_gives_do_not_end_the_judging() -> None:
    wrong = [Blocks(0, n, "screen", "BHHB", (math.nan,) * 4, 1, 1) for n in range(5)]
    assert only(record([case()], *wrong)).verdict is Verdict.UNDECIDED
