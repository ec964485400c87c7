"""What a gate found: one finding a case, and what is to be said about the whole."""

import math
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sparsebench.stats import Interval


class Verdict(StrEnum):
    """What is said of one case; worst first."""

    CHANGED_RESULT = "CHANGED RESULT"
    REGRESSED = "REGRESSED"
    FAILED = "FAILED"
    UNDECIDED = "UNDECIDED"
    GONE = "GONE"
    NEW = "NEW"
    IMPROVED = "IMPROVED"
    UNCHANGED = "UNCHANGED"


DEFAULT_FAIL_ON: Final = frozenset(
    {Verdict.CHANGED_RESULT, Verdict.REGRESSED, Verdict.FAILED, Verdict.UNDECIDED}
)


@dataclass(frozen=True)
class Finding:
    """The verdict about one case and what it rests on.

    Attributes:
        benchmark: asv's name of it.
        param_names: the names of its parameters.
        params: the values of this case, as asv spells them.
        type: ``time``, ``timeraw``, ``memory``, ``peakmemory`` or ``track``.
        unit: of ``base`` and ``head``: base units, seconds and bytes.
        verdict: what is said.
        base, head: the typical value at each commit; None where there is none.
        change: head/base - 1; None where it cannot be said.
        interval: around ``change``, at the gate's confidence level.
        detectable: the smallest relative slow-down that this case would have been found with, given
            its noise and its number of rounds, four times in five; None for exact values.
        rounds: how many process pairs it was measured in.
        on_both: for FAILED: it fails at the base as well, so the head did not break it.
        notes: reasons and doubts, to be printed as footnotes.
    """

    benchmark: str
    param_names: tuple[str, ...]
    params: tuple[str, ...]
    type: str
    unit: str
    verdict: Verdict
    base: float | None = None
    head: float | None = None
    change: float | None = None
    interval: Interval | None = None
    detectable: float | None = None
    rounds: int = 0
    on_both: bool = False
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The case as asv's patterns match it: ``benchmark(param, param)``."""
        return f"{self.benchmark}({', '.join(self.params)})" if self.params else self.benchmark


@dataclass(frozen=True)
class Side:
    """One of the two commits that were compared."""

    hash: str
    subject: str
    uncommitted: int = 0  # changed files of the working tree that are measured with it

    @property
    def short(self) -> str:
        """The hash as people write it, marked where the working tree was measured."""
        return self.hash[:8] + ("+" if self.uncommitted else "")


@dataclass(frozen=True)
class GateResult:
    """All that a gate says.

    Attributes:
        project: asv's name of the project.
        machine: the name of this machine.
        environment: asv's name of the environment that was measured in.
        base, head: the compared commits.
        tolerance: the smallest relative change that matters.
        confidence_level: of the findings' intervals.
        findings: one a case, in asv's order.
        notes: what is to be known about the whole run: drift, what is not supported, an early end.
        seconds: how long measuring took, without the builds.
        skipped: how many cases asked to be skipped at both commits.
    """

    project: str
    machine: str
    environment: str
    base: Side
    head: Side
    tolerance: float
    confidence_level: float
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    skipped: int = 0

    def count(self, verdict: Verdict) -> int:
        """How many cases got this verdict."""
        return sum(finding.verdict is verdict for finding in self.findings)

    def exit_code(self, fail_on: Collection[Verdict] = DEFAULT_FAIL_ON) -> int:
        """0 pass, 1 a verdict that fails the gate, 2 nothing was measured, 3 undecided.

        What fails at both commits the head did not break: it is told, and does not fail the gate.
        """
        against = {f.verdict for f in self.findings if not f.on_both} & set(fail_on)
        if against - {Verdict.UNDECIDED}:
            return 1
        if all(finding.on_both for finding in self.findings):
            return 2
        return 3 if against else 0


def worst_first(findings: Collection[Finding]) -> list[Finding]:
    """The findings by verdict, and within one verdict the largest change first."""
    rank = {verdict: place for place, verdict in enumerate(Verdict)}
    return sorted(findings, key=lambda f: (rank[f.verdict], -_size(f), f.name))


def _size(finding: Finding) -> float:
    change = finding.change
    return abs(math.log1p(change)) if change is not None and change > -1 else 0.0
