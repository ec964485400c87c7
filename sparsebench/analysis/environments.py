"""Environments of one machine: measured side by side, or one after the other.

What a requirement's new version does to a name like "py3.11-numpy2.1" is no second line to compare
with the first: the one environment gave way to the other.
"""

from itertools import combinations
from typing import Final

import numpy as np
import pandas as pd

_TOGETHER: Final = 0.5  # of the commits of the rarer one: measured twice at a change-over is less
_MACHINE: Final = ["project", "machine"]
COLUMNS: Final = [*_MACHINE, "env_name", "commit_hash", "commit_date"]

Key = tuple[str, str, str]  # project, machine, env_name


def in_turn(rows: pd.DataFrame) -> bool:
    """Return whether a machine of ``rows`` has several environments, and none has two at a time.

    Args:
        rows: of the dataset, with `COLUMNS`.
    """
    machines = [
        _commits(group) for _, group in _runs(rows).groupby(_MACHINE, sort=False, observed=True)
    ]
    several = any(len(environments) > 1 for environments in machines)
    return several and not any(
        _side_by_side(a, b)
        for environments in machines
        for a, b in combinations(environments.values(), 2)
    )


def gave_way(rows: pd.DataFrame) -> set[Key]:
    """Return the environments after which the machine was measured in another one only.

    Args:
        rows: of the dataset, with `COLUMNS`, of every commit.
    """
    return {
        (str(project), str(machine), name)
        for (project, machine), group in _runs(rows).groupby(_MACHINE, sort=False, observed=True)
        for name in _followed(_commits(group))
    }


def current(rows: pd.DataFrame, over: set[Key]) -> pd.DataFrame:
    """Return ``rows`` without those of the environments ``over``."""
    keys = pd.MultiIndex.from_frame(rows[["project", "machine", "env_name"]])
    return rows[~keys.isin(list(over))] if over else rows


def _runs(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a row a run: an environment of a machine at a commit."""
    runs = rows[COLUMNS].drop_duplicates(COLUMNS[:4])
    return runs.assign(env_name=runs["env_name"].astype(object).fillna("").astype(str))


def _commits(runs: pd.DataFrame) -> dict[str, pd.Series]:
    """Return each environment's commit dates, by commit."""
    return {
        str(name): group.set_index("commit_hash")["commit_date"]
        for name, group in runs.groupby("env_name", sort=False)
    }


def _followed(environments: dict[str, pd.Series]) -> set[str]:
    newest = {name: _newest(commits) for name, commits in environments.items()}
    return {
        name
        for one, other in combinations(environments, 2)
        if not _side_by_side(environments[one], environments[other])
        for name, later in [(one, other), (other, one)]
        if newest[name] < newest[later]
    }


def _newest(commits: pd.Series) -> float:
    """Return the newest date as a number; of undated commits the oldest there is."""
    newest = commits.max()
    return -np.inf if pd.isna(newest) else float(newest.timestamp())


def _side_by_side(a: pd.Series, b: pd.Series) -> bool:
    shared = int(a.index.isin(b.index).sum())
    return shared >= _TOGETHER * min(len(a), len(b))
