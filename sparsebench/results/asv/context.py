"""What lies beside asv's result files: benchmarks.json, machine.json, and the project's name."""

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sparsebench.results.asv.json_files import BadFileError, check_version, parse_object, read_bytes
from sparsebench.results.asv.result_files import Strings, as_float, as_int

# Folders that say what they hold and not whose it is.
_GENERIC: Final = frozenset({"results", "asv", ".asv", "benchmarks", "asv_bench", "data", ""})
_PROJECT: Final = re.compile(r"""["']?\bproject["']?\s*:\s*(["'])(.*?)\1""")
_COMMENT: Final = re.compile(r"(?m)^\s*//.*$")


@dataclass(frozen=True)
class Benchmark:
    """How asv runs one benchmark, as its benchmarks.json says; None where that is silent."""

    type: str | None = None
    unit: str | None = None
    param_names: tuple[str, ...] = ()
    timeout: float | None = None
    rounds: int | None = None
    timing: tuple[tuple[str, str], ...] = ()  # number, repeat, rounds, ...: name and value


@dataclass(frozen=True)
class Context:
    """All that shapes the rows of a result file besides the file itself."""

    project: str
    machine: str  # the folder's name, for a file that does not name its machine
    machine_fields: Strings = field(default_factory=dict)
    benchmarks: dict[str, Benchmark] = field(default_factory=dict)
    sha256: str = ""  # of machine.json
    problems: tuple[str, ...] = ()  # files beside the results that could not be used


def load_context(folder: Path, project: str | None = None) -> Context:
    """The context of the result files in ``folder``, a machine's folder of an asv results tree.

    A missing benchmarks.json or machine.json is no problem, a broken one is, and is done without.

    Args:
        folder: where the result files lie.
        project: overrides the name in asv.conf.json and the guess from the folders' names.
    """
    folder = folder.resolve()
    problems: list[str] = []
    beside = [
        p for p in (folder.parent / "benchmarks.json", folder / "benchmarks.json") if p.exists()
    ]
    benchmarks = _load(beside[0] if beside else None, (1, 2), problems)[0]
    machine, machine_digest = _load(folder / "machine.json", (1,), problems)
    name = project or project_of(folder.parent)
    return Context(
        project=name,
        machine=folder.name,
        machine_fields={
            k: None if v is None else str(v) for k, v in machine.items() if k != "version"
        },
        benchmarks={k: _benchmark(v) for k, v in benchmarks.items() if isinstance(v, dict)},
        sha256=machine_digest,
        problems=tuple(problems),
    )


def project_of(tree: Path) -> str:
    """The project whose results lie in ``tree``, for asv's files do not name it.

    It is "project" of the nearest asv.conf.json in ``tree`` or up to three folders above; else the
    name of the nearest folder that is not called "results" or the like, so that the results of two
    projects, each in a folder of its own, stay apart.
    """
    for folder in [tree, *tree.parents][:4]:
        config = folder / "asv.conf.json"
        if config.is_file() and (name := _project_in(config)):
            return name
    return next(
        (f.name for f in [tree, *tree.parents] if f.name.lower() not in _GENERIC), "unknown"
    )


def _project_in(config: Path) -> str | None:
    """Its "project"; found by a pattern, for the file may hold comments and trailing commas."""
    try:
        text = config.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = _PROJECT.search(_COMMENT.sub("", text))
    return found[2] if found else None


def _load(
    path: Path | None, versions: tuple[int, ...], problems: list[str]
) -> tuple[dict[str, Any], str]:
    if path is None or not path.exists():
        return {}, ""
    try:
        content = read_bytes(path)
        data = parse_object(path, content)
        check_version(path, data, versions)
    except BadFileError as error:
        problems.append(f"{error}; the results beside it are read without it")
        return {}, ""
    return data, hashlib.sha256(content).hexdigest()


_TIMING: Final = (
    "number",
    "repeat",
    "rounds",
    "warmup_time",
    "sample_time",
    "min_run_count",
    "timer",
)
_AUTOMATIC: Final = {"number": 0, "repeat": 0, "warmup_time": -1}  # asv then chooses by itself


def _benchmark(entry: dict[str, Any]) -> Benchmark:
    names = entry.get("param_names")
    rounds = entry.get("rounds", entry.get("processes"))  # the name that asv used before 0.3
    timing = {**entry, "rounds": rounds}
    return Benchmark(
        type=entry.get("type") if isinstance(entry.get("type"), str) else None,
        unit=entry.get("unit") if isinstance(entry.get("unit"), str) else None,
        param_names=tuple(map(str, names)) if isinstance(names, list) else (),
        timeout=_positive(entry.get("timeout")),
        rounds=as_int(_positive(rounds)) or None,
        timing=tuple(
            (key, _setting(key, timing[key])) for key in _TIMING if timing.get(key) is not None
        ),
    )


def _setting(key: str, value: Any) -> str:
    if key in _AUTOMATIC and value == _AUTOMATIC[key]:
        return "auto"
    return "x".join(map(str, value)) if isinstance(value, list) else str(value)


def _positive(value: Any) -> float | None:
    number = None if isinstance(value, bool) else as_float(value)
    return number if number is not None and number > 0 else None
