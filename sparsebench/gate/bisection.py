"""Finding the commit that brought a regression, by paired gates against the last good one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sparsebench.errors import SparsebenchError
from sparsebench.gate.findings import GateResult, Side, Verdict, worst_first

_BAD = {Verdict.REGRESSED, Verdict.CHANGED_RESULT, Verdict.FAILED, Verdict.GONE}
_GOOD = {Verdict.UNCHANGED, Verdict.IMPROVED}

Gate = Callable[[Side], GateResult]  # the good commit against this one


@dataclass(frozen=True)
class Step:
    """What the gate said of one commit."""

    commit: Side
    result: GateResult

    @property
    def worst(self) -> Verdict:
        """The verdict that counts."""
        return worst_first(self.result.findings)[0].verdict


@dataclass(frozen=True)
class Found:
    """Where the change lies.

    Attributes:
        candidates: the commits of which one brought it, oldest first; one where all were decided.
        steps: what was measured, in order.
    """

    candidates: tuple[Side, ...]
    steps: tuple[Step, ...]


def bisect(commits: Sequence[Side], gate: Gate, tell: Callable[[Step], None]) -> Found:
    """Which of ``commits``, oldest first, is the first that the gate finds bad.

    The last is tried first: without a change there is nothing to look for. A commit about which
    nothing can be said is passed over, its neighbours are tried instead.

    Raises:
        SparsebenchError: there are no commits, or the last is not bad.
    """
    if not commits:
        raise SparsebenchError("bisect: there must be a commit after GOOD up to BAD; there is none")
    steps: list[Step] = []

    def verdict(place: int) -> Verdict:
        steps.append(Step(commits[place], gate(commits[place])))
        tell(steps[-1])
        return steps[-1].worst

    good, bad = -1, len(commits) - 1
    if (last := verdict(bad)) not in _BAD:
        raise SparsebenchError(
            f"bisect: BAD must be worse than GOOD, but the gate says {last} of {commits[bad].short}"
        )
    unknown: set[int] = set()
    while open_ := [place for place in range(good + 1, bad) if place not in unknown]:
        middle = min(open_, key=lambda place: abs(place - (good + bad) / 2))
        said = verdict(middle)
        if said in _BAD:
            bad = middle
        elif said in _GOOD:
            good = middle
        else:
            unknown.add(middle)
    return Found(tuple(commits[good + 1 : bad + 1]), tuple(steps))
