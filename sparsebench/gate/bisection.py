"""The first bad commit, by gates of the good commit against others."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sparsebench.errors import SparsebenchError
from sparsebench.gate.findings import GateResult, Side, Verdict, worst_first

_BAD = {Verdict.REGRESSED, Verdict.CHANGED_RESULT, Verdict.FAILED, Verdict.GONE}
_GOOD = {Verdict.UNCHANGED, Verdict.IMPROVED}

Gate = Callable[[Side], GateResult]  # the good commit against this one


@dataclass(frozen=True)
class BisectionStep:
    """The gate's result for one commit."""

    commit: Side
    result: GateResult

    @property
    def worst(self) -> Verdict:
        """The worst verdict."""
        return worst_first(self.result.findings)[0].verdict


@dataclass(frozen=True)
class Bisection:
    """The result of a bisection.

    Attributes:
        candidates: the commits that may have caused the change, oldest first; one if all were
            decided.
        steps: the gates in order.
    """

    candidates: tuple[Side, ...]
    steps: tuple[BisectionStep, ...]


def bisect(
    commits: Sequence[Side], gate: Gate, on_step: Callable[[BisectionStep], None]
) -> Bisection:
    """Return the first of ``commits``, oldest first, that the gate finds bad.

    The last commit is measured first: it must be bad. If a commit is undecided, its
    neighbours are measured instead.

    Raises:
        SparsebenchError: there are no commits, or the last is not bad.
    """
    if not commits:
        raise SparsebenchError("bisect: there must be a commit after GOOD up to BAD; there is none")
    steps: list[BisectionStep] = []

    def verdict(index: int) -> Verdict:
        steps.append(BisectionStep(commits[index], gate(commits[index])))
        on_step(steps[-1])
        return steps[-1].worst

    good, bad = -1, len(commits) - 1
    if (last := verdict(bad)) not in _BAD:
        raise SparsebenchError(
            f"bisect: BAD must be worse than GOOD, but the gate says {last} of {commits[bad].short}"
        )
    undecided: set[int] = set()
    while open_ := [index for index in range(good + 1, bad) if index not in undecided]:
        middle = min(open_, key=lambda index: abs(index - (good + bad) / 2))
        worst = verdict(middle)
        if worst in _BAD:
            bad = middle
        elif worst in _GOOD:
            good = middle
        else:
            undecided.add(middle)
    return Bisection(tuple(commits[good + 1 : bad + 1]), tuple(steps))
