"""asv's result files: searched in a folder, parsed from format version 1 or 2 to one record.

Version 2 stores a benchmark as a row under ``result_columns``, with trailing nulls dropped. Version
1 stores it as a bare number, or as a dict of result, params, samples and stats. Both become a
`BenchmarkResult`. So does each case of a recording beside the file.
"""

import hashlib
import itertools
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, NamedTuple

from sparsebench.errors import SparsebenchError
from sparsebench.files import FileSearch, find_files
from sparsebench.results.asv.json_files import BadFileError, check_version, parse_object, read_bytes
from sparsebench.results.asv.recordings import (
    SUFFIX,
    RecordedCase,
    Recording,
    load_recording,
    orphaned,
    run_of,
)

VERSIONS: Final = (1, 2)
NOT_RESULTS: Final = frozenset({"benchmarks.json", "machine.json", "asv.conf.json"})
_CELLS: Final = ("result", "params", "version", "started_at", "duration", "samples")
STATS: Final = ("ci_99_a", "ci_99_b", "q_25", "q_75", "number", "repeat")

# asv writes one null for a benchmark of which nothing succeeded, however many combinations it has.
# No benchmark has more than this; expanding more combinations would fill the memory.
MAX_COMBINATIONS: Final = 1_000_000

Strings = dict[str, str | None]


class BenchmarkResult(NamedTuple):  # not a dataclass: a fleet's history makes half a million
    """One benchmark of a result file; sequences are in the order of `itertools.product(*params)`.

    Attributes:
        started_at: ms since 1970.
        duration: seconds, over all combinations and rounds.
        stats: one sequence per name in `STATS`.
        problem: what makes it unusable; it is then one failed row.
        recorded: the case that it is made from; None if it is asv's.
    """

    name: str
    params: tuple[tuple[str, ...], ...] = ()
    version: str | None = None
    started_at: int | None = None
    duration: float | None = None
    values: Sequence[Any] = (None,)
    samples: Sequence[Any] = (None,)
    stats: tuple[Sequence[Any], ...] = ((None,),) * len(STATS)
    problem: str | None = None
    recorded: RecordedCase | None = None


@dataclass(frozen=True)
class ResultFile:
    """One asv result file: what one machine measured of one commit in one environment.

    Attributes:
        sha256: of the file and of its recordings.
        commit_date: ms since 1970.
        params: fields of the machine, and requirements.
        recording: what the measuring processes recorded beside the file.
    """

    path: Path
    sha256: str
    commit_hash: str
    commit_date: int | None
    env_name: str
    machine: str | None
    params: Strings
    python: str | None
    requirements: Strings
    env_vars: Strings
    benchmarks: tuple[BenchmarkResult, ...]
    recording: Recording = field(default_factory=Recording)


def find_result_files(source: Path) -> FileSearch:
    """Return the files at or under ``source`` that may hold results.

    These are asv's JSON files, and recordings with cases that have no such file beside them.

    Raises:
        SparsebenchError: ``source`` does not exist, cannot be read, or holds no such file.
    """
    if not os.access(source, os.F_OK):
        raise SparsebenchError(f"{source}: no such file or folder; give an asv results folder")
    if not source.is_dir():
        return FileSearch([source], {})
    search = find_files(
        source,
        lambda name: name.endswith((".json", SUFFIX)) and name not in NOT_RESULTS,
    )
    recordings = [path for path in search.files if path.name.endswith(SUFFIX)]
    unneeded = set(recordings) - set(orphaned(recordings))
    search = FileSearch([path for path in search.files if path not in unneeded], search.problems)
    if not search.files:
        for problem in search.problems.values():
            raise SparsebenchError(f"{problem}; no asv result (*.json) beside it")
        raise SparsebenchError(
            f"{source}: holds no asv result (*.json); give an asv results folder"
        )
    return search


def load_result_file(path: Path) -> ResultFile:
    """Read one asv result file with its recordings, or a recording without a result file.

    Raises:
        BadFileError: it cannot be read, is not JSON, is no asv result, or has an unknown version.
    """
    recording = load_recording(path)
    if path.name.endswith(SUFFIX):
        return _recording_alone(path, recording)
    content = read_bytes(path)
    data = parse_object(path, content)
    version = check_version(path, data, VERSIONS)
    commit, results = data.get("commit_hash"), data.get("results")
    if not isinstance(commit, str) or not commit or not isinstance(results, dict):
        raise BadFileError(path, "must hold 'commit_hash' and 'results'; not an asv result")
    benchmarks = _version_2(path, data) if version == 2 else _version_1(data)
    params = _strings(data.get("params"))
    # Version 1 has no env_name inside; the file is called <commit>-<env_name>.json.
    env_name = _text(data.get("env_name")) or path.stem.partition("-")[2] or path.stem
    return ResultFile(
        path=path,
        sha256=content_hash(content, recording.sha256),
        commit_hash=commit,
        commit_date=_milliseconds(data.get("date")),
        env_name=env_name,
        machine=params.get("machine"),
        params=params,
        python=_text(data.get("python")),
        requirements=_strings(data.get("requirements")),
        env_vars=_strings(data.get("env_vars")),
        benchmarks=tuple(_with_recorded(tuple(benchmarks), recording)),
        recording=recording,
    )


def content_hash(content: bytes, recording: str) -> str:
    """Return the SHA-256 of a result file's content; of recordings too, if there are any."""
    digest = hashlib.sha256(content).hexdigest()
    return hashlib.sha256(f"{digest}{recording}".encode()).hexdigest() if recording else digest


def _recording_alone(path: Path, recording: Recording) -> ResultFile:
    """Return a recording as a result file; it says itself what asv's JSON would say."""
    facts = run_of(recording, path)
    return ResultFile(
        path=path,
        sha256=content_hash(b"", recording.sha256),
        commit_hash=str(facts["commit"]),
        commit_date=_milliseconds(facts.get("commit_date")),
        env_name=str(facts["env_name"]),
        machine=_text(facts.get("machine")),
        params={},
        python=_text(facts.get("python")),
        requirements={},
        env_vars={},
        benchmarks=tuple(_with_recorded((), recording)),
        recording=recording,
    )


def _with_recorded(
    benchmarks: Sequence[BenchmarkResult], recording: Recording
) -> Iterator[BenchmarkResult]:
    """Yield asv's benchmarks without what repeats recorded cases, then the recorded cases.

    asv's number for such a case is the median of the recorded samples, or says that it failed.
    """
    cases = [*recording.cases, *_confirmed(recording.of_any_commit, benchmarks)]
    recorded = {(_class_of(case.asv_name), case.params) for case in cases}
    classes = {name for name, _ in recorded}
    for result in benchmarks:
        if _class_of(result.name) not in classes or result.problem:
            yield result
            continue
        pairs = zip(itertools.product(*result.params), result.values, strict=False)
        for index, (params, value) in enumerate(pairs):
            is_selected = value is None or value == value  # NaN: not selected
            if is_selected and (_class_of(result.name), params) not in recorded:
                yield _one_case(result, index, params)
    for case in cases:
        yield _recorded_result(case)


def _confirmed(
    cases: Iterable[RecordedCase], benchmarks: Iterable[BenchmarkResult]
) -> Iterator[RecordedCase]:
    """Yield the cases whose numbers are asv's: others were measured of another commit.

    All quantities of a case were recorded at one time. At least one must be there, and equal.
    """
    groups: dict[tuple[str, tuple[str, ...], int], list[RecordedCase]] = {}
    for case in cases:
        groups.setdefault((_class_of(case.asv_name), case.params, case.time), []).append(case)
    classes = {name for name, _, _ in groups}
    values = {
        (result.name, params): value
        for result in benchmarks
        if _class_of(result.name) in classes
        for params, value in zip(itertools.product(*result.params), result.values, strict=False)
    }
    newest: dict[tuple[str, tuple[str, ...]], list[RecordedCase]] = {}
    for (name, params, _), group in sorted(groups.items(), key=lambda item: item[0][2]):
        pairs = [
            (case.value, values[case.asv_name, params])
            for case in group
            if (case.asv_name, params) in values
        ]
        if pairs and all(mine == asvs for mine, asvs in pairs):
            newest[name, params] = group
    for group in newest.values():
        yield from group


def _class_of(name: str) -> str:
    return name.rpartition(".")[0]


def _one_case(result: BenchmarkResult, index: int, params: tuple[str, ...]) -> BenchmarkResult:
    """Return one combination of a benchmark as a benchmark of its own."""
    return result._replace(
        params=tuple((value,) for value in params),
        values=(result.values[index],),
        samples=(_at(result.samples, index),),
        stats=tuple((_at(stat, index),) for stat in result.stats),
    )


def _at(values: Sequence[Any], index: int) -> Any:
    return values[index] if index < len(values) else None


def _recorded_result(case: RecordedCase) -> BenchmarkResult:
    stats = case.stats
    return BenchmarkResult(
        name=case.benchmark,
        params=tuple((value,) for value in case.params),
        version=case.version,
        started_at=case.time,
        duration=case.duration,
        values=(case.value,),
        samples=(list(case.values),) if case.sampled and case.values else (None,),
        stats=tuple((stats.get(name),) for name in STATS),
        recorded=case,
    )


def _version_2(path: Path, data: dict[str, Any]) -> Iterator[BenchmarkResult]:
    columns = data.get("result_columns")
    if (
        not isinstance(columns, list)
        or not all(isinstance(name, str) for name in columns)
        or "result" not in columns
    ):
        raise BadFileError(path, "must hold 'result_columns' with 'result'; not an asv result")
    nulls = [None] * (len(columns) + 1)  # asv drops trailing nulls; the last is of absent columns
    indices = {name: index for index, name in enumerate(columns)}
    names = (*_CELLS, *(f"stats_{key}" for key in STATS))
    pick = itemgetter(*(indices.get(name, len(columns)) for name in names))
    for name, row in data["results"].items():
        if not isinstance(row, list):
            problem = f"the file holds a {type(row).__name__} instead of a row"
            yield BenchmarkResult(name, problem=problem)
            continue
        cells = pick(row[: len(columns)] + nulls[len(row) :])
        yield _benchmark_result(name, cells[: len(_CELLS)], cells[len(_CELLS) :])


def _version_1(data: dict[str, Any]) -> Iterator[BenchmarkResult]:
    outside = {
        key: data[name] if isinstance(data.get(name), dict) else {}
        for key, name in [
            ("version", "benchmark_version"),
            ("started_at", "started_at"),
            ("duration", "duration"),
        ]
    }
    for name, entry in data["results"].items():
        cells = dict(entry) if isinstance(entry, dict) else {"result": entry}
        cells |= {key: values.get(name) for key, values in outside.items()}
        stats = _version_1_stats(cells.get("stats"))
        yield _benchmark_result(
            name, [cells.get(key) for key in _CELLS], [stats.get(key) for key in STATS]
        )


def _version_1_stats(stats: Any) -> dict[str, Any]:
    """Return version 1's list of dicts (one dict without parameters) as lists by name."""
    if stats is None:
        return {}
    dicts = [
        item if isinstance(item, dict) else {}
        for item in (stats if isinstance(stats, list) else [stats])
    ]
    intervals = [
        pair if isinstance(pair := item.get("ci_99"), list) and len(pair) == 2 else (None, None)
        for item in dicts
    ]
    lists = {key: [item.get(key) for item in dicts] for key in STATS[2:]}
    lists["ci_99_a"] = [low for low, _ in intervals]
    lists["ci_99_b"] = [high for _, high in intervals]
    return lists


def _benchmark_result(name: str, cells: Sequence[Any], stats: Sequence[Any]) -> BenchmarkResult:
    """Return one benchmark with all lists of one length, or with the problem that prevents it.

    Args:
        name: the benchmark's.
        cells: in the order of `_CELLS`.
        stats: in the order of `STATS`.
    """
    result, parameter_lists, version, started_at, duration, samples = cells
    params = _params(parameter_lists)
    size = math.prod(map(len, params))
    if isinstance(result, list):
        values = result
    else:  # asv writes one null for "nothing but nulls"
        values = [result] * (size if result is None and size <= MAX_COMBINATIONS else 1)
    if size > MAX_COMBINATIONS and len(values) != size:
        return BenchmarkResult(name, problem="too many parameter combinations to have been run")
    if len(values) != size:
        problem = f"{len(values)} values for {size} parameter combinations"
        return BenchmarkResult(name, problem=problem)
    if isinstance(samples, list) and samples and isinstance(samples[0], int | float):
        samples = [samples]  # version 1, without parameters: the samples are not nested
    nulls = [None] * size
    return BenchmarkResult(
        name,
        params,
        _text(version),
        _milliseconds(started_at),
        as_float(duration),
        values,
        samples if type(samples) is list and len(samples) == size else nulls,
        tuple([each if type(each) is list and len(each) == size else nulls for each in stats]),
    )


# The files of a history repeat the same few hundred lists of texts.
_MAX_PARAMS: Final = 65_536
_PARAMS: Final[dict[Any, tuple[tuple[str, ...], ...]]] = {}


def _params(lists: Any) -> tuple[tuple[str, ...], ...]:
    """Return the parameters' values as tuples of texts, equal ones as one object."""
    if not isinstance(lists, list):
        return ()
    try:
        if (seen := _PARAMS.get(key := tuple(map(tuple, lists)))) is not None:
            return seen
    except TypeError:  # not a list of lists of texts
        key = None
    params = tuple(
        tuple(map(str, values)) if isinstance(values, list) else (str(values),) for values in lists
    )
    if params == key and len(_PARAMS) < _MAX_PARAMS:
        _PARAMS[key] = params
    return params


def as_float(value: Any) -> float | None:
    """Return ``value`` as a float if it is a number that a float can hold, else None."""
    if type(value) is float:  # nearly always
        return value
    if not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def as_int(value: Any) -> int | None:
    """Return ``value`` as a 64-bit integer if it is one, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 2**63:
        return None  # NaN and infinity too
    return int(value) if value == int(value) else None


def _milliseconds(value: Any) -> int | None:
    """Return a time in the years 1 to 9999, which each reader can show; None for all else."""
    number = value if type(value) is int else as_int(value)
    if number is None or not -62_135_596_800_000 <= number < 253_402_300_800_000:
        return None
    return number


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _strings(value: Any) -> Strings:
    return {key: _text(item) for key, item in value.items()} if isinstance(value, dict) else {}
