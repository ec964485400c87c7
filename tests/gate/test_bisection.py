"""Bisecting: which commits are gated, and what is said of undecided ones."""

import pytest

from sparsebench.errors import SparsebenchError
from sparsebench.gate.bisection import Bisection, BisectionStep, bisect
from sparsebench.gate.findings import Finding, GateResult, Side, Verdict

BASE = Side("b" * 40, "good")


def commits(count: int) -> list[Side]:
    return [Side(f"{index:040d}", f"commit {index}") for index in range(count)]


def result_of(verdict: Verdict, head: Side) -> GateResult:
    finding = Finding("mod.time_it", (), (), "time", "seconds", verdict)
    return GateResult("p", "m", "e", BASE, head, 0.05, 0.95, (finding,))


def run(verdicts: str) -> tuple[Bisection, list[int]]:
    """Bisect commits of which each letter says: G good, B bad, ? undecided."""
    named = {"G": Verdict.UNCHANGED, "B": Verdict.REGRESSED, "?": Verdict.UNDECIDED}
    sides = commits(len(verdicts))
    steps: list[BisectionStep] = []
    bisection = bisect(sides, lambda s: result_of(named[verdicts[sides.index(s)]], s), steps.append)
    assert tuple(steps) == bisection.steps
    return bisection, [sides.index(step.commit) for step in bisection.steps]


@pytest.mark.parametrize("first_bad", range(9))
def test_the_first_bad_commit_is_found_with_few_gates(first_bad: int) -> None:
    bisection, gated = run("G" * first_bad + "B" * (9 - first_bad))
    assert [side.subject for side in bisection.candidates] == [f"commit {first_bad}"]
    assert len(gated) == len(set(gated)) <= 5


def test_undecided_commits_are_passed_over() -> None:
    bisection, _ = run("GGG?BBB")
    assert [side.subject for side in bisection.candidates] == ["commit 3", "commit 4"]
    bisection, _ = run("G??GBBB")
    assert [side.subject for side in bisection.candidates] == ["commit 4"]


def test_nothing_to_find_is_reported() -> None:
    with pytest.raises(SparsebenchError, match="the gate says UNCHANGED of 00000000"):
        run("GGG")
    with pytest.raises(SparsebenchError, match="there is none"):
        bisect([], lambda side: result_of(Verdict.REGRESSED, side), lambda step: None)


def test_a_single_commit_needs_one_gate() -> None:
    bisection, gated = run("B")
    assert gated == [0]
    assert len(bisection.candidates) == 1
