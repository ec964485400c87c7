"""The findings of a history search: steps, shifts of a machine, and new series."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal

import pandas as pd

from sparsebench.stats import Estimate

Status = Literal["there", "reverted"]


@dataclass(frozen=True)
class Step:
    """A lasting change of level in one series.

    Attributes:
        after_commit: the last commit measured before the change.
        commit: the first commit measured after it; ``date`` is its date.
        before: level before the change, in ``unit``; ``after``: level after it.
        change: after / before - 1, with its interval.
        worse: whether the change is a regression.
        status: "reverted" if a later step undid it or the newest values are nearer to ``before``,
            else "there".
        undone_at: the commit of the step that undid it, if any.
        importance: what findings are sorted by, see `survey`.
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
    """A change that most series of a machine have in common: of machine, environment or all code.

    Attributes:
        change: of the median series.
        series: number of series measured before and after the commit.
        moved: number of series with a change point of their own at this commit; these cannot be
            distinguished from the shift and are not listed as steps.
        reason: recorded properties of the machine that changed; "" until `explained` sets it.
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
    """Cases of a benchmark that are measured in another way from ``commit`` on.

    Attributes:
        count: number of cases.
        reason: what differs, as "number 1 -> 10"; values before and after cannot be compared.
    """

    project: str
    machine: str
    benchmark: str
    commit: str
    date: pd.Timestamp
    count: int
    reason: str


@dataclass(frozen=True)
class HistoryFindings:
    """All findings, and how many series were searched.

    Attributes:
        steps: most important first.
        shifts: newest first.
        new_series: newest first.
        series: number of series searched.
        short: number of series with too few values for a change point.
        unfit: number of series left out because a value is not positive and finite.
    """

    steps: list[Step]
    shifts: list[Shift]
    new_series: list[NewSeries]
    series: int
    short: int
    unfit: int

    def at(self, commits: Collection[str]) -> "HistoryFindings":
        """Return the findings at ``commits``, and the steps that were undone there."""
        return replace(
            self,
            steps=[s for s in self.steps if s.commit in commits or s.undone_at in commits],
            shifts=[shift for shift in self.shifts if shift.commit in commits],
            new_series=[series for series in self.new_series if series.commit in commits],
        )
