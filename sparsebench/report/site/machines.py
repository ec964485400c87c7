"""The sections of the page of machines: hardware, versions and commits of each."""

from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from sparsebench.analysis.history import commit_order, short_hash
from sparsebench.analysis.units import counted, human

PATH: Final = "machines.html"
HARDWARE: Final = ("cpu", "num_cpu", "ram", "gpu", "cuda", "arch", "os")
# Recorded while measuring; they differ between runs on one machine.
CONDITIONS: Final = (
    *("gpu_count", "gpu_capability", "gpu_memory", "power_limit"),
    *("governor", "threads", "cpu_limit", "memory_limit"),
)
VERSIONS: Final = (
    *("python", "torch", "asv_runner", "driver", "numpy", "numba", "triton", "mismatch"),
)
_BYTES: Final = ("ram", "gpu_memory", "memory_limit")
_LABELS: Final = {
    "gpu_count": "GPUs", "gpu_capability": "compute capability", "gpu_memory": "GPU memory",
    "power_limit": "power limit (W)", "governor": "frequency governor",
    "cpu_limit": "processors allowed", "memory_limit": "memory allowed",
    "mismatch": "declared otherwise",
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
        frame: rows of the dataset with the columns of `HARDWARE`, `CONDITIONS`, `VERSIONS`,
            ``requirements`` and ``env_vars``; one row per machine, environment and commit will do.
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
    """Return the rows per hardware; what is not known of a row may be as known of others.

    Rows that fit several go with the first. Hardware of which most is known comes first.
    """
    groups: list[tuple[tuple[Any, ...], pd.Index]] = [
        (tuple(group[list(HARDWARE)].iloc[0]), group.index)
        for _, group in rows.groupby(list(HARDWARE), dropna=False, sort=False)
    ]
    known: list[tuple[tuple[Any, ...], pd.Index]] = []
    for values, index in sorted(groups, key=_unknown):
        for number, (others, of_others) in enumerate(known):
            pairs = zip(values, others, strict=True)
            if all(bool(pd.isna(mine)) or mine == other for mine, other in pairs):
                known[number] = (others, of_others.union(index))
                break
        else:
            known.append((values, index))
    return [rows.loc[index] for _, index in sorted(known, key=lambda item: item[1][0])]


def _unknown(group: tuple[tuple[Any, ...], pd.Index]) -> int:
    return sum(bool(pd.isna(value)) for value in group[0])


def _machine_section(title: str, rows: pd.DataFrame) -> MachineSection:
    commits = commit_order(rows)
    span = f"{counted(len(commits), 'commit')}, {short_hash(commits[0])} to "
    facts = [*_facts(rows, HARDWARE + CONDITIONS), ("measured", span + short_hash(commits[-1]))]
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
            is_size = column in _BYTES
            texts = [human(float(v), "bytes") if is_size else str(v) for v in values]
            facts.append((_LABELS.get(column, column), ", ".join(texts)))
    return facts


def _pairs(row: pd.Series, column: str) -> tuple[str, ...]:
    """Return "name version" texts of the map in ``column``, as asv spells them."""
    pairs = row[column]
    if not isinstance(pairs, dict):
        return ()
    return tuple(f"{name} {version}".strip() for name, version in pairs.items())
