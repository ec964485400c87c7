"""Summaries of the newest commit per benchmark, with ratios to earlier and reference values."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from sparsebench.stats.ratio import geometric_mean

_GRID = ["shape", "level", "block", "zeros", "device", "dtype", "weights"]
REFERENCE = "torch.ao"  # the implementation that others are compared with


@dataclass(frozen=True)
class BenchmarkSummary:
    """One benchmark at the newest commit.

    Attributes:
        name: asv's name.
        cases: number of parameter combinations with a value.
        failed: number of those that failed or timed out.
        median: of the cases' values, in ``unit``.
        before: geometric mean over cases of value / value at the previous commit; None without one.
        reference: the same against the reference implementation's value on the same case.
        exact: whether values are compared exactly (digests), so that ratios have no meaning.
        changed: number of exact values that differ from the previous commit; None without one.
    """

    name: str
    cases: int
    failed: int
    median: float
    unit: str | None
    before: float | None
    reference: float | None
    exact: bool
    changed: int | None


def summarise(frame: pd.DataFrame, commits: Sequence[str]) -> list[BenchmarkSummary]:
    """Return one summary per benchmark with rows at the newest of ``commits`` (oldest first)."""
    by_commit = {commit: frame[frame["commit_hash"] == commit] for commit in commits[-2:]}
    newest = by_commit[commits[-1]]
    before = by_commit[commits[-2]] if len(commits) > 1 else newest.iloc[:0]
    return [_summary(str(name), rows, before, newest) for name, rows in newest.groupby("benchmark")]


def _summary(
    name: str, rows: pd.DataFrame, before: pd.DataFrame, newest: pd.DataFrame
) -> BenchmarkSummary:
    good = _with_value(rows)
    pairs = _paired(good, _with_value(before[before["benchmark"] == name]), ["case"])
    exact = bool(rows["direction"].iloc[0] == "exact")
    return BenchmarkSummary(
        name=name,
        cases=len(good),
        failed=int(rows["status"].isin(["failed", "timeout"]).sum()),
        median=float(good["value"].median()),
        unit=rows["unit"].iloc[0],
        before=None if exact else _mean_ratio(pairs),
        reference=None if exact else _mean_ratio(_against_reference(name, good, newest)),
        exact=exact,
        changed=_differing(pairs) if exact else None,
    )


def _with_value(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["status"] == "ok"]


def _against_reference(name: str, good: pd.DataFrame, newest: pd.DataFrame) -> pd.DataFrame:
    """Return our values beside the reference's for the cases that both have, by method and case."""
    method = name.rpartition(".")[2]
    same_method = newest["benchmark"].str.rpartition(".")[2] == method
    theirs = newest[same_method & (newest["implementation"] == REFERENCE)]
    ours = good[good["implementation"].notna() & (good["implementation"] != REFERENCE)]
    return _paired(ours, _with_value(theirs), _GRID)


def _paired(left: pd.DataFrame, right: pd.DataFrame, on: list[str]) -> pd.DataFrame:
    """Return the values that both sides have for the same machine, environment and case."""
    keys = ["machine", "env_name", *on]
    columns = [*keys, "value"]
    return left[columns].merge(right[columns], on=keys, suffixes=("", "_other"))


def _differing(pairs: pd.DataFrame) -> int | None:
    """Return how many values differ from the other; None without pairs."""
    return None if pairs.empty else int((pairs["value"] != pairs["value_other"]).sum())


def _mean_ratio(pairs: pd.DataFrame) -> float | None:
    """Return the geometric mean of value / other; None without pairs of positive values."""
    positive = pairs[(pairs["value"] > 0) & (pairs["value_other"] > 0)]
    if positive.empty:
        return None
    return geometric_mean((positive["value"] / positive["value_other"]).to_numpy()).value
