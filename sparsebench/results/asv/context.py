"""The files beside asv's result files: benchmarks.json, machine.json and asv.conf.json."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sparsebench.results.asv.json_files import BadFileError, check_version, parse_object, read_bytes
from sparsebench.results.asv.result_files import Strings, as_float, as_int

# Folder names that say what the folder holds, not whose it is.
_GENERIC_NAMES: Final = frozenset({"results", "asv", ".asv", "benchmarks", "asv_bench", "data", ""})
_PROJECT: Final = re.compile(r"""["']?\bproject["']?\s*:\s*(["'])(.*?)\1""")
_COMMENT: Final = re.compile(r"(?m)^\s*//.*$")
_TIMING: Final = [
    "number",
    "repeat",
    "rounds",
    "warmup_time",
    "sample_time",
    "min_run_count",
    "timer",
]
_AUTOMATIC: Final = {"number": 0, "repeat": 0, "warmup_time": -1}  # values that let asv choose


@dataclass(frozen=True)
class BenchmarkSettings:
    """How asv runs one benchmark, by its benchmarks.json; None where that does not say."""

    type: str | None = None
    unit: str | None = None
    param_names: tuple[str, ...] = ()
    timeout: float | None = None
    rounds: int | None = None
    timing: tuple[tuple[str, str], ...] = ()  # name and value of number, repeat, rounds, ...


@dataclass(frozen=True)
class Context:
    """What the rows of a result file depend on besides the file itself.

    Attributes:
        project: the project's name.
        machine: the name of the machine's folder, for a result file that does not name its machine.
        machine_fields: the content of machine.json.
        benchmarks: settings by the benchmark's name.
        sha256: of machine.json; "" without one.
        problems: one line per file beside the results that could not be used.
    """

    project: str
    machine: str
    machine_fields: Strings = field(default_factory=dict)
    benchmarks: dict[str, BenchmarkSettings] = field(default_factory=dict)
    sha256: str = ""
    problems: tuple[str, ...] = ()


def load_context(folder: Path, project: str | None = None) -> Context:
    """Return the context of the result files in ``folder``, a machine's folder of a results tree.

    A missing benchmarks.json or machine.json is no problem. A broken one is a problem, and the
    results are read without it.

    Args:
        folder: the folder of the result files.
        project: overrides the name that `project_of` finds.
    """
    folder = folder.resolve()
    problems: list[str] = []

    def load(path: Path, versions: tuple[int, ...]) -> tuple[dict[str, Any], str]:
        """Return the file's content and SHA-256, both empty where it cannot be used."""
        if not path.exists():
            return {}, ""
        try:
            content = read_bytes(path)
            data = parse_object(path, content)
            check_version(path, data, versions)
        except BadFileError as error:
            problems.append(f"{error}; the results beside it are read without it")
            return {}, ""
        return data, hashlib.sha256(content).hexdigest()

    listed = folder.parent / "benchmarks.json"
    benchmarks, _ = load(listed if listed.exists() else folder / "benchmarks.json", (1, 2))
    machine, sha256 = load(folder / "machine.json", (1,))
    return Context(
        project=project or project_of(folder.parent),
        machine=folder.name,
        machine_fields={
            key: None if value is None else str(value)
            for key, value in machine.items()
            if key != "version"
        },
        benchmarks={k: _settings(v) for k, v in benchmarks.items() if isinstance(v, dict)},
        sha256=sha256,
        problems=tuple(problems),
    )


def find_config(
    start: Path, levels: int | None = None, names: Sequence[str] = ("asv.conf.json",)
) -> Path | None:
    """Return the nearest asv.conf.json in ``start`` or above; None if there is none.

    Args:
        start: a folder.
        levels: how many folders above ``start`` are searched; None for all of them.
        names: of the file.
    """
    folders = (start, *start.parents)[: None if levels is None else levels + 1]
    paths = (folder / name for folder in folders for name in names)
    return next((path for path in paths if path.is_file()), None)


def project_of(tree: Path) -> str:
    """Return the name of the project whose results are in ``tree``; result files do not hold it.

    It is "project" of the nearest asv.conf.json in ``tree`` or up to three folders above. Without
    one it is the name of the nearest folder that is not called "results" or the like, so that two
    projects whose results have a folder each stay apart.
    """
    config = find_config(tree, levels=3, names=("asv.conf.json", "asv.conf.jsonc"))
    if config and (name := _project_in(config)):
        return name
    names = (folder.name for folder in (tree, *tree.parents))
    return next((name for name in names if name.lower() not in _GENERIC_NAMES), "unknown")


def _project_in(config: Path) -> str | None:
    """Return the "project" of an asv.conf.json; JSON with comments and trailing commas."""
    try:
        text = config.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    match = _PROJECT.search(_COMMENT.sub("", text))
    return match[2] if match else None


def _settings(entry: dict[str, Any]) -> BenchmarkSettings:
    names = entry.get("param_names")
    rounds = entry.get("rounds", entry.get("processes"))  # "processes": its name before asv 0.3
    timing = {**entry, "rounds": rounds}
    return BenchmarkSettings(
        type=entry.get("type") if isinstance(entry.get("type"), str) else None,
        unit=entry.get("unit") if isinstance(entry.get("unit"), str) else None,
        param_names=tuple(map(str, names)) if isinstance(names, list) else (),
        timeout=_positive(entry.get("timeout")),
        rounds=as_int(_positive(rounds)) or None,
        timing=tuple(
            (key, _timing_text(key, timing[key])) for key in _TIMING if timing.get(key) is not None
        ),
    )


def _timing_text(key: str, value: Any) -> str:
    if key in _AUTOMATIC and value == _AUTOMATIC[key]:
        return "auto"
    return "x".join(map(str, value)) if isinstance(value, list) else str(value)


def _positive(value: Any) -> float | None:
    number = None if isinstance(value, bool) else as_float(value)
    return number if number is not None and number > 0 else None
