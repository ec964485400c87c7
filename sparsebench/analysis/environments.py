"""Environments of one machine: measured side by side, or one replaced by the next.

A requirement's new version changes a name like "py3.11-numpy2.1". The values after it continue the
line of the values before it; they are no second line to compare with.
"""

from itertools import combinations, permutations
from typing import Final

import numpy as np
import pandas as pd

# Share of the rarer environment's commits. At a replacement a few commits are measured in both.
_SIDE_BY_SIDE: Final = 0.5
_MACHINE: Final = ["project", "machine"]
COLUMNS: Final = [*_MACHINE, "env_name", "commit_hash", "commit_date"]

EnvironmentKey = tuple[str, str, str]  # project, machine, env_name


def are_successive(rows: pd.DataFrame) -> bool:
    """Return whether some machine has several environments and none has two side by side.

    Args:
        rows: rows of the dataset, with `COLUMNS`.
    """
    machines = _dates_by_machine(rows).values()
    return any(len(environments) > 1 for environments in machines) and not any(
        _are_side_by_side(a, b)
        for environments in machines
        for a, b in combinations(environments.values(), 2)
    )


def superseded_environments(rows: pd.DataFrame) -> set[EnvironmentKey]:
    """Return the environments that another environment of the same machine replaced.

    Args:
        rows: rows of the dataset of all commits, with `COLUMNS`.
    """
    return {
        (*machine, name)
        for machine, environments in _dates_by_machine(rows).items()
        for (name, dates), (_, later) in permutations(environments.items(), 2)
        if _newest(dates) < _newest(later) and not _are_side_by_side(dates, later)
    }


def without_environments(rows: pd.DataFrame, environments: set[EnvironmentKey]) -> pd.DataFrame:
    """Return ``rows`` without those of ``environments``."""
    keys = pd.MultiIndex.from_frame(rows[["project", "machine", "env_name"]])
    return rows[~keys.isin(list(environments))] if environments else rows


def _dates_by_machine(rows: pd.DataFrame) -> dict[tuple[str, str], dict[str, pd.Series]]:
    """Return the commit dates, by commit, of each environment of each (project, machine)."""
    runs = rows[COLUMNS].drop_duplicates(COLUMNS[:4])
    runs = runs.assign(env_name=runs["env_name"].astype(object).fillna("").astype(str))
    return {
        (str(project), str(machine)): {
            str(name): group.set_index("commit_hash")["commit_date"]
            for name, group in of_machine.groupby("env_name", sort=False)
        }
        for (project, machine), of_machine in runs.groupby(_MACHINE, sort=False, observed=True)
    }


def _newest(dates: pd.Series) -> float:
    """Return the newest date as a number; -inf where none is known."""
    newest = dates.max()
    return -np.inf if pd.isna(newest) else float(newest.timestamp())


def _are_side_by_side(a: pd.Series, b: pd.Series) -> bool:
    shared = int(a.index.isin(b.index).sum())
    return shared >= _SIDE_BY_SIDE * min(len(a), len(b))
