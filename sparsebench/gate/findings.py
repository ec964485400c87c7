"""The findings of a gate: one per case, and the result of the whole run."""

import math
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sparsebench.stats import Interval


class Verdict(StrEnum):
    """Verdicts on a case, worst first."""

    CHANGED_RESULT = "CHANGED RESULT"
    REGRESSED = "REGRESSED"
    FAILED = "FAILED"
    UNDECIDED = "UNDECIDED"
    GONE = "GONE"
    NEW = "NEW"
    IMPROVED = "IMPROVED"
    UNCHANGED = "UNCHANGED"


SIDES: Final = ("base", "head")
DEFAULT_FAIL_ON: Final = frozenset(
    {Verdict.CHANGED_RESULT, Verdict.REGRESSED, Verdict.FAILED, Verdict.UNDECIDED}
)


@dataclass(frozen=True)
class Finding:
    """The verdict on one case, with its numbers.

    Attributes:
        benchmark: asv's name.
        param_names: the names of its parameters.
        params: the values of this case, in asv's spelling.
        type: ``time``, ``timeraw``, ``memory``, ``peakmemory`` or ``track``.
        unit: of ``base`` and ``head``: base units, seconds and bytes.
        verdict: the verdict.
        base, head: the typical value at each commit; None without one.
        change: head/base - 1; None if it is unknown.
        interval: of ``change``, at the gate's confidence level.
        detectable: minimum detectable effect: the relative slow-down that is detected with
            probability 0.8, given the noise and number of rounds; None for exact values.
        rounds: number of process pairs.
        on_both: for FAILED, whether it fails at the base as well.
        notes: reasons and warnings, printed as footnotes.
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
        """The text that asv's patterns are matched with: ``benchmark(param, param)``."""
        return f"{self.benchmark}({', '.join(self.params)})" if self.params else self.benchmark


@dataclass(frozen=True)
class Side:
    """One of the two compared commits."""

    hash: str
    subject: str
    uncommitted: int = 0  # number of changed files of the working tree, which are measured too

    @property
    def short(self) -> str:
        """The first eight digits of the hash, with "+" if the working tree was measured."""
        return self.hash[:8] + ("+" if self.uncommitted else "")


@dataclass(frozen=True)
class GateResult:
    """The result of a gate.

    Attributes:
        project: asv's name of the project.
        machine: the name of this machine.
        environment: asv's name of the environment.
        base, head: the compared commits.
        tolerance: the smallest relative change that matters.
        confidence_level: of the findings' intervals.
        findings: one per case, in asv's order.
        notes: on the whole run: drift, unsupported benchmarks, an early end.
        seconds: duration of measuring, without builds.
        skipped: number of cases that are skipped at both commits.
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
        """Return the number of cases with this verdict."""
        return sum(finding.verdict is verdict for finding in self.findings)

    def exit_code(self, fail_on: Collection[Verdict] = DEFAULT_FAIL_ON) -> int:
        """Return 0 pass, 1 a verdict that fails the gate, 2 nothing was measured, 3 undecided.

        A case that fails at both commits is reported and does not fail the gate.
        """
        failing = {f.verdict for f in self.findings if not f.on_both} & set(fail_on)
        if failing - {Verdict.UNDECIDED}:
            return 1
        if all(finding.on_both for finding in self.findings):
            return 2
        return 3 if failing else 0


def worst_first(findings: Collection[Finding]) -> list[Finding]:
    """Return the findings sorted by verdict, worst first, then by size of the change."""
    rank = {verdict: index for index, verdict in enumerate(Verdict)}
    return sorted(findings, key=lambda f: (rank[f.verdict], -_size(f), f.name))


def _size(finding: Finding) -> float:
    change = finding.change
    return abs(math.log1p(change)) if change is not None and change > -1 else 0.0
