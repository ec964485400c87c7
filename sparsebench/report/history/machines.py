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
    exact = frame["direction"].eq("exact").to_numpy(dtype=bool)
    fine = frame["status"].eq("ok").to_numpy(dtype=bool) & frame["value"].notna().to_numpy()
    rows = np.flatnonzero(fine & ~exact)
    if not rows.size:
        return
    hosts, series = codes(frame, MACHINE), codes(frame, CASE)
    commits = codes(frame, ("commit_hash",))
    times = pd.DatetimeIndex(frame["started_at"]).asi8  # an unknown time is the lowest
    rows = rows[np.lexsort((times[rows], hosts[rows]))]
    for members in np.split(rows, np.flatnonzero(np.diff(hosts[rows])) + 1):
        yield _machine(frame, members, series[members], commits[members])


def codes(frame: pd.DataFrame, names: tuple[str, ...]) -> NDArray[np.int64]:
    """Return a whole number a combination of the columns, null being a value too.

    Many times faster than grouping by several columns of strings, of which there are millions.
    """
    combined = np.zeros(len(frame), dtype=np.int64)
    for name in names:
        own, values = pd.factorize(frame[name])
        combined, _ = pd.factorize(combined * (len(values) + 1) + own + 1)
    return combined


def _machine(
    frame: pd.DataFrame,
    rows: NDArray[np.int64],
    series: NDArray[np.int64],
    commits: NDArray[np.int64],
) -> Machine:
    """Return the table of some rows of ``frame``, of which the last one of a cell counts."""
    _, first_of_series, line = np.unique(series, return_index=True, return_inverse=True)
    _, first_of_commit, column = np.unique(commits, return_index=True, return_inverse=True)
    seen = frame[["commit_hash", "commit_date"]].iloc[rows[first_of_commit]]
    dates = seen["commit_date"].reset_index(drop=True)
    order = dates.sort_values(kind="stable", na_position="last").index.to_numpy()
    values = np.full((first_of_series.size, order.size), np.nan)
    place = np.argsort(order)[column]
    values[line, place] = frame["value"].to_numpy(dtype=np.float64)[rows]
    project, machine, env_name = (str(frame[name].iloc[rows[0]]) for name in MACHINE)
    about = frame[[*CASE, "unit", "direction"]].iloc[rows[first_of_series]]
    return Machine(
        project=project,
        machine=machine,
        env_name=env_name,
        values=values,
        series=about.reset_index(drop=True),
        commits=[str(commit) for commit in seen["commit_hash"].iloc[order]],
        dates=dates.iloc[order].reset_index(drop=True),
    )
