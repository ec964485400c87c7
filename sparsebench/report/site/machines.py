"""The machines that measured, each with its hardware, versions and the commits it ran."""

from dataclasses import dataclass
from typing import Final

import pandas as pd

from sparsebench.analysis.history import commit_order, short_hash
from sparsebench.analysis.units import counted, human

PATH: Final = "machines.html"
HARDWARE: Final = ("cpu", "num_cpu", "ram", "gpu", "cuda", "arch", "os")
VERSIONS: Final = ("python", "torch", "asv_runner", "driver")
_WORDS: Final = {
    "cpu": "processor", "num_cpu": "cores", "ram": "memory", "gpu": "GPU", "cuda": "CUDA",
    "arch": "architecture", "os": "operating system", "asv_runner": "asv_runner",
    "driver": "GPU driver",
}  # fmt: skip


@dataclass(frozen=True)
class Setup:
    """One environment on a machine: its name, versions, requirements and variables."""

    name: str
    facts: tuple[tuple[str, str], ...]
    requirements: tuple[str, ...]
    variables: tuple[str, ...]


@dataclass(frozen=True)
class Machine:
    """One machine, told apart by its name and its hardware."""

    name: str
    facts: tuple[tuple[str, str], ...]
    setups: tuple[Setup, ...]


def machines(frame: pd.DataFrame) -> list[Machine]:
    """Return the machines by name; a name that stands for different hardware stands there twice.

    Args:
        frame: rows of the dataset with the columns of `HARDWARE`, `VERSIONS`, ``requirements`` and
            ``env_vars``; a row each (machine, environment, commit) will do.
    """
    known = frame.reset_index(drop=True)
    for column in HARDWARE:
        known[column] = known[column].astype(object).where(known[column].notna(), None)
    found = []
    for name, rows in known.groupby("machine", sort=True):
        kinds = _kinds(rows)
        for place, group in enumerate(kinds, start=1):
            title = f"{name} ({place} of {len(kinds)} with this name)" if len(kinds) > 1 else name
            found.append(_machine(str(title), group))
    return found


def _kinds(rows: pd.DataFrame) -> list[pd.DataFrame]:
    """Return the rows of each hardware; where none of it is known, with the first that is."""
    known = rows[list(HARDWARE)].notna().any(axis=1)
    kinds = [group for _, group in rows[known].groupby(list(HARDWARE), dropna=False, sort=False)]
    if not kinds:
        return [rows]
    return [rows.loc[kinds[0].index.union(rows.index[~known])], *kinds[1:]]


def _machine(title: str, rows: pd.DataFrame) -> Machine:
    commits = commit_order(rows)
    span = f"{counted(len(commits), 'commit')}, {short_hash(commits[0])} to "
    facts = [*_facts(rows, HARDWARE), ("measured", span + short_hash(commits[-1]))]
    setups = (_setup(str(name), group) for name, group in rows.groupby("env_name", sort=True))
    return Machine(title, tuple(facts), tuple(setups))


def _setup(name: str, rows: pd.DataFrame) -> Setup:
    last = rows.sort_values("commit_date", kind="stable", na_position="first").iloc[-1]
    return Setup(
        name, tuple(_facts(rows, VERSIONS)), _pairs(last, "requirements"), _pairs(last, "env_vars")
    )


def _facts(rows: pd.DataFrame, columns: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return each known column's values in words, several with commas between."""
    found = []
    for column in columns:
        values = [value for value in rows[column].unique() if not pd.isna(value)]
        if values:
            unit = "bytes" if column == "ram" else None
            words = [human(float(v), unit) if column == "ram" else str(v) for v in values]
            found.append((_WORDS.get(column, column), ", ".join(words)))
    return found


def _pairs(row: pd.Series, column: str) -> tuple[str, ...]:
    """Return "torch 2.13.0" lines of a map's pairs; asv's own spelling is kept."""
    pairs = row[column]
    if not isinstance(pairs, dict):
        return ()
    return tuple(f"{name} {version}".strip() for name, version in pairs.items())
