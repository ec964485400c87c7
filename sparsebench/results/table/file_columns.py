"""The columns that are the same for all of a benchmark's rows: identity, hardware, versions."""

import contextlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any, Final

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from sparsebench.results.asv.context import Context
from sparsebench.results.asv.recordings import RecordedCase, RecordedEnvironment
from sparsebench.results.asv.result_files import ResultFile, as_float, as_int

_RECORDED_TEXTS: Final = ("cuda", "driver", "cpu_flags", "governor", "gpu_capability")
_IF_UNDECLARED: Final = ("os", "arch", "cpu")
_RECORDED_NUMBERS: Final = {
    "threads": 2**31,
    "gpu_count": 2**31,
    "memory_limit": 2**63,
    "gpu_memory": 2**63,
}
_RECORDED_FLOATS: Final = ("load_average", "cpu_limit", "power_limit")
_PACKAGES: Final = ("torch", "asv_runner", "numpy", "numba", "triton")
_NOTHING: Final = dict.fromkeys(
    (
        *("cpu_flags", "governor", "gpu_capability", *_RECORDED_NUMBERS, *_RECORDED_FLOATS),
        *("numpy", "numba", "triton", "versions", "mismatch", "run"),
        *("sm_clock", "memory_clock", "temperature", "energy", "throttle", "gpu_states"),
    )
)

Columns = dict[str, Any]


def columns_of_benchmarks(file: ResultFile, context: Context) -> list[Columns]:
    """Return, for each benchmark of ``file``, the columns that are the same in all of its rows.

    What the measuring process recorded wins over what asv's file declares. Benchmarks of the same
    process share one dict. A file without benchmarks has one entry too.
    """
    declared = _declared_columns(file, context)
    by_environment: dict[int | None, Columns] = {None: declared}
    columns = []
    for result in file.benchmarks:
        environment = file.recording.environment_at(result.started_at)
        key = None if environment is None else id(environment)
        if environment is not None and key not in by_environment:
            by_environment[key] = declared | _environment_columns(environment, file, declared)
        own = by_environment[key]
        columns.append(own | _case_columns(result.recorded) if result.recorded else own)
    return columns or [declared]


def _declared_columns(file: ResultFile, context: Context) -> Columns:
    """Return what asv's file and machine.json say; what only a recording says is None.

    What the run recorded of its machine wins over machine.json, which describes today's.
    """
    fields = {**context.machine_fields, **{k: v for k, v in file.params.items() if v}}
    cores = as_int(_number(fields.get("num_cpu") or ""))
    return {
        **_NOTHING,
        "project": context.project,
        "machine": file.machine or context.machine_fields.get("machine") or context.machine,
        "commit_hash": file.commit_hash,
        "commit_date": file.commit_date,
        "env_name": file.env_name,
        **{name: fields.get(name) for name in ("arch", "os", "cpu", "gpu", "cuda", "driver")},
        "num_cpu": cores if cores is not None and abs(cores) < 2**31 else None,
        "ram": ram_bytes(fields.get("ram")),
        "python": file.python or fields.get("python"),
        "torch": _version_of("torch", file),
        "asv_runner": _version_of("asv_runner", file),
        "requirements": json.dumps(file.requirements, ensure_ascii=False),
        "env_vars": json.dumps(file.env_vars, ensure_ascii=False),
        "source_path": f"{file.path.resolve().parent.name}/{file.path.name}",
        "source_sha256": file.sha256,
    }


def _environment_columns(
    environment: RecordedEnvironment, file: ResultFile, declared: Columns
) -> Columns:
    """Return the columns that a recorded environment decides.

    Names that identify the machine keep asv's spelling, so that its series go on: system,
    architecture and processor where asv has them, the GPU where both mean the same card.
    """
    facts = environment.facts
    packages = facts.get("versions")
    versions = {str(k): str(v) for k, v in packages.items()} if isinstance(packages, dict) else {}
    if facts.get("python"):
        versions = {"python": str(facts["python"])} | versions
    names = [*_RECORDED_TEXTS, *(name for name in _IF_UNDECLARED if declared[name] is None)]
    texts = {name: _text(facts.get(name)) for name in names}
    known = {name: text for name, text in texts.items() if text is not None}
    hip = _text(facts.get("hip"))  # of a torch for ROCm
    if hip:
        known["cuda"] = f"HIP {hip}"
    gpu = _text(facts.get("gpu"))
    if gpu and not _is_same_card(declared["gpu"] or "", gpu):
        known["gpu"] = gpu
    actual = {name: versions.get(name.replace("_", "-")) for name in _PACKAGES}
    known |= {name: version for name, version in actual.items() if version is not None}
    if declared["asv_runner"] is None:  # else a recorder would end each series: see `fingerprint`
        known.pop("asv_runner", None)
    return {
        **known,
        **{name: _integer(facts.get(name), most) for name, most in _RECORDED_NUMBERS.items()},
        **{name: as_float(facts.get(name)) for name in _RECORDED_FLOATS},
        **({"python": versions["python"]} if "python" in versions else {}),
        "versions": json.dumps(versions, ensure_ascii=False),
        "is_rocm": hip is not None,  # no column: see `RowBuilder`
        "mismatch": _mismatch(_declared_versions(file, facts), versions),
        "run": environment.run,
    }


def _is_same_card(declared: str, recorded: str) -> bool:
    """Return whether each word of the declared name is in the recorded one."""
    words = declared.lower().split()
    return bool(words) and all(word in recorded.lower().split() for word in words)


def _declared_versions(file: ResultFile, facts: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the declared versions of each package: of an existing environment, those recorded."""
    recorded = facts.get("declared")
    if isinstance(recorded, dict):
        declared = {str(k): [str(v) for v in vs] for k, vs in recorded.items() if vs}
    else:
        declared = {"python": [file.python or ""]}
    return declared | {name: [version or ""] for name, version in file.requirements.items()}


def _mismatch(declared: Mapping[str, Sequence[str]], versions: Mapping[str, str]) -> str | None:
    """Return in what the declared versions differ from those that measured; None if in nothing."""
    differences = []
    for name, allowed in declared.items():
        package = re.sub(r"[-_.]+", "-", name.removeprefix("pip+")).lower()
        actual = versions.get(package)
        wanted = [version for version in allowed if version]
        if actual is None and (package == "python" or not wanted):
            continue
        if actual is not None and (not wanted or any(satisfies(actual, v) for v in wanted)):
            continue
        found = "not installed" if actual is None else f"measured with {actual}"
        differences.append(f"{name}: declared {' or '.join(wanted)}, {found}")
    return "; ".join(differences) or None


def satisfies(actual: str, declared: str) -> bool:
    """Return whether a version is the declared one: "2.13.0+cpu" is "2.13", "2.13.0" and ">=2".

    A declared text that is no version (a URL, a name) counts as satisfied: it cannot be checked.

    >>> [satisfies("2.13.0+cpu", declared) for declared in ("2.13", "2.13.0", ">=2", "2.11.0")]
    [True, True, True, False]
    """
    try:
        installed = Version(actual)
        is_range = declared[:1] in {"<", ">", "=", "!", "~"}
        allowed = SpecifierSet(declared if is_range or not declared else f"=={declared}")
    except (InvalidSpecifier, InvalidVersion):
        return True
    if is_range or allowed.contains(installed, prereleases=True):
        return allowed.contains(installed, prereleases=True)
    with contextlib.suppress(InvalidVersion):  # "2.12.*"
        wanted = Version(declared)
        same = installed.release[: len(wanted.release)] == wanted.release
        return same and wanted.local is None and not installed.is_prerelease
    return False


def _case_columns(case: RecordedCase) -> Columns:
    """Return the columns that a recorded case decides: the GPU's state while it was measured."""
    states = list(case.state.values())
    columns: Columns = {"run": case.run}
    if case.threads is not None:
        columns["threads"] = case.threads
    if not states:
        return columns
    reasons = [state["throttle"] for state in states if isinstance(state.get("throttle"), list)]
    temperatures = _numbers(states, "temperature")
    energies = _numbers(states, "energy")
    return columns | {
        "sm_clock": _median(_numbers(states, "sm_clock")),
        "memory_clock": _median(_numbers(states, "memory_clock")),
        "temperature": max(temperatures, default=None),
        "energy": energies[-1] - energies[0] if len(energies) > 1 else None,
        "throttle": ", ".join(sorted({str(r) for each in reasons for r in each}))
        if reasons
        else None,
        "gpu_states": json.dumps(case.state, ensure_ascii=False),
    }


def _numbers(states: Iterable[Mapping[str, Any]], name: str) -> list[float]:
    values = (as_float(state.get(name)) for state in states)
    return [value for value in values if value is not None]


def _median(values: list[float]) -> float | None:
    return median(values) if values else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _integer(value: Any, limit: int) -> int | None:
    number = as_int(value)
    return number if number is not None and abs(number) < limit else None


def _version_of(package: str, file: ResultFile) -> str | None:
    """Return the pinned version of ``package``: a requirement, or a parameter of that name."""
    for versions in (file.requirements, file.params):
        for name, version in versions.items():
            if name.removeprefix("pip+").replace("-", "_").lower() == package and version:
                return version
    return None


_SIZE = re.compile(r"([\d.]+)\s*([KMGT]?)i?B?", re.IGNORECASE)


def ram_bytes(text: str | None) -> int | None:
    """Return the bytes of "8.2G", "16 GB" or a bare number; None if the text is no size.

    A bare number below 2**30 is in KiB, as older versions of asv wrote it: in bytes it would be
    less than 1 GiB, in KiB it is less than 1 TiB.
    """
    match = _SIZE.fullmatch((text or "").strip())
    number = _number(match[1]) if match else None
    if match is None or number is None:
        return None
    power = " KMGT".index(match[2].upper() or " ")
    if not power and number < 2**30:
        power = 1
    return as_int(float(round(number * 1024**power)))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
