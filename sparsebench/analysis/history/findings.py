"""What a history can hold: steps, shifts of a whole machine, and series that begin anew."""

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from sparsebench.stats import Estimate

Status = Literal["there", "went away"]


@dataclass(frozen=True)
class Step:
    """One series changed its level for good, or until another step undid that.

    ``after_commit`` is the last commit measured before the change, ``commit`` the first one after
    it, ``date`` the latter's. ``before`` and ``after`` are the levels in ``unit``, ``change`` is
    after / before - 1. It went away if a later step undid it, at the commit ``undone_at``, or the
    newest values lie nearer to ``before``.
    """

    project: str
    machine: str
    env_name: str
    benchmark: str
    case: str
    fingerprint: str
    unit: str
    after_commit: str
    commit: str
    date: pd.Timestamp
    before: float
    after: float
    change: Estimate
    worse: bool
    status: Status
    undone_at: str | None
    importance: float


@dataclass(frozen=True)
class Shift:
    """Most series of a machine moved at one commit: the machine, its environment, or all code.

    ``change`` is that of the median series of ``series``; ``moved`` of them moved by more or less
    than it, which cannot be told from the shift and is no step. ``reason`` is "" until `explained`
    names what is recorded of the machine and changed there.
    """

    project: str
    machine: str
    env_name: str
    after_commit: str
    commit: str
    date: pd.Timestamp
    change: Estimate
    series: int
    moved: int
    reason: str


@dataclass(frozen=True)
class NewSeries:
    """From ``commit`` on, ``count`` cases of a benchmark are measured in another way.

    ``reason`` says in which: "number 1 -> 10". Values before and after do not compare.
    """

    project: str
    machine: str
    benchmark: str
    commit: str
    date: pd.Timestamp
    count: int
    reason: str


@dataclass(frozen=True)
class History:
    """Everything found, and how much was looked at.

    ``steps`` are sorted most important first, the others newest first. ``series`` counts those
    searched; ``short`` have too few values to find anything, ``unfit`` hold values that are not
    positive and finite, so that no ratio exists.
    """

    steps: list[Step]
    shifts: list[Shift]
    new_series: list[NewSeries]
    series: int
    short: int
    unfit: int
