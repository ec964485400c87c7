"""Record the versions and the hardware of the process that measures, beside asv's results.

asv stores the versions that its configuration declares, and no GPU. Add this line to the suite's
``__init__.py``, and ``sparsebench ingest`` stores what was really there::

    import sparsebench.recorder

It needs the standard library only; with ``nvidia-ml-py`` it also knows the GPU's clocks and limits.
In an environment without sparsebench, copy this file into the suite's folder instead: asv imports
each module there.

Each process that asv starts adds one line of JSON to ``COMMIT-ENVIRONMENT.recorded.jsonl`` in the
machine's folder of asv's results, unless the same facts were written within the last minute. In an
existing environment asv does not say the commit, and the file is ``ENVIRONMENT.recorded.jsonl``.
"""

from __future__ import annotations  # asv's environments may have an older Python, from 3.9

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FORMAT = 1  # of a line
SUFFIX = ".recorded.jsonl"
# Set by `sparsebench bench`; asv says the commit itself, but not in an existing environment.
RUN, MACHINE, COMMIT = "SPARSEBENCH_RUN", "SPARSEBENCH_MACHINE", "SPARSEBENCH_COMMIT"
WORKER = "SPARSEBENCH_WORKER"  # set by the gate, which keeps records of its own
FRESH_SECONDS = 60.0  # facts that are younger are not written again
LONGEST_NAME = 128  # of an environment; asv's rule for its file names
_CONFIGURATIONS = ("asv.conf.json", "asv.conf.jsonc")
_MEASURING = (["run"], ["run_server"], ["setup_cache"])  # commands of asv's own processes
_STRING_OR_COMMENT = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', re.DOTALL)
_STRING_OR_COMMA = re.compile(r'("(?:\\.|[^"\\])*")|,\s*([\]}])')  # a comma before a bracket
_VARYING = ("time", "run", "pid", "load_average")

# Bits of NVML's "clocks event reasons" that slow a GPU down; idle and set clocks do not.
_THROTTLE_REASONS = {
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x20: "thermal, software",
    0x40: "thermal, hardware",
    0x80: "power brake",
}

Facts = dict[str, Any]


def record(threads: int | None = None) -> Path | None:
    """Write this process's facts beside asv's results; return the file, or None outside asv.

    Args:
        threads: that the suite sets; None: as found in ``OMP_NUM_THREADS``, else all processors.

    A folder that cannot be written to gives a line on stderr: measuring goes on.
    """
    path = None if WORKER in os.environ else recording_path()
    if path is None:
        return None
    if _commit() is None and hasattr(os, "register_at_fork"):
        # Only by its time is it known which run a line of an existing environment is of.
        os.register_at_fork(after_in_child=lambda: _record_again(path, threads))
    facts = environment_facts(threads)
    try:
        if not _is_fresh(path, facts):
            append(path, facts)
    except OSError as error:
        print(f"{path}: cannot be written: {error.strerror}", file=sys.stderr)  # noqa: T201  # asv's log
        return None
    return path


def _record_again(path: Path, threads: int | None) -> None:
    """Write a benchmark's process, if the file's last line is no longer young."""
    with contextlib.suppress(Exception):  # in a process that is somebody else's
        if time.time() - path.stat().st_mtime >= FRESH_SECONDS:
            append(path, environment_facts(threads))


def append(path: Path, line: Facts) -> None:
    """Add one line of JSON; a single write, so that processes may add to one file at once.

    It begins a line of its own also after one that was cut off.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(line, ensure_ascii=False) + "\n"
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.lseek(descriptor, size - 1, 0) >= 0 and os.read(descriptor, 1) != b"\n":
            text = "\n" + text
        os.write(descriptor, text.encode("utf-8", "replace"))
    finally:
        os.close(descriptor)


def recording_path() -> Path | None:
    """Return the file of this run's commit and environment; None if asv measures nothing here.

    None too if asv has not yet made the machine's folder.
    """
    root = _project()
    if root is None:
        return None
    results = _results_folder(root)
    folder = results / os.environ[MACHINE] if os.environ.get(MACHINE) else _newest_machine(results)
    return None if folder is None else folder / file_name(_commit(), _env_name())


def _project() -> Path | None:
    """Return the folder of the configuration that asv measures by; None in another process.

    asv sets a variable, but not in an existing environment: there only the command line shows it.
    """
    command = sys.argv[1:2]
    if command in (["discover"], ["check"]):
        return None
    if "ASV_CONF_DIR" in os.environ:
        return Path(os.environ["ASV_CONF_DIR"])
    if Path(sys.argv[0]).name != "benchmark.py" or command not in _MEASURING or not sys.argv[2:]:
        return None
    benchmarks = Path(sys.argv[2])
    found = next((folder for folder in benchmarks.parents if _configuration_file(folder)), None)
    if found is None:
        text = f"{benchmarks}: nothing is recorded: no {' or '.join(_CONFIGURATIONS)} above it"
        print(text, file=sys.stderr)  # noqa: T201  # asv's log
    return found


def _configuration_file(folder: Path) -> Path | None:
    paths = (folder / name for name in _CONFIGURATIONS)
    return next((path for path in paths if path.is_file()), None)


def _commit() -> str | None:
    return os.environ.get("ASV_COMMIT") or os.environ.get(COMMIT)


def _env_name() -> str:
    """Return asv's name of the environment; that of an existing one is its interpreter's path."""
    name = os.environ.get("ASV_ENV_NAME")
    return name or "existing-py" + re.sub(r'[<>:"/^|?*\x00-\x1f]', "_", sys.executable)


def file_name(commit: str | None, env_name: str) -> str:
    """Return the name of the file beside asv's own of the same commit and environment.

    An existing environment has no commit that asv would know of; its lines have none either.

    >>> file_name("0123456789abcdef", "virtualenv-py3.11")
    '01234567-virtualenv-py3.11.recorded.jsonl'
    """
    if len(env_name) >= LONGEST_NAME:
        env_name = "env-" + hashlib.md5(env_name.encode(), usedforsecurity=False).hexdigest()
    return "-".join([commit[:8], env_name] if commit else [env_name]) + SUFFIX


def _configuration(root: Path) -> Facts:
    """Return asv's configuration, which is JSON with comments; empty if it cannot be read."""
    try:
        text = (_configuration_file(root) or root).read_text(encoding="utf-8")
        text = re.sub(_STRING_OR_COMMENT, lambda match: match[1] or " ", text)
        found = json.loads(re.sub(_STRING_OR_COMMA, lambda match: match[1] or match[2], text))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _results_folder(root: Path) -> Path:
    return root / str(_configuration(root).get("results_dir") or "results")


def _declared() -> dict[str, list[str]] | None:
    """Return the packages and versions in asv's matrix, for an existing environment; else None.

    Into the result file of such an environment asv writes none.
    """
    root = _project()
    if root is None or not _env_name().startswith("existing-"):
        return None
    matrix: Any = _configuration(root).get("matrix") or {}
    packages: Any = matrix.get("req", matrix) or {}
    return {
        str(name): [str(v) for v in (versions if isinstance(versions, list) else [versions]) if v]
        for name, versions in packages.items()
        if not name.startswith(("env", "@"))
    }


def _newest_machine(results: Path) -> Path | None:
    """Return the folder whose machine.json is the newest: asv writes it as each run begins."""
    ages = []
    for path in results.glob("*/machine.json"):
        with contextlib.suppress(OSError):
            ages.append((path.stat().st_mtime_ns, path.parent))
    return max(ages)[1] if ages else None


def _is_fresh(path: Path, facts: Facts) -> bool:
    """Return whether the file's last line has the same facts and is young."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        entries = (json.loads(text) for text in reversed(lines))
        last = next(entry for entry in entries if entry["kind"] == facts["kind"])
    except (OSError, ValueError, KeyError, TypeError, StopIteration):
        return False
    same = all(last.get(key) == value for key, value in facts.items() if key not in _VARYING)
    is_young = facts["time"] - last["time"] < FRESH_SECONDS * 1e3
    return same and is_young and last.get("run") == facts["run"]


def environment_facts(threads: int | None = None) -> Facts:
    """Return what is known of this process, its machine and its packages; None where unknown.

    Times are milliseconds since 1970, sizes bytes, clocks MHz, powers watts, temperatures degrees
    Celsius. ``versions`` has each installed distribution with its build tag ("2.13.0+cpu").
    """
    torch = _torch_build()
    return {
        "kind": "environment",
        "format": FORMAT,
        "time": time.time_ns() // 1_000_000,
        "run": os.environ.get(RUN),
        "pid": os.getpid(),
        "host": platform.node(),
        "machine": os.environ.get(MACHINE),
        "commit": _commit(),
        "env_name": _env_name(),
        "declared": _declared(),
        "python": platform.python_version(),
        "versions": _versions(),
        "cuda": torch.get("cuda"),
        "hip": torch.get("hip"),
        "os": f"{platform.system()} {platform.release()}",
        "arch": platform.machine(),
        **_processor(),
        "threads": threads or _default_threads(),
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        **_container_limits(),
        **gpu_facts(),
    }


def _versions() -> dict[str, str]:
    versions: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        with contextlib.suppress(Exception):  # a damaged installation has no name or version
            name = distribution.metadata["Name"]
            versions.setdefault(re.sub(r"[-_.]+", "-", name).lower(), str(distribution.version))
    return dict(sorted(versions.items()))


def _torch_build() -> dict[str, str]:
    """Return the CUDA or HIP version that torch was built for, without importing torch."""
    with contextlib.suppress(Exception):  # a suite without torch, or with a damaged one
        spec = importlib.util.find_spec("torch")
        folders = list(spec.submodule_search_locations or []) if spec else []
        text = (Path(folders[0]) / "version.py").read_text(encoding="utf-8")
        return dict(re.findall(r"(?m)^(cuda|hip)\b[^=\n]*=\s*['\"](.+?)['\"]", text))
    return {}


def _processor() -> Facts:
    info = _text("/proc/cpuinfo") or ""
    model = re.search(r"(?m)^model name\s*:\s*(.+)$", info)
    flags = re.search(r"(?m)^(?:flags|Features)\s*:\s*(.+)$", info)
    return {
        "cpu": model[1].strip() if model else platform.processor() or None,
        "cpu_flags": " ".join(sorted(flags[1].split())) if flags else None,
        "governor": _text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
    }


def _default_threads() -> int | None:
    declared = os.environ.get("OMP_NUM_THREADS", "")
    return int(declared) if declared.isdecimal() and int(declared) else _processors()


def _processors() -> int | None:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _container_limits() -> Facts:
    """Return the processors and the memory that the control group allows; None without a limit."""
    quota, _, period = (_text("/sys/fs/cgroup/cpu.max") or "").partition(" ")  # version 2
    if not quota:
        quota = _text("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") or ""
        period = _text("/sys/fs/cgroup/cpu/cpu.cfs_period_us") or ""
    memory = _text("/sys/fs/cgroup/memory.max")
    memory = memory or _text("/sys/fs/cgroup/memory/memory.limit_in_bytes") or ""
    limited = quota.isdecimal() and period.isdecimal() and int(period)
    return {
        "cpu_limit": int(quota) / int(period) if limited else None,
        # version 1 writes the largest multiple of a page for "no limit"
        "memory_limit": int(memory) if memory.isdecimal() and int(memory) < 1 << 60 else None,
    }


def gpu_facts() -> Facts:
    """Return the first visible GPU and the number of visible ones; no CUDA context is made."""
    facts: Facts = dict.fromkeys(
        ["gpu", "gpu_count", "gpu_capability", "gpu_memory", "driver", "power_limit"]
    )
    nvml = _nvml()
    if nvml is None:
        return facts | _driver_files()
    with contextlib.suppress(Exception):  # NVML's errors; what is not supported stays unknown
        facts["driver"] = _as_text(nvml.nvmlSystemGetDriverVersion())
        handles = _visible(nvml)
        facts["gpu_count"] = len(handles)
        if handles:
            first = handles[0]
            facts["gpu"] = _as_text(nvml.nvmlDeviceGetName(first))
            facts["gpu_memory"] = int(nvml.nvmlDeviceGetMemoryInfo(first).total)
            major, minor = nvml.nvmlDeviceGetCudaComputeCapability(first)
            facts["gpu_capability"] = f"{major}.{minor}"
            facts["power_limit"] = nvml.nvmlDeviceGetEnforcedPowerLimit(first) / 1e3
    return facts


def gpu_state() -> Facts | None:
    """Return the first visible GPU's clocks, temperature, power, energy and throttle reasons now.

    None without ``nvidia-ml-py`` or a GPU. ``energy`` is in joules since the driver was loaded.
    """
    nvml = _nvml()
    try:
        handle = _visible(nvml)[0] if nvml else None
    except Exception:  # noqa: BLE001  # NVML's errors
        handle = None
    if nvml is None or handle is None:
        return None
    queries: dict[str, Callable[[], Any]] = {
        "sm_clock": lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM),
        "memory_clock": lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM),
        "temperature": lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU),
        "power": lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1e3,
        "energy": lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3,
        "throttle": lambda: throttle_reasons(
            nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)
        ),
    }
    state: Facts = {}
    for name, query in queries.items():
        try:
            state[name] = query()
        except Exception:  # noqa: BLE001  # not supported by this card
            state[name] = None
    return state


def throttle_reasons(bits: int) -> list[str]:
    """Return the names of the reasons in NVML's bit set that slow the GPU down.

    >>> throttle_reasons(0x1), throttle_reasons(0x24)
    ([], ['power cap', 'thermal, software'])
    """
    return [name for bit, name in _THROTTLE_REASONS.items() if bits & bit]


def _nvml() -> Any:
    """Return the module pynvml, ready for queries; None without it or without a driver."""
    try:
        import pynvml  # optional

        pynvml.nvmlInit()
    except Exception:  # noqa: BLE001  # not installed, no driver, no permission
        return None
    return pynvml


def _visible(nvml: Any) -> list[Any]:
    """Return NVML's handles of the GPUs that CUDA shows to this process, in its order."""
    count = nvml.nvmlDeviceGetCount()
    names = os.environ.get("CUDA_VISIBLE_DEVICES")
    if names is None:
        return [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(count)]
    handles = []
    for name in filter(None, (part.strip() for part in names.split(","))):
        if name.isdecimal() and int(name) < count:
            handles.append(nvml.nvmlDeviceGetHandleByIndex(int(name)))
        elif name.startswith(("GPU-", "MIG-")):
            handles.append(nvml.nvmlDeviceGetHandleByUUID(name))
        else:
            break  # CUDA ignores what follows an invalid one
    return handles


def _driver_files() -> Facts:
    """Return what the NVIDIA driver's files say of the GPUs, without NVML; empty without any."""
    text = _text("/proc/driver/nvidia/version") or ""
    version = re.search(r"Kernel Module.*?\s(\d+\.[\d.]+)", text)
    if not version:
        return {}
    cards = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    models = [
        match[1].strip()
        for card in cards
        if (match := re.search(r"(?m)^Model:\s*(.+)$", _text(str(card)) or ""))
    ]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and not visible.strip():
        models = []
    return {"driver": version[1], "gpu": models[0] if models else None, "gpu_count": len(models)}


def _text(path: str) -> str | None:
    """Return the content of a file without spaces around it; None if it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def _as_text(value: bytes | str) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


if __name__ != "sparsebench_suite_recorder":  # our own suite calls it with its number of threads
    record()
