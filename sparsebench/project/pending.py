"""What is to be measured, and what of it asv has measured already."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from sparsebench.errors import SparsebenchError
from sparsebench.results.asv_files import load_result_file
from sparsebench.results.json_files import BadFileError, parse_object, read_bytes


@dataclass(frozen=True)
class Selection:
    """The benchmarks, and of each the parameter combinations, that a run is to measure.

    Attributes:
        cases: benchmark name to the indices of its chosen combinations, in asv's order.
        versions: benchmark name to the version of its code.
        pattern: the regular expression that was asked for.
        device: the device that was asked for, if any.
    """

    cases: dict[str, frozenset[int]]
    versions: dict[str, str]
    pattern: str
    device: str | None

    @property
    def count(self) -> int:
        """How many cases are chosen."""
        return sum(map(len, self.cases.values()))

    def asv_pattern(self, names: Iterable[str]) -> str:
        """The regular expression that makes asv run the chosen cases of these benchmarks alone."""
        either = "|".join(map(re.escape, names))
        device = rf"(?=.*\(.*{re.escape(repr(self.device))})" if self.device else ""
        return rf"^(?=(?:{either})(?:\(|$)){device}(?=.*(?:{self.pattern}))"


def select(results: Path, pattern: str, device: str | None) -> Selection:
    """The discovered cases that match ``pattern``.

    Args:
        results: asv's results folder; its ``benchmarks.json`` is read.
        pattern: a regular expression, searched as asv does in ``name(parameters)``.
        device: only combinations with this value of the parameter ``device``; benchmarks without
            such a parameter are left out.

    Raises:
        SparsebenchError: a bad pattern, nothing that matches, or a device that no matching
            benchmark has here.
    """
    compiled = _compiled(pattern)
    entries = _discovered(results)
    hits = {name: _indices(name, entry, compiled) for name, entry in entries.items()}
    hits = {name: indices for name, indices in hits.items() if indices}
    if not hits:
        raise SparsebenchError(f"--bench: must match one of asv's benchmarks, got {pattern!r}")
    chosen = {name: indices & _on_device(entries[name], device) for name, indices in hits.items()}
    chosen = {name: indices for name, indices in chosen.items() if indices}
    if not chosen:
        here = sorted({value for name in hits for value in _devices(entries[name])})
        raise SparsebenchError(
            f"--device: must be one that these benchmarks have on this machine "
            f"({', '.join(here) or 'none'}), got {device!r}"
        )
    versions = {name: str(entries[name]["version"]) for name in chosen}
    return Selection(chosen, versions, pattern, device)


def missing(selection: Selection, machine_folder: Path, commit: str, envs: list[str]) -> list[str]:
    """The selected benchmarks of which, in some environment, a case has no value yet; sorted.

    What failed, what was measured by another version of the benchmark, and what stands in a file
    that cannot be read counts as not measured.
    """
    lacking: set[str] = set()
    for env in envs:
        done = _measured(machine_folder / f"{commit[:8]}-{env}.json", selection.versions)
        lacking |= {
            name
            for name, indices in selection.cases.items()
            if not indices <= done.get(name, frozenset())
        }
    return sorted(lacking)


def _measured(path: Path, versions: dict[str, str]) -> dict[str, frozenset[int]]:
    """Benchmark name to the indices that have a value in one asv result file."""
    if not path.is_file():
        return {}
    try:
        benchmarks = load_result_file(path).benchmarks
    except BadFileError:
        return {}
    return {
        one.name: frozenset(i for i, value in enumerate(one.values) if _is_number(value))
        for one in benchmarks
        if one.version == versions.get(one.name)
    }


def _discovered(results: Path) -> dict[str, dict[str, Any]]:
    path = results / "benchmarks.json"
    entries = parse_object(path, read_bytes(path))
    return {name: entry for name, entry in entries.items() if isinstance(entry, dict)}


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise SparsebenchError(
            f"--bench: must be a regular expression, got {pattern!r}: {error}"
        ) from None


def _indices(name: str, entry: dict[str, Any], pattern: re.Pattern[str]) -> frozenset[int]:
    """The combinations that asv would choose; a benchmark without parameters has one, 0."""
    if not entry["params"]:
        return frozenset({0} if pattern.search(name) else ())
    shown = (f"{name}({', '.join(values)})" for values in product(*entry["params"]))
    return frozenset(index for index, text in enumerate(shown) if pattern.search(text))


def _on_device(entry: dict[str, Any], device: str | None) -> frozenset[int]:
    """The combinations with that value of the parameter ``device``; all where None is asked for."""
    combinations = list(product(*entry["params"]))
    if device is None:
        return frozenset(range(len(combinations)))
    if "device" not in entry["param_names"]:
        return frozenset()
    place = entry["param_names"].index("device")
    return frozenset(i for i, values in enumerate(combinations) if values[place] == repr(device))


def _devices(entry: dict[str, Any]) -> list[str]:
    for name, values in zip(entry["param_names"], entry["params"], strict=False):
        if name == "device":
            return [value.strip("'") for value in values]
    return []


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and value == value
