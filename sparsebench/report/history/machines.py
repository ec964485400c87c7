"""The rows of a dataset as a table a machine: a row a series, a column a commit."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MACHINE: Final = ("project", "machine", "env_name")
CASE: Final = ("benchmark", "case", "benchmark_version", "fingerprint")


@dataclass(frozen=True)
class Machine:
    """One environment of one machine.

    ``values`` has the shape (series, commits), NaN where nothing was measured. ``series`` has a row
    a series: benchmark, case, fingerprint, unit, direction. ``rows`` tells for each commit one row
    of the frame, which says what the machine was like then.
    """

    project: str
    machine: str
    env_name: str
    values: Floats
    series: pd.DataFrame
    commits: list[str]
    dates: pd.Series
    rows: NDArray[np.int64]


def machines(frame: pd.DataFrame) -> Iterator[Machine]:
    """Yield a table a machine and environment, of the rows that hold a value to compare.

    Exact values (digests) are left out: any change of theirs counts, whatever its size. Of a case
    measured twice at a commit in the same way, the newer measurement counts.
    """
    chosen = frame["status"].eq("ok") & frame["value"].notna() & frame["direction"].ne("exact")
    rows = frame[chosen]
    hosts = codes(rows, MACHINE)
    series = codes(rows, CASE)
    order = np.argsort(hosts, kind="stable")
    ends = np.flatnonzero(np.diff(hosts[order])) + 1
    for members in np.split(order, ends) if order.size else []:
        yield _machine(rows.iloc[members], series[members])


def codes(frame: pd.DataFrame, names: tuple[str, ...]) -> NDArray[np.int64]:
    """Return a whole number a combination of the columns, null being a value too.

    Many times faster than grouping by several columns of strings, of which there are millions.
    """
    combined = np.zeros(len(frame), dtype=np.int64)
    for name in names:
        own, values = pd.factorize(frame[name])
        combined, _ = pd.factorize(combined * (len(values) + 1) + own + 1)
    return combined


def _machine(rows: pd.DataFrame, series: NDArray[np.int64]) -> Machine:
    commit, commits = pd.factorize(rows["commit_hash"])
    begins = np.unique(commit, return_index=True)[1]
    dates = rows["commit_date"].iloc[begins].reset_index(drop=True)
    order = dates.sort_values(kind="stable", na_position="last").index.to_numpy()
    place = np.argsort(order)[commit]
    number, firsts = np.unique(series, return_index=True)
    values = np.full((number.size, order.size), np.nan)
    by_time = np.argsort(rows["started_at"].to_numpy(), kind="stable")  # NaT sorts last
    known = rows["started_at"].notna().to_numpy()[by_time]
    by_time = np.concatenate([by_time[~known], by_time[known]])
    line = np.searchsorted(number, series)
    values[line[by_time], place[by_time]] = rows["value"].to_numpy(dtype=np.float64)[by_time]
    first = rows.iloc[0]
    project, machine, env_name = (str(first[name]) for name in MACHINE)
    return Machine(
        project=project,
        machine=machine,
        env_name=env_name,
        values=values,
        series=rows.iloc[firsts][[*CASE, "unit", "direction"]].reset_index(drop=True),
        commits=[str(commits[number]) for number in order],
        dates=dates.iloc[order].reset_index(drop=True),
        rows=rows.index.to_numpy()[begins][order],
    )
