"""What is to be measured, and what of it asv has measured already."""

import heapq
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, Final

from sparsebench.errors import SparsebenchError
from sparsebench.project.patterns import compiled
from sparsebench.results.asv.json_files import BadFileError, parse_object, read_bytes
from sparsebench.results.asv.result_files import BenchmarkResult, load_result_file

Combination = tuple[str, ...]


@dataclass(frozen=True)
class Selection:
    """The benchmarks, and of each the parameter combinations, that a run is to measure.

    Attributes:
        cases: benchmark name to its chosen parameter combinations, as asv spells the values.
        timed: the names of those that take samples.
        versions: benchmark name to the version of its code.
        pattern: the regular expression that was asked for.
        device: the device that was asked for, if any.
        sharded: whether the cases are a shard's, which no pattern of a person's describes.
    """

    cases: dict[str, frozenset[Combination]]
    timed: frozenset[str]
    versions: dict[str, str]
    pattern: str
    device: str | None
    sharded: bool = False

    @property
    def count(self) -> int:
        """How many cases are chosen."""
        return sum(map(len, self.cases.values()))

    def asv_pattern(self, names: Iterable[str]) -> str:
        """The regular expression that makes asv run the chosen cases of these benchmarks alone.

        Raises:
            SparsebenchError: the cases of a shard are too many to be named on a command line.
        """
        if self.sharded:
            return self._exact_pattern(names)
        either = "|".join(map(re.escape, names))
        device = rf"(?=.*\(.*{re.escape(repr(self.device))})" if self.device else ""
        return rf"^(?=(?:{either})(?:\(|$)){device}(?=.*(?:{self.pattern}))"

    def _exact_pattern(self, names: Iterable[str]) -> str:
        """Case by case; `asv` searches it in ``name(parameters)``."""
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
    """One of several runs that share the work: the ``index``-th, from 1 on, of ``count``."""

    index: int
    count: int


def shard_of(selection: Selection, results: Path, shard: Shard) -> Selection:
    """The cases of ``selection`` that fall to ``shard``.

    Each case falls to exactly one shard, the same one on every machine: nothing but the benchmarks
    decides. They are dealt out one by one, those with the longest expected time first, each to the
    shard that has least so far. So the cases of one benchmark are spread over all shards, too.

    Args:
        selection: what all shards together measure.
        results: asv's results folder; its ``benchmarks.json`` is read.
        shard: which one.

    Raises:
        SparsebenchError: there are fewer cases than shards, and none falls to this one.
    """
    entries = _discovered(results)
    costs = {name: _expected_seconds(entries[name]) for name in selection.cases}
    cases = [(name, case) for name, chosen in selection.cases.items() for case in chosen]
    loads = [(0.0, place) for place in range(1, shard.count + 1)]
    mine: dict[str, set[Combination]] = {}
    for name, case in sorted(cases, key=lambda one: (-costs[one[0]], one)):
        load, place = heapq.heappop(loads)
        heapq.heappush(loads, (load + costs[name], place))
        if place == shard.index:
            mine.setdefault(name, set()).add(case)
    if not mine:
        raise SparsebenchError(
            f"--shard: must be at most as many as there are cases ({len(cases)}), "
            f"got {shard.index}/{shard.count}"
        )
    kept = {name: frozenset(chosen) for name, chosen in sorted(mine.items())}
    return replace(selection, cases=kept, sharded=True)


def _expected_seconds(entry: dict[str, Any]) -> float:
    """What a case takes: its processes, and in each the warm-up and the samples asked for."""
    if entry.get("type") != "time":
        return _PROCESS_SECONDS
    warmup, sample, repeat = (entry.get(key) for key in ("warmup_time", "sample_time", "repeat"))
    once = max(_or(sample, 0.01), 0.0) * (_or(repeat, 0) or 10)  # asv's own defaults
    warm = _or(warmup, -1.0)
    rounds = _or(entry.get("rounds"), 2)
    return rounds * (_PROCESS_SECONDS + (warm if warm >= 0 else 0.1) + once)


_PROCESS_SECONDS: Final = 0.12  # to start one, measured with launch method forkserver
_LONGEST_ARGUMENT: Final = 120_000  # bytes; Linux takes 131,071


def _or(value: Any, default: float) -> float:
    return float(value) if isinstance(value, int | float) else default


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
    wanted = compiled(pattern)
    entries = _discovered(results)
    hits = {name: _matching(name, entry, wanted) for name, entry in entries.items()}
    hits = {name: cases for name, cases in hits.items() if cases}
    if not hits:
        raise SparsebenchError(f"--bench: must match one of asv's benchmarks, got {pattern!r}")
    chosen = {name: _on_device(cases, entries[name], device) for name, cases in hits.items()}
    chosen = {name: cases for name, cases in chosen.items() if cases}
    if not chosen:
        here = sorted({value for name in hits for value in _devices(entries[name])})
        raise SparsebenchError(
            f"--device: must be one that these benchmarks have on this machine "
            f"({', '.join(here) or 'none'}), got {device!r}"
        )
    versions = {name: str(entries[name]["version"]) for name in chosen}
    timed = frozenset(name for name in chosen if entries[name].get("type") == "time")
    return Selection(chosen, timed, versions, pattern, device)


def missing(selection: Selection, machine_folder: Path, commit: str, envs: list[str]) -> list[str]:
    """The selected benchmarks of which, in some environment, a case has no value yet; sorted.

    What failed, what has a time but no samples, what was measured by another version of the
    benchmark, and what stands in a file that cannot be read counts as not measured.
    """
    lacking: set[str] = set()
    for env in envs:
        done = _measured(machine_folder / f"{commit[:8]}-{env}.json", selection)
        lacking |= {
            name
            for name, cases in selection.cases.items()
            if not cases <= done.get(name, frozenset())
        }
    return sorted(lacking)


def set_aside_damaged(machine_folder: Path, commit: str, envs: list[str]) -> list[Path]:
    """The result files of ``commit`` that cannot be read, renamed so that asv starts afresh.

    asv writes a file in place: one that was cut off there would make every later run fail.
    """
    aside = []
    for env in envs:
        path = machine_folder / f"{commit[:8]}-{env}.json"
        try:
            if path.is_file():
                load_result_file(path)
        except BadFileError:
            aside.append(path.rename(path.with_suffix(".json.damaged")))
    return aside


def _measured(path: Path, selection: Selection) -> dict[str, frozenset[Combination]]:
    """Benchmark name to the combinations that have a value in one asv result file."""
    if not path.is_file():
        return {}
    try:
        benchmarks = load_result_file(path).benchmarks
    except BadFileError:
        return {}
    return {
        one.name: _with_value(one, samples=one.name in selection.timed)
        for one in benchmarks
        if one.version == selection.versions.get(one.name)
    }


def _with_value(one: BenchmarkResult, samples: bool) -> frozenset[Combination]:
    rows = zip(product(*one.params), one.values, one.samples, strict=True)
    return frozenset(
        case for case, value, taken in rows if _is_number(value) and (taken or not samples)
    )


def _discovered(results: Path) -> dict[str, dict[str, Any]]:
    path = results / "benchmarks.json"
    entries = parse_object(path, read_bytes(path))
    return {name: entry for name, entry in entries.items() if isinstance(entry, dict)}


def _matching(name: str, entry: dict[str, Any], pattern: re.Pattern[str]) -> frozenset[Combination]:
    """The combinations that asv would choose; a benchmark without parameters has one, ()."""
    return frozenset(
        case
        for case in product(*entry["params"])
        if pattern.search(f"{name}({', '.join(case)})" if case else name)
    )


def _on_device(
    cases: frozenset[Combination], entry: dict[str, Any], device: str | None
) -> frozenset[Combination]:
    """The cases with that value of the parameter ``device``; all where None is asked for."""
    if device is None:
        return cases
    if "device" not in entry["param_names"]:
        return frozenset()
    place = entry["param_names"].index("device")
    return frozenset(case for case in cases if case[place] == repr(device))


def _devices(entry: dict[str, Any]) -> list[str]:
    for name, values in zip(entry["param_names"], entry["params"], strict=False):
        if name == "device":
            return [value.strip("'") for value in values]
    return []


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and value == value
