"""asv result files: found in a tree, parsed from format version 1 or 2 into one plain record.

Version 2 keeps a benchmark as a row under ``result_columns``, with trailing nulls dropped;
version 1 as a bare number, or a dict of result, params, samples and stats. Both become `Measured`.
"""

import hashlib
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeGuard

from sparsebench.errors import SparsebenchError
from sparsebench.results.asv.json_files import BadFileError, check_version, parse_object, read_bytes
from sparsebench.results.asv.walk import Walk, walk

VERSIONS: Final = (1, 2)
NOT_RESULTS: Final = frozenset({"benchmarks.json", "machine.json", "asv.conf.json"})
_CELLS: Final = ("result", "params", "version", "started_at", "duration", "samples")
STATS: Final = ("ci_99_a", "ci_99_b", "q_25", "q_75", "number", "repeat")

# asv writes null for a benchmark of which nothing succeeded, however many combinations it has. More
# than this is no benchmark that anybody ran, and expanding it would fill the memory.
MOST_COMBINATIONS: Final = 1_000_000

Strings = dict[str, str | None]


class Measured(NamedTuple):  # not a dataclass: a fleet's history makes half a million of them
    """One benchmark of a result file; every sequence is in `itertools.product(*params)` order."""

    name: str
    params: tuple[tuple[str, ...], ...] = ()
    version: str | None = None
    started_at: int | None = None  # ms since 1970
    duration: float | None = None  # seconds, over all combinations and rounds
    values: Sequence[Any] = (None,)
    samples: Sequence[Any] = (None,)
    stats: tuple[Sequence[Any], ...] = ((None,),) * len(STATS)  # in the order of STATS
    problem: str | None = None  # what makes it unusable; then it is one failed row

    @property
    def combinations(self) -> int:
        """How many rows it makes."""
        return len(self.values)


@dataclass(frozen=True)
class ResultFile:
    """One asv result file: a (machine, commit, environment) and what was measured there."""

    path: Path
    sha256: str
    commit_hash: str
    commit_date: int | None  # ms since 1970
    env_name: str
    machine: str | None
    params: Strings  # machine fields and requirements
    python: str | None
    requirements: Strings
    env_vars: Strings
    benchmarks: tuple[Measured, ...]


def find_result_files(source: Path) -> Walk:
    """Every JSON file at or under ``source`` that may hold results, and the unreadable folders.

    Raises:
        SparsebenchError: ``source`` does not exist, cannot be read, or holds no such file.
    """
    if not os.access(source, os.F_OK):
        raise SparsebenchError(f"{source}: no such file or folder; give an asv results folder")
    if not source.is_dir():
        return Walk([source], {})
    found = walk(source, lambda name: name.endswith(".json") and name not in NOT_RESULTS)
    if not found.files:
        for problem in found.problems.values():
            raise SparsebenchError(f"{problem}; no asv result (*.json) beside it")
        raise SparsebenchError(
            f"{source}: holds no asv result (*.json); give an asv results folder"
        )
    return found


def parse_result_file(path: Path, content: bytes) -> ResultFile:
    """The record of one asv result file.

    Raises:
        BadFileError: not JSON, not an asv result, or of a version that is not known.
    """
    data = parse_object(path, content)
    version = check_version(path, data, VERSIONS)
    commit, results = data.get("commit_hash"), data.get("results")
    if not isinstance(commit, str) or not commit or not isinstance(results, dict):
        raise BadFileError(path, "must hold 'commit_hash' and 'results'; not an asv result")
    measured = _version_2(path, data) if version == 2 else _version_1(data)
    params = _strings(data.get("params"))
    return ResultFile(
        path=path,
        sha256=hashlib.sha256(content).hexdigest(),
        commit_hash=commit,
        commit_date=_milliseconds(data.get("date")),
        env_name=_text(data.get("env_name")) or _env_name_of(path),
        machine=params.get("machine"),
        params=params,
        python=_text(data.get("python")),
        requirements=_strings(data.get("requirements")),
        env_vars=_strings(data.get("env_vars")),
        benchmarks=tuple(measured),
    )


def load_result_file(path: Path) -> ResultFile:
    """`parse_result_file` of a file on disk."""
    return parse_result_file(path, read_bytes(path))


def _version_2(path: Path, data: dict[str, Any]) -> Iterator[Measured]:
    columns = data.get("result_columns")
    if not _is_texts(columns) or "result" not in columns:
        raise BadFileError(path, "must hold 'result_columns' with 'result'; not an asv result")
    blank = [None] * (len(columns) + 1)  # trailing nulls are dropped by asv
    place = {name: index for index, name in enumerate(columns)}
    wanted = (*_CELLS, *(f"stats_{key}" for key in STATS))
    pick = itemgetter(*(place.get(name, len(columns)) for name in wanted))
    for name, row in data["results"].items():
        if not isinstance(row, list):
            yield Measured(name, problem=f"the file holds a {type(row).__name__} instead of a row")
            continue
        cells = pick(row[: len(columns)] + blank[len(row) :])
        yield _measured(name, cells[: len(_CELLS)], cells[len(_CELLS) :])


def _version_1(data: dict[str, Any]) -> Iterator[Measured]:
    beside = {
        key: data[old] if isinstance(data.get(old), dict) else {}
        for key, old in [
            ("version", "benchmark_version"),
            ("started_at", "started_at"),
            ("duration", "duration"),
        ]
    }
    for name, entry in data["results"].items():
        cells = dict(entry) if isinstance(entry, dict) else {"result": entry}
        cells |= {key: values.get(name) for key, values in beside.items()}
        stats = _stats_of_dicts(cells.get("stats"))
        yield _measured(name, [cells.get(key) for key in _CELLS], [stats.get(k) for k in STATS])


def _stats_of_dicts(stats: Any) -> dict[str, Any]:
    """Version 1's list of dicts (or one dict, without parameters) as version 2's lists."""
    if stats is None:
        return {}
    each = [
        s if isinstance(s, dict) else {} for s in (stats if isinstance(stats, list) else [stats])
    ]
    bounds = [s["ci_99"] if _is_pair(s.get("ci_99")) else (None, None) for s in each]
    lists = {key: [s.get(key) for s in each] for key in STATS[2:]}
    return {"ci_99_a": [b[0] for b in bounds], "ci_99_b": [b[1] for b in bounds], **lists}


def _measured(name: str, cells: Sequence[Any], stats: Sequence[Any]) -> Measured:
    """One benchmark with all lists brought to one length, or with the problem that forbids it.

    Args:
        name: the benchmark's.
        cells: in the order of `_CELLS`.
        stats: in the order of `STATS`.
    """
    result, listed, version, started_at, duration, samples = cells
    params = _params(listed)
    size = math.prod(map(len, params))
    values = _expanded(result, size)
    if size > MOST_COMBINATIONS and len(values) != size:
        return Measured(name, problem="too many parameter combinations to have been run")
    if len(values) != size:
        return Measured(name, problem=f"{len(values)} values for {size} parameter combinations")
    blank = [None] * size
    return Measured(
        name,
        params,
        _text(version),
        _milliseconds(started_at),
        as_float(duration),
        values,
        _fitted(_nested(samples), size) if samples else blank,
        tuple([each if type(each) is list and len(each) == size else blank for each in stats]),
    )


def _expanded(result: Any, size: int) -> list[Any]:
    """A value a combination; asv collapses "nothing but nulls" to one null."""
    if isinstance(result, list):
        return result
    if result is None and size <= MOST_COMBINATIONS:
        return [None] * size
    return [result]


def _fitted(values: Any, size: int) -> list[Any]:
    return values if isinstance(values, list) and len(values) == size else [None] * size


def _nested(samples: Any) -> Any:
    """Version 1 may hold the samples of a benchmark without parameters as one bare list."""
    bare = isinstance(samples, list) and samples and isinstance(samples[0], int | float)
    return [samples] if bare else samples


def _params(params: Any) -> tuple[tuple[str, ...], ...]:
    if not isinstance(params, list):
        return ()
    try:
        if (known := _SEEN.get(key := tuple(map(tuple, params)))) is not None:
            return known
    except TypeError:  # not a list of lists of texts
        key = None
    found = tuple(
        tuple(map(str, values)) if isinstance(values, list) else (str(values),) for values in params
    )
    if found == key and len(_SEEN) < _MOST_SEEN:
        _SEEN[key] = found
    return found


# The files of a history repeat the same few hundred lists of texts.
_MOST_SEEN: Final = 65_536
_SEEN: Final[dict[Any, tuple[tuple[str, ...], ...]]] = {}


def _env_name_of(path: Path) -> str:
    """Version 1 has no env_name inside; the file is called <commit>-<env_name>.json."""
    return path.stem.partition("-")[2] or path.stem


def as_float(value: Any) -> float | None:
    """``value`` as a float where it is a number that a float can hold, else None."""
    if type(value) is float:  # nearly always
        return value
    if not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def as_int(value: Any) -> int | None:
    """``value`` as a 64-bit integer where it is one, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 2**63:
        return None  # NaN and infinity too
    return int(value) if value == int(value) else None


def _milliseconds(value: Any) -> int | None:
    """A time that every reader can show (years 1 to 9999); anything else is not known."""
    number = value if type(value) is int else as_int(value)
    return (
        number
        if number is not None and -62_135_596_800_000 <= number < 253_402_300_800_000
        else None
    )


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _strings(value: Any) -> Strings:
    return {key: _text(item) for key, item in value.items()} if isinstance(value, dict) else {}


def _is_texts(value: Any) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2
