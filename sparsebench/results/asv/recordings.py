"""Recordings beside asv's result files: what the measuring process was, and cases that it measured.

`sparsebench.recorder` and the suite write them, one JSON object per line. A line of the kind
"environment" has a process's versions and hardware. A line of the kind "case" has the samples of
one case of a class whose cases are measured together in one process.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

from sparsebench import recorder
from sparsebench.results.asv.json_files import BadFileError, read_bytes

SUFFIX: Final = recorder.SUFFIX
# A process writes its line when the suite is imported, just after asv has noted the start.
_IMPORT_MS: Final = 60_000
_EXISTING_IMPORT_MS: Final = 15_000
_YOUNG_MS: Final = 75_000  # a minute, and some seconds for a process to start

Facts = dict[str, Any]


@dataclass(frozen=True)
class RecordedEnvironment:
    """What one process recorded of itself.

    Attributes:
        time: ms since 1970.
        run: the id that `sparsebench bench` gave; None without it.
        facts: as `recorder.environment_facts` returns them.
    """

    time: int
    run: str | None
    facts: Facts

    def may_be_of(self, started_at: int) -> bool:
        """Return whether the process may have measured what was started then, in ms.

        A line of a commit's own file may be from the beginning of a long run. In an existing
        environment, whose lines have no commit, another run may have come since: there processes
        write a line as long as the last one is older than a minute.
        """
        if self.facts.get("commit"):
            return self.time - started_at <= _IMPORT_MS
        return -_YOUNG_MS <= self.time - started_at <= _EXISTING_IMPORT_MS


@dataclass(frozen=True)
class RecordedCase:
    """One case that was measured together with others of its class.

    Attributes:
        benchmark: the name that its rows are stored under.
        asv_name: asv's name of the benchmark that returns the same number.
        param_names, params: names and asv's spelling of the parameters.
        values: samples, or the one tracked value; empty if it failed.
        settings: how it was measured, name and value.
        digest: of the mask, in hexadecimal.
        state: the GPU's state at start, during and end; see `recorder.gpu_state`.
    """

    time: int
    run: str | None
    benchmark: str
    asv_name: str
    type: str
    unit: str
    param_names: tuple[str, ...]
    params: tuple[str, ...]
    values: tuple[float, ...]
    sampled: bool
    version: str | None
    duration: float | None
    settings: tuple[tuple[str, str], ...]
    digest: str | None
    error: str | None
    threads: int | None
    state: dict[str, Facts] = field(default_factory=dict)

    @property
    def value(self) -> float | None:
        """The median of the samples; None if the case failed."""
        return median(self.values) if self.values else None

    @property
    def stats(self) -> dict[str, float]:
        """Quartiles, and the numbers of calls and samples; empty without samples."""
        if not self.sampled or len(self.values) < 2:
            return {}
        low, _, high = quantiles(self.values, n=4, method="inclusive")
        return {"q_25": low, "q_75": high, "number": 1, "repeat": len(self.values)}


@dataclass(frozen=True)
class Recording:
    """The recordings of one result file.

    Attributes:
        environments: in the order of their times.
        cases: the last line of each case.
        of_any_commit: cases of an existing environment, whose commit was not recorded.
        sha256: of the files' contents; "" without any.
        problems: one line per file with lines that cannot be used.
    """

    environments: tuple[RecordedEnvironment, ...] = ()
    cases: tuple[RecordedCase, ...] = ()
    of_any_commit: tuple[RecordedCase, ...] = ()
    sha256: str = ""
    problems: tuple[str, ...] = ()

    def environment_at(self, time: int | None) -> RecordedEnvironment | None:
        """Return the environment of what was started at ``time``, in ms; None if none fits."""
        if time is None:
            return None
        near = [each for each in self.environments if each.may_be_of(time)]
        earlier = [each for each in near if each.time <= time]
        return earlier[-1] if earlier else next(iter(near), None)


def recording_paths(result_file: Path) -> list[Path]:
    """Return the existing recordings of a result file: of its commit, and of its environment.

    ``result_file``: asv's JSON, or a recording that has no JSON beside it.
    """
    folder = result_file.parent
    stem = result_file.name.removesuffix(SUFFIX).removesuffix(".json")
    paths = [folder / (stem + SUFFIX)]
    env_name = _without_commit(stem)
    if env_name:
        paths.append(folder / (env_name + SUFFIX))
    if env_name and env_name.startswith("existing-"):  # asv adds variables that were not recorded
        others = sorted(folder.glob("existing-*" + SUFFIX))
        paths += [p for p in others if env_name.startswith(p.name.removesuffix(SUFFIX) + "-")]
    return [path for path in paths if path.is_file()]


def _without_commit(stem: str) -> str | None:
    """Return the environment of a file's name, which begins with eight digits; else None."""
    match = re.fullmatch(r"[0-9a-f]{8}-(.+)", stem)
    return match[1] if match else None


def recording_bytes(result_file: Path) -> bytes:
    """Return the content of the recordings of a result file; empty without any."""
    return b"".join(read_bytes(path) for path in recording_paths(result_file))


def load_recording(result_file: Path) -> Recording:
    """Return the recordings of a result file; lines that cannot be used are counted as problems.

    A line that is cut off (its writer was killed) is such a line.
    """
    environments: list[RecordedEnvironment] = []
    cases: dict[tuple[str, tuple[str, ...]], RecordedCase] = {}
    of_any_commit: list[RecordedCase] = []
    problems = []
    content = hashlib.sha256()
    paths = recording_paths(result_file)
    for path in paths:
        text = read_bytes(path)
        content.update(text)
        has_commit = _without_commit(path.name) is not None
        bad = 0
        for line in text.splitlines():
            try:
                entry = _parse_line(line)
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                bad += 1
                continue
            if isinstance(entry, RecordedEnvironment):
                environments.append(entry)
            elif entry is not None and not has_commit:
                of_any_commit.append(entry)
            elif entry is not None:
                key = entry.benchmark, entry.params
                older = cases.get(key)
                if older is None or older.time <= entry.time:
                    cases[key] = entry
        if bad:
            problems.append(f"{path}: {bad} lines cannot be read as recordings, skipped")
    environments.sort(key=lambda each: each.time)
    return Recording(
        tuple(environments),
        tuple(cases.values()),
        tuple(of_any_commit),
        content.hexdigest() if paths else "",
        tuple(problems),
    )


def orphaned(files: Iterable[Path]) -> Iterator[Path]:
    """Yield the recordings that hold cases of a commit without a result file of asv beside them.

    A run that was killed before asv wrote, or one that measured without asv. What an existing
    environment recorded without a commit belongs to the result files that hold the same numbers.
    """
    for path in files:
        stem = path.name.removesuffix(SUFFIX)
        if _without_commit(stem) is None or path.with_name(stem + ".json").exists():
            continue
        try:
            if b'"kind": "case"' in read_bytes(path):
                yield path
        except BadFileError:
            yield path  # reading it again reports why


def run_of(recording: Recording, path: Path) -> Facts:
    """Return commit, date, environment and machine as a recording without asv's JSON has them.

    Raises:
        BadFileError: it has no environment line with a commit.
    """
    for environment in recording.environments:
        if environment.facts.get("commit") and environment.facts.get("env_name"):
            return environment.facts
    raise BadFileError(path, "must hold an environment line with commit and env_name")


def _parse_line(line: bytes) -> RecordedEnvironment | RecordedCase | None:
    """Return what a line holds; None for one of a kind that a newer version may write."""
    data = json.loads(line)
    kind = data["kind"]
    if kind == "environment":
        facts = {str(key): value for key, value in data.items()}
        return RecordedEnvironment(int(data["time"]), _text(data.get("run")), facts)
    if kind != "case":
        return None
    values = tuple(float(value) for value in data["values"])
    if not all(map(math.isfinite, values)):
        raise ValueError("a value is not finite")
    return RecordedCase(
        time=int(data["time"]),
        run=_text(data.get("run")),
        benchmark=str(data["benchmark"]),
        asv_name=str(data["asv_name"]),
        type=str(data["type"]),
        unit=str(data["unit"]),
        param_names=tuple(map(str, data["param_names"])),
        params=tuple(map(str, data["params"])),
        values=values,
        sampled=bool(data["sampled"]),
        version=_text(data.get("version")),
        duration=None if data.get("duration") is None else float(data["duration"]),
        settings=tuple((str(key), str(value)) for key, value in data["settings"].items()),
        digest=_text(data.get("digest")),
        error=_text(data.get("error")),
        threads=None if data.get("threads") is None else int(data["threads"]),
        state={str(key): dict(value) for key, value in (data.get("state") or {}).items()},
    )


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
