"""The sections of the page of machines: hardware, versions and commits of each."""

from dataclasses import dataclass
from typing import Final

import pandas as pd

from sparsebench.analysis.history import commit_order, short_hash
from sparsebench.analysis.units import counted, human

PATH: Final = "machines.html"
HARDWARE: Final = ("cpu", "num_cpu", "ram", "gpu", "cuda", "arch", "os")
VERSIONS: Final = ("python", "torch", "asv_runner", "driver")
_LABELS: Final = {
    "cpu": "processor", "num_cpu": "cores", "ram": "memory", "gpu": "GPU", "cuda": "CUDA",
    "arch": "architecture", "os": "operating system", "asv_runner": "asv_runner",
    "driver": "GPU driver",
}  # fmt: skip


@dataclass(frozen=True)
class EnvironmentSection:
    """One environment on a machine: name, versions, requirements and variables."""

    name: str
    facts: tuple[tuple[str, str], ...]
    requirements: tuple[str, ...]
    variables: tuple[str, ...]


@dataclass(frozen=True)
class MachineSection:
    """One machine, identified by name and hardware."""

    name: str
    facts: tuple[tuple[str, str], ...]
    environments: tuple[EnvironmentSection, ...]


def machine_sections(frame: pd.DataFrame) -> list[MachineSection]:
    """Return the machines by name; a name with different hardware gives several sections.

    Args:
        frame: rows of the dataset with the columns of `HARDWARE`, `VERSIONS`, ``requirements`` and
            ``env_vars``; one row per machine, environment and commit is enough.
    """
    rows = frame.reset_index(drop=True)
    for column in HARDWARE:
        rows[column] = rows[column].astype(object).where(rows[column].notna(), None)
    sections = []
    for name, own in rows.groupby("machine", sort=True):
        machines = _by_hardware(own)
        for number, group in enumerate(machines, start=1):
            several = f" ({number} of {len(machines)} with this name)" if len(machines) > 1 else ""
            sections.append(_machine_section(f"{name}{several}", group))
    return sections


def _by_hardware(rows: pd.DataFrame) -> list[pd.DataFrame]:
    """Return the rows per hardware; rows without any hardware fields go with the first."""
    has_hardware = rows[list(HARDWARE)].notna().any(axis=1)
    groups = [
        group for _, group in rows[has_hardware].groupby(list(HARDWARE), dropna=False, sort=False)
    ]
    if not groups:
        return [rows]
    return [rows.loc[groups[0].index.union(rows.index[~has_hardware])], *groups[1:]]


def _machine_section(title: str, rows: pd.DataFrame) -> MachineSection:
    commits = commit_order(rows)
    span = f"{counted(len(commits), 'commit')}, {short_hash(commits[0])} to "
    facts = [*_facts(rows, HARDWARE), ("measured", span + short_hash(commits[-1]))]
    environments = (
        _environment_section(str(name), group)
        for name, group in rows.groupby("env_name", sort=True)
    )
    return MachineSection(title, tuple(facts), tuple(environments))


def _environment_section(name: str, rows: pd.DataFrame) -> EnvironmentSection:
    last = rows.sort_values("commit_date", kind="stable", na_position="first").iloc[-1]
    return EnvironmentSection(
        name, tuple(_facts(rows, VERSIONS)), _pairs(last, "requirements"), _pairs(last, "env_vars")
    )


def _facts(rows: pd.DataFrame, columns: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return label and values of each column that has any, several values with commas."""
    facts = []
    for column in columns:
        values = [value for value in rows[column].unique() if not pd.isna(value)]
        if values:
            unit = "bytes" if column == "ram" else None
            texts = [human(float(v), unit) if column == "ram" else str(v) for v in values]
            facts.append((_LABELS.get(column, column), ", ".join(texts)))
    return facts


def _pairs(row: pd.Series, column: str) -> tuple[str, ...]:
    """Return "name version" texts of the map in ``column``, as asv spells them."""
    pairs = row[column]
    if not isinstance(pairs, dict):
        return ()
    return tuple(f"{name} {version}".strip() for name, version in pairs.items())
