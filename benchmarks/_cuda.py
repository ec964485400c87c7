"""The CUDA cases of a class, measured together in one process.

Under asv each CUDA process costs 1 to 2 s, most of it for the context, so a process per case and
quantity would take hours for the grid. Here asv's ``setup_cache`` measures all cases of a class in
one forked process, and the ``track_*`` of the class return the numbers. Each case is written to the
recording beside asv's results as it ends, with its samples. Its wall time is stored under the name
of the CPU's series, so that the two can be compared.

A case that fails is a failed case; if it damages the process (a CUDA error stays in its context) or
hangs, another process measures the cases that are left.

asv does not tell ``setup_cache`` which cases were selected: plain ``asv run`` measures all cases of
a class of which it runs one. `sparsebench bench` says it in SPARSEBENCH_SELECT.
"""

import ctypes
import itertools
import os
import re
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, Final

import torch
from torch import Tensor

from benchmarks._recorder import recorder
from benchmarks._shared import THREADS
from benchmarks.workloads import digest, timing
from benchmarks.workloads.devices import synchronize
from benchmarks.workloads.memory import temporary_memory

SELECT: Final = "SPARSEBENCH_SELECT"  # a pattern that is searched in asv's "name(parameters)"
VERSION: Final = "1"  # of the way of measuring; times before and after another one are not compared
CASE_SECONDS: Final = 60.0  # longer cases are ended
MOST_DEAD: Final = 3  # processes in a row that end in their first case; then the device is broken
KILL_WITH_PARENT: Final = 1  # prctl's PR_SET_PDEATHSIG
SETUP_SECONDS: Final = 1200  # for all cases of a class

Case = tuple[Any, ...]
Line = dict[str, Any]
Results = dict[Case, dict[str, Any]]  # per case: quantity to number, or to an error's text


@dataclass(frozen=True)
class Prepared:
    """A case that is ready to be measured.

    Attributes:
        call: what is timed; it does not wait for the device.
        mask: returns the mask that ``call`` has computed; None if it computes none.
        queues: whether the call leaves all work to the device, so that device time can be measured.
    """

    call: timing.Call
    mask: Callable[[], Tensor] | None = None
    queues: bool = True


@dataclass(frozen=True)
class _Quantity:
    """A number that is measured of a case.

    Attributes:
        name: its track is "track_" + name.
        type: asv's type of the stored series.
        unit: as asv writes it.
        of_cpu_class: the method of the CPU's class under whose name it is stored; None: under its
            track's own name. The wall time is stored under the class's time method.
    """

    name: str
    type: str
    unit: str
    of_cpu_class: str | None = None


WALL: Final = _Quantity("wall", "time", "seconds")
QUANTITIES: Final = {
    quantity.name: quantity
    for quantity in (
        WALL,
        _Quantity("device_cold", "track", "seconds"),
        _Quantity("device_warm", "track", "seconds"),
        _Quantity("digest", "track", "sha256/48", "track_digest"),
        _Quantity("measured_sparsity", "track", "fraction", "track_measured_sparsity"),
        _Quantity("temporary_memory", "track", "bytes", "track_temporary_memory"),
    )
}


class _OnCUDA:
    """Returns to asv what ``setup_cache`` measured; subclasses define that, and ``params``."""

    param_names: list[str] = []
    params: tuple[Sequence[Any], ...] = ()

    def setup(self, results: Results, *case: Any) -> None:
        if case not in results:
            raise NotImplementedError("not selected")
        self.result = results[case]

    def track_wall(self, results: Results, *case: Any) -> float:
        """Median seconds of a call, until its work is done."""
        return number(self.result, "wall")

    def track_device_cold(self, results: Results, *case: Any) -> float:
        """Median seconds on the device; the L2 cache is overwritten before each call."""
        return number(self.result, "device_cold")

    def track_device_warm(self, results: Results, *case: Any) -> float:
        """Median seconds on the device, right after another call."""
        return number(self.result, "device_warm")

    track_wall.unit = "seconds"  # type: ignore[attr-defined]  # asv's way to give a unit
    track_device_cold.unit = "seconds"  # type: ignore[attr-defined]  # as above
    track_device_warm.unit = "seconds"  # type: ignore[attr-defined]  # as above


class _StepOnCUDA(_OnCUDA):
    """Also the digest of the mask."""

    def track_digest(self, results: Results, *case: Any) -> float:
        """The first 48 bits of the mask's digest."""
        return number(self.result, "digest")

    track_digest.unit = "sha256/48"  # type: ignore[attr-defined]  # as above


class _HostStepOnCUDA:
    """A step that waits for the device: its wall time and digest."""

    param_names: list[str] = []
    params: tuple[Sequence[Any], ...] = ()
    setup = _OnCUDA.setup
    track_wall = _OnCUDA.track_wall
    track_digest = _StepOnCUDA.track_digest


def number(result: dict[str, Any], quantity: str) -> float:
    """Return a measured number; raise with the reason if it was not measured."""
    value = result.get(quantity, result.get("error", "it was not measured"))
    if isinstance(value, str):
        raise RuntimeError(value)
    return float(value)


def measure(cls: type, device: str) -> Results:
    """Measure the selected cases of a benchmark class on ``device``, in a process of their own.

    Args:
        cls: has ``param_names`` with "device", ``params``, ``timed`` (the name of its time method)
            and ``prepare``, which returns a `Prepared` for the parameters of a case.
        device: takes the place of the class's devices.
    """
    todo = tuple(selected(cls, device))
    results: Results = {}
    dead = 0
    while todo:
        measured = 0
        for case, lines in _in_process(cls, device, todo):
            for line in lines:
                _write(line)
            results[case] = _numbers(lines)
            measured += 1
        todo = todo[measured:]
        dead = dead + 1 if measured <= 1 else 0
        if todo and dead == MOST_DEAD:
            reason = f"not measured: {dead} processes in a row failed in their first case"
            for case in todo:
                _write(_failure(cls, case, reason))
                results[case] = {"error": reason}
            break
    return results


def selected(cls: type, device: str) -> Iterator[Case]:
    """Yield the cases of ``cls`` on ``device`` that SPARSEBENCH_SELECT selects; without it all."""
    pattern = re.compile(os.environ.get(SELECT, ""))
    names = [f"{_class_name(cls)}CUDA.track_{quantity}" for quantity in QUANTITIES]
    for case in itertools.product(*params_on(cls, device)):
        text = ", ".join(map(repr, case))
        if any(pattern.search(f"{name}({text})") for name in names):
            yield case


def params_on(cls: Any, device: str) -> tuple[Sequence[Any], ...]:
    """Return the parameters of a class with ``device`` in place of its devices."""
    return tuple(
        [device] if name == "device" else values
        for name, values in zip(cls.param_names, cls.params, strict=True)
    )


def _in_process(cls: type, device: str, cases: Sequence[Case]) -> Iterator[tuple[Case, list[Line]]]:
    """Yield lines per case, until one ends or damages the process; that one has them too."""
    context = get_context("fork")  # CUDA has not been started in this process
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure_all, args=(cls, device, cases, sender), daemon=True)
    process.start()
    sender.close()
    try:
        for case in cases:
            try:
                if not receiver.poll(CASE_SECONDS):
                    yield case, [_failure(cls, case, f"timed out after {CASE_SECONDS:g} s")]
                    return
                measured, lines, healthy = receiver.recv()
            except EOFError:
                process.join()
                reason = f"its process ended with exit code {process.exitcode}"
                yield case, [_failure(cls, case, reason)]
                return
            assert measured == case
            yield case, lines
            if not healthy:
                return
    finally:
        process.kill()
        process.join()
        receiver.close()


def _measure_all(cls: type, device: str, cases: Sequence[Case], sender: Connection) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(KILL_WITH_PARENT, signal.SIGKILL)
    torch.set_num_threads(THREADS)
    if device == "cuda":
        _record_gpu()
    for case in cases:
        try:
            lines, healthy = _measure_case(cls, case, device), True
        except Exception as error:  # noqa: BLE001  # of whatever is measured: it fails one case
            traceback.print_exc()
            lines, healthy = [_failure(cls, case, _one_line(error))], _is_healthy(device)
        sender.send((case, lines, healthy))
        if not healthy:
            return


def _record_gpu() -> None:
    """Record what torch knows of the GPU, unless the recorder knows more without it, by NVML."""
    facts = recorder.environment_facts(THREADS)
    if facts["gpu_capability"] is not None:
        return
    try:
        gpu = torch.cuda.get_device_properties(torch.cuda.current_device())
    except RuntimeError:  # the cases will say why
        return
    known = {
        "gpu": gpu.name,
        "gpu_count": torch.cuda.device_count(),
        "gpu_capability": f"{gpu.major}.{gpu.minor}",
        "gpu_memory": gpu.total_memory,
    }
    _write(facts | {name: value for name, value in known.items() if facts[name] is None})


def _is_healthy(device: str) -> bool:
    """Return whether the device still computes; after some errors no call works."""
    try:
        synchronize(device)
        return bool(torch.ones(1, device=device).item() == 1.0)
    except RuntimeError:
        return False


def _measure_case(cls: Any, case: Case, device: str) -> list[Line]:
    """Measure all quantities of a case; each is a line of the recording."""
    start = time.time()
    before = time.perf_counter()
    prepared: Prepared = cls.prepare(*case)
    state = {"start": recorder.gpu_state() if device == "cuda" else None}
    samples: dict[str, tuple[list[float], dict[str, str]]] = {}
    errors: dict[str, str] = {}
    samples["wall"] = timing.wall_times(prepared.call, device), {"timer": "wall"}
    state["during"] = recorder.gpu_state() if device == "cuda" else None
    if device == "cuda" and prepared.queues:
        timer = timing.DeviceTimer(prepared.call)
        for name, cold in (("device_cold", True), ("device_warm", False)):
            try:
                samples[name] = timer.times(cold=cold), {"timer": timer.method}
            except timing.HostWaitsError as error:
                errors[name] = str(error)
    found = None
    if prepared.mask is not None:
        prepared.call()
        mask = prepared.mask()
        found = digest.digest(mask)
        samples["digest"] = [digest.tracked(mask)], {}
        samples["measured_sparsity"] = [1.0 - float((mask != 0).double().mean())], {}
        if device == "cuda":
            samples["temporary_memory"] = [temporary_memory(prepared.call, device)], {}
    state["end"] = recorder.gpu_state() if device == "cuda" else None
    lines = [_line(cls, case, name, values, how) for name, (values, how) in samples.items()]
    lines += [_line(cls, case, name, [], {}) | {"error": text} for name, text in errors.items()]
    common = {
        "time": round(start * 1e3),
        "duration": time.perf_counter() - before,
        "digest": found,
        "state": {name: each for name, each in state.items() if each is not None},
    }
    return [line | common for line in lines]


def _line(
    cls: Any, case: Case, name: str, values: Sequence[float], settings: dict[str, str]
) -> Line:
    """Return the line of one quantity; see `sparsebench.results.asv.recordings`."""
    quantity = QUANTITIES[name]
    method = cls.timed if quantity is WALL else quantity.of_cpu_class
    tracked = f"{_class_name(cls)}CUDA.track_{name}"
    return {
        "kind": "case",
        "format": recorder.FORMAT,
        "time": time.time_ns() // 1_000_000,
        "run": os.environ.get(recorder.RUN),
        "benchmark": f"{_class_name(cls)}.{method}" if method else tracked,
        "asv_name": tracked,
        "type": quantity.type,
        "unit": quantity.unit,
        "param_names": list(cls.param_names),
        "params": [repr(value) for value in case],
        "values": list(values),
        "sampled": quantity.unit == "seconds",
        "version": VERSION,
        "duration": None,
        "settings": settings,
        "digest": None,
        "error": None,
        "threads": THREADS,
        "state": {},
    }


def _failure(cls: Any, case: Case, reason: str) -> Line:
    """Return the line of a case of which nothing was measured: its wall time failed."""
    return _line(cls, case, "wall", [], {}) | {"error": reason}


def _numbers(lines: Sequence[Line]) -> dict[str, Any]:
    """Return what asv's tracks return: per quantity the median, or an error's text."""
    numbers: dict[str, Any] = {}
    for line in lines:
        values = sorted(line["values"])
        middle = len(values) // 2
        name = line["asv_name"].rpartition("track_")[2]
        numbers[name] = (values[middle] + values[~middle]) / 2 if values else line["error"]
        if name == "wall" and not values:
            numbers["error"] = line["error"]
    return numbers


def _write(line: Line) -> None:
    """Add a line to the recording; outside asv and `scripts/gpu` there is none."""
    if path := recorder.recording_path():
        recorder.append(path, line)


def _class_name(cls: type) -> str:
    """Return asv's name of a class, "step.Long"; that of a hidden class without its "_"."""
    module = cls.__module__.removeprefix("benchmarks.")
    return f"{module}.{cls.__name__.removeprefix('_')}"


def _one_line(error: BaseException) -> str:
    text = (str(error).strip().splitlines() or [""])[0][:300]
    return type(error).__name__ + (f": {text}" if text else "")
