"""The rows of a dataset as a table a machine: a row a series, a column a commit."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sparsebench.stats import Floats

Whole = NDArray[np.int64]

MACHINE: Final = ("project", "machine", "env_name")
CASE: Final = ("benchmark", "case", "benchmark_version", "fingerprint")

_MOST: Final = 2**62  # combinations that a whole number can tell apart


@dataclass(frozen=True)
class Machine:
    """One environment of one machine.

    ``values`` has the shape (series, commits), NaN where nothing was measured. ``series`` has a row
    a series: benchmark, case, fingerprint, unit, direction.
    """

    project: str
    machine: str
    env_name: str
    values: Floats
    series: pd.DataFrame
    commits: list[str]
    dates: pd.Series


def machines(frame: pd.DataFrame) -> Iterator[Machine]:
    """Yield a table a machine and environment, of the rows that hold a value to compare.

    Exact values (digests) are left out: any change of theirs counts, whatever its size. Of a case
    measured twice at a commit in the same way, the newer measurement counts.
    """
    fine = frame["status"].eq("ok").to_numpy(dtype=bool) & frame["value"].notna().to_numpy()
    rows = np.flatnonzero(fine & ~frame["direction"].eq("exact").to_numpy(dtype=bool))
    if not rows.size:
        return
    hosts, series = codes(frame, MACHINE)[rows], codes(frame, CASE)[rows]
    commits = codes(frame, ("commit_hash",))[rows]
    for host in np.flatnonzero(np.bincount(hosts)):
        own = hosts == host
        yield _machine(frame, rows[own], series[own], commits[own])


def codes(frame: pd.DataFrame, names: tuple[str, ...]) -> Whole:
    """Return a whole number a combination of the columns, null being a value too, as first seen.

    Many times faster than grouping by several columns of texts, of which there are millions; of
    categories faster still.
    """
    combined, count = np.zeros(len(frame), dtype=np.int64), 1
    for name in names:
        own, values = _coded(frame[name])
        if count * (values + 1) > _MOST:
            combined, known = pd.factorize(combined)
            count = len(known)
        combined *= values + 1
        combined += own
        combined += 1
        count *= values + 1
    return pd.factorize(combined)[0]


def _coded(column: pd.Series) -> tuple[NDArray[np.integer[Any]], int]:
    """Return a whole number a value, -1 for null, and how many there are."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.codes.to_numpy(), len(column.cat.categories)
    own, values = pd.factorize(column)
    return own, len(values)


def _machine(frame: pd.DataFrame, rows: Whole, series: Whole, commits: Whole) -> Machine:
    """Return the table of some rows of ``frame``; of several in a cell the one started last."""
    line, first_of_series = _numbered(series)
    column, first_of_commit = _numbered(commits)
    seen = frame[["commit_hash", "commit_date"]].iloc[rows[first_of_commit]]
    dates = seen["commit_date"].reset_index(drop=True)
    order = dates.sort_values(kind="stable", na_position="last").index.to_numpy()
    values = np.full((first_of_series.size, order.size), np.nan)
    place = np.argsort(order)[column]
    measured = frame["value"].to_numpy(dtype=np.float64)[rows]
    values[line, place] = measured
    if np.count_nonzero(~np.isnan(values)) < rows.size:
        times = pd.DatetimeIndex(frame["started_at"].iloc[rows]).asi8  # an unknown one is lowest
        later = np.argsort(times, kind="stable")
        values[line[later], place[later]] = measured[later]
    project, machine, env_name = (str(frame[name].iloc[rows[0]]) for name in MACHINE)
    about = frame[[*CASE, "unit", "direction"]].iloc[rows[first_of_series]]
    return Machine(
        project=project,
        machine=machine,
        env_name=env_name,
        values=values,
        series=about.astype(object).reset_index(drop=True),
        commits=[str(commit) for commit in seen["commit_hash"].iloc[order]],
        dates=dates.iloc[order].reset_index(drop=True),
    )


def _numbered(numbers: Whole) -> tuple[Whole, Whole]:
    """Return them counted from 0 without gaps, in their order, and where each occurs first."""
    present = np.bincount(numbers) > 0
    counted = (np.cumsum(present) - 1)[numbers]
    first = np.zeros(np.count_nonzero(present), dtype=np.int64)
    first[counted[::-1]] = np.arange(numbers.size)[::-1]
    return counted, first
