"""Which cases a run measures, and which of them have no value yet."""

import heapq
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, Final

from sparsebench.errors import SparsebenchError
from sparsebench.project.settings import compile_pattern
from sparsebench.results.asv.json_files import BadFileError, parse_object, read_bytes
from sparsebench.results.asv.result_files import BenchmarkResult, load_result_file

Combination = tuple[str, ...]

_PROCESS_SECONDS: Final = 0.12  # to start one, measured with launch method forkserver
_LONGEST_ARGUMENT: Final = 120_000  # bytes; Linux takes 131,071


@dataclass(frozen=True)
class BenchmarkSelection:
    """The benchmarks and parameter combinations that a run measures.

    Attributes:
        cases: benchmark name to its selected parameter combinations, in asv's spelling.
        timed: names of the benchmarks that take samples.
        versions: benchmark name to the version of its code.
        pattern: the regular expression that was given.
        device: the device that was given, if any.
        sharded: whether the cases are those of a shard, which ``pattern`` does not describe.
    """

    cases: dict[str, frozenset[Combination]]
    timed: frozenset[str]
    versions: dict[str, str]
    pattern: str
    device: str | None
    sharded: bool = False

    @property
    def count(self) -> int:
        """The number of selected cases."""
        return sum(map(len, self.cases.values()))

    def asv_pattern(self, names: Iterable[str]) -> str:
        """Return the regular expression by which asv runs only the selected cases of ``names``.

        Raises:
            SparsebenchError: a shard has too many cases for a command line.
        """
        if self.sharded:
            return self._exact_pattern(names)
        either = "|".join(map(re.escape, names))
        device = rf"(?=.*\(.*{re.escape(repr(self.device))})" if self.device else ""
        return rf"^(?=(?:{either})(?:\(|$)){device}(?=.*(?:{self.pattern}))"

    def _exact_pattern(self, names: Iterable[str]) -> str:
        """Return a pattern that lists each case; asv searches it in ``name(parameters)``."""
        each = (
            rf"{re.escape(name)}\((?:{'|'.join(re.escape(', '.join(c)) for c in cases)})\)"
            if (cases := sorted(self.cases[name] - {()}))
            else re.escape(name)
            for name in names
        )
        pattern = rf"^(?:{'|'.join(each)})$"
        if len(pattern.encode()) > _LONGEST_ARGUMENT:
            raise SparsebenchError(
                f"--shard: must leave fewer cases for one asv call, got {self.count}; "
                "split into more shards or choose fewer benchmarks by --bench"
            )
        return pattern


@dataclass(frozen=True)
class Shard:
    """One of ``count`` runs that share the work; ``index`` counts from 1."""

    index: int
    count: int


def shard_of(selection: BenchmarkSelection, results: Path, shard: Shard) -> BenchmarkSelection:
    """Return the cases of ``selection`` that belong to ``shard``.

    Each case belongs to exactly one shard, which depends on the benchmarks only, so it is the same
    on every machine. Cases are assigned in descending order of expected time, each to the shard
    with the least time so far. So the cases of one benchmark are spread over all shards.

    Args:
        selection: the cases of all shards together.
        results: asv's results folder; its ``benchmarks.json`` is read.
        shard: which one.

    Raises:
        SparsebenchError: there are fewer cases than shards, and this one has none.
    """
    entries = _discovered(results)
    costs = {name: expected_seconds(entries[name]) for name in selection.cases}
    cases = [
        (name, case) for name, combinations in selection.cases.items() for case in combinations
    ]
    loads = [(0.0, index) for index in range(1, shard.count + 1)]
    own: dict[str, set[Combination]] = {}
    for name, case in sorted(cases, key=lambda item: (-costs[item[0]], item)):
        load, index = heapq.heappop(loads)
        heapq.heappush(loads, (load + costs[name], index))
        if index == shard.index:
            own.setdefault(name, set()).add(case)
    if not own:
        raise SparsebenchError(
            f"--shard: must be at most as many as there are cases ({len(cases)}), "
            f"got {shard.index}/{shard.count}"
        )
    shard_cases = {name: frozenset(chosen) for name, chosen in sorted(own.items())}
    return replace(selection, cases=shard_cases, sharded=True)


def expected_seconds(entry: dict[str, Any]) -> float:
    """Return the expected time of a case: per process its start, warm-up and samples."""
    if entry.get("type") != "time":
        return _PROCESS_SECONDS
    warmup, sample, repeat = (entry.get(key) for key in ("warmup_time", "sample_time", "repeat"))
    # 0.01 s and 10 samples are asv's own defaults
    samples = max(_number_or(sample, 0.01), 0.0) * (_number_or(repeat, 0) or 10)
    warm = _number_or(warmup, -1.0)
    rounds = _number_or(entry.get("rounds"), 2)
    return rounds * (_PROCESS_SECONDS + (warm if warm >= 0 else 0.1) + samples)


def _number_or(value: Any, default: float) -> float:
    return float(value) if isinstance(value, int | float) else default


def select(results: Path, pattern: str, device: str | None) -> BenchmarkSelection:
    """Return the discovered cases that match ``pattern``.

    Args:
        results: asv's results folder; its ``benchmarks.json`` is read.
        pattern: a regular expression, searched as asv does in ``name(parameters)``.
        device: only combinations with this value of the parameter ``device``; benchmarks without
            such a parameter are left out.

    Raises:
        SparsebenchError: a bad pattern, nothing that matches, or a device that no matching
            benchmark has here.
    """
    compiled = compile_pattern(pattern)
    entries = _discovered(results)
    matching = {name: _matching(name, entry, compiled) for name, entry in entries.items()}
    matching = {name: cases for name, cases in matching.items() if cases}
    if not matching:
        raise SparsebenchError(f"--bench: must match one of asv's benchmarks, got {pattern!r}")
    chosen = {name: _on_device(cases, entries[name], device) for name, cases in matching.items()}
    chosen = {name: cases for name, cases in chosen.items() if cases}
    if not chosen:
        devices = sorted({value for name in matching for value in _devices(entries[name])})
        raise SparsebenchError(
            f"--device: must be one that these benchmarks have on this machine "
            f"({', '.join(devices) or 'none'}), got {device!r}"
        )
    versions = {name: str(entries[name]["version"]) for name in chosen}
    timed = frozenset(name for name in chosen if entries[name].get("type") == "time")
    return BenchmarkSelection(chosen, timed, versions, pattern, device)


def missing(
    selection: BenchmarkSelection, machine_folder: Path, commit: str, envs: list[str]
) -> list[str]:
    """Return the selected benchmarks that have a case without a value in an environment, sorted.

    Not measured are failed cases, times without samples, values of another version of the
    benchmark, and values in a file that cannot be read.
    """
    unmeasured: set[str] = set()
    for env in envs:
        done = _measured(machine_folder / f"{commit[:8]}-{env}.json", selection)
        unmeasured |= {
            name
            for name, cases in selection.cases.items()
            if not cases <= done.get(name, frozenset())
        }
    return sorted(unmeasured)


def set_aside_damaged(machine_folder: Path, commit: str, envs: list[str]) -> list[Path]:
    """Rename the result files of ``commit`` that cannot be read, and return the new paths.

    asv writes files in place; a truncated one would make each later run fail.
    """
    renamed = []
    for env in envs:
        path = machine_folder / f"{commit[:8]}-{env}.json"
        try:
            if path.is_file():
                load_result_file(path)
        except BadFileError:
            renamed.append(path.rename(path.with_suffix(".json.damaged")))
    return renamed


def _measured(path: Path, selection: BenchmarkSelection) -> dict[str, frozenset[Combination]]:
    """Return per benchmark the combinations with a value in one asv result file."""
    if not path.is_file():
        return {}
    try:
        benchmarks = load_result_file(path).benchmarks
    except BadFileError:
        return {}
    return {
        result.name: _with_value(result, samples=result.name in selection.timed)
        for result in benchmarks
        if result.version == selection.versions.get(result.name)
    }


def _with_value(result: BenchmarkResult, samples: bool) -> frozenset[Combination]:
    rows = zip(product(*result.params), result.values, result.samples, strict=True)
    return frozenset(
        case for case, value, taken in rows if _is_number(value) and (taken or not samples)
    )


def _discovered(results: Path) -> dict[str, dict[str, Any]]:
    path = results / "benchmarks.json"
    entries = parse_object(path, read_bytes(path))
    return {name: entry for name, entry in entries.items() if isinstance(entry, dict)}


def _matching(name: str, entry: dict[str, Any], pattern: re.Pattern[str]) -> frozenset[Combination]:
    """Return the combinations that asv selects; a benchmark without parameters has one, ()."""
    return frozenset(
        case
        for case in product(*entry["params"])
        if pattern.search(f"{name}({', '.join(case)})" if case else name)
    )


def _on_device(
    cases: frozenset[Combination], entry: dict[str, Any], device: str | None
) -> frozenset[Combination]:
    """Return the cases with this value of the parameter ``device``; all if it is None."""
    if device is None:
        return cases
    if "device" not in entry["param_names"]:
        return frozenset()
    position = entry["param_names"].index("device")
    return frozenset(case for case in cases if case[position] == repr(device))


def _devices(entry: dict[str, Any]) -> list[str]:
    for name, values in zip(entry["param_names"], entry["params"], strict=False):
        if name == "device":
            return [value.strip("'") for value in values]
    return []


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and value == value
