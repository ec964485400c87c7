"""Rows of a dataset as one table per machine and environment: series by commits."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sparsebench.stats import Floats

Integers = NDArray[np.int64]

MACHINE: Final = ("project", "machine", "env_name")
CASE: Final = ("benchmark", "case", "benchmark_version", "fingerprint")

_MOST_CODES: Final = 2**62  # combinations that an int64 can number


@dataclass(frozen=True)
class MachineTable:
    """The values of one machine in one environment.

    Attributes:
        values: shape (series, commits), NaN where nothing was measured.
        series: one row per series: benchmark, case, its version, fingerprint, unit, direction.
        commits: in history order; ``dates``: theirs.
    """

    project: str
    machine: str
    env_name: str
    values: Floats
    series: pd.DataFrame
    commits: list[str]
    dates: pd.Series


def machine_tables(frame: pd.DataFrame) -> Iterator[MachineTable]:
    """Yield one table per machine and environment, of the rows with a value to compare.

    Exact values (digests) are left out, since any change of them counts. If a case was measured
    twice at a commit in the same way, the newer measurement is used.
    """
    usable = frame["status"].eq("ok").to_numpy(dtype=bool) & frame["value"].notna().to_numpy()
    rows = np.flatnonzero(usable & ~frame["direction"].eq("exact").to_numpy(dtype=bool))
    if not rows.size:
        return
    hosts = combination_codes(frame, MACHINE)[rows]
    series = combination_codes(frame, CASE)[rows]
    commits = combination_codes(frame, ("commit_hash",))[rows]
    for host in np.flatnonzero(np.bincount(hosts)):
        own = hosts == host
        yield _machine_table(frame, rows[own], series[own], commits[own])


def combination_codes(frame: pd.DataFrame, names: tuple[str, ...]) -> Integers:
    """Return an integer per row that numbers the combinations of the columns, as first seen.

    Null counts as a value. Many times faster than grouping millions of rows by several text
    columns; faster still for categories.
    """
    combined, count = np.zeros(len(frame), dtype=np.int64), 1
    for name in names:
        own, values = _column_codes(frame[name])
        if count * (values + 1) > _MOST_CODES:
            combined, present = pd.factorize(combined)
            count = len(present)
        combined *= values + 1
        combined += own
        combined += 1
        count *= values + 1
    return pd.factorize(combined)[0]


def _column_codes(column: pd.Series) -> tuple[NDArray[np.integer[Any]], int]:
    """Return an integer per value, -1 for null, and the number of different values."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.codes.to_numpy(), len(column.cat.categories)
    own, values = pd.factorize(column)
    return own, len(values)


def _machine_table(
    frame: pd.DataFrame, rows: Integers, series: Integers, commits: Integers
) -> MachineTable:
    """Return the table of ``rows``; of several rows for a cell the one started last is used."""
    line, first_of_series = _renumbered(series)
    column, first_of_commit = _renumbered(commits)
    by_commit = frame[["commit_hash", "commit_date"]].iloc[rows[first_of_commit]]
    dates = by_commit["commit_date"].reset_index(drop=True)
    order = dates.sort_values(kind="stable", na_position="last").index.to_numpy()
    values = np.full((first_of_series.size, order.size), np.nan)
    position = np.argsort(order)[column]
    measured = frame["value"].to_numpy(dtype=np.float64)[rows]
    values[line, position] = measured
    if np.count_nonzero(~np.isnan(values)) < rows.size:
        times = pd.DatetimeIndex(frame["started_at"].iloc[rows]).asi8  # a missing one is lowest
        later = np.argsort(times, kind="stable")
        values[line[later], position[later]] = measured[later]
    project, machine, env_name = (str(frame[name].iloc[rows[0]]) for name in MACHINE)
    properties = frame[[*CASE, "unit", "direction"]].iloc[rows[first_of_series]]
    return MachineTable(
        project=project,
        machine=machine,
        env_name=env_name,
        values=values,
        series=properties.astype(object).reset_index(drop=True),
        commits=[str(commit) for commit in by_commit["commit_hash"].iloc[order]],
        dates=dates.iloc[order].reset_index(drop=True),
    )


def _renumbered(numbers: Integers) -> tuple[Integers, Integers]:
    """Return the numbers renumbered from 0 without gaps, and the first index of each."""
    present = np.bincount(numbers) > 0
    renumbered = (np.cumsum(present) - 1)[numbers]
    first = np.zeros(np.count_nonzero(present), dtype=np.int64)
    first[renumbered[::-1]] = np.arange(numbers.size)[::-1]
    return renumbered, first
