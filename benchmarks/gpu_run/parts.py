"""What a run consists of: each part is a process with a time limit."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final, TextIO

LEAST_SECONDS: Final = 5.0  # with less time left, a part is not begun
_KILL_WITH_PARENT: Final = 1  # prctl's PR_SET_PDEATHSIG
ENDING_SECONDS: Final = 5.0  # for a process that was asked to end

_OF_THE_GATE: Final = (
    *("asv", "asv_runner", "click", "packaging", "rich"),
    *("matplotlib", "pandas", "pyarrow", "scipy", "seaborn"),
)
_PYTHON: Final = (sys.executable, "-W", "ignore")


@dataclass(frozen=True)
class Part:
    """One part of a run.

    Attributes:
        name: as it is printed.
        command: what is run.
        seconds: after which it is ended; what it has saved is kept.
        checks: whether exit code 1 means that something is wrong with the masks.
        records: whether it writes to the recording; others must not find its folder.
        needs: modules without which it is left out.
    """

    name: str
    command: tuple[str, ...]
    seconds: float
    checks: bool = False
    records: bool = True
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """How a part ended.

    Attributes:
        state: "done", "cut off", "left out", "differs" or "failed".
        text: its last line, or why it was not run.
        seconds: that it took.
    """

    part: Part
    state: str
    text: str
    seconds: float = 0.0


def parts(device: str) -> list[Part]:
    """Return the parts, the most important first."""
    paths = ["triton", "torch"] if device == "cuda" else ["compiled", "torch"]
    own = ["floor.Copy", "step.Short", "step.Long"]
    beside = [_measure(name, "cpu", 60) for name in own] if device == "cuda" else []
    half = ["breakeven._MatmulHalf"] if device == "cuda" else []
    return [
        *(_verify(device, path) for path in paths),
        *(_measure(name, device, 90) for name in own),
        *beside,
        *(_measure(name, device, 60) for name in ("reference.Short", "reference.Long", "step.LLM")),
        *(_measure(name, device, 90) for name in ("breakeven.Mask", *half, "breakeven.Matmul")),
        _gate(device),
        _measure("reference.LLM", device, 60),
        *(
            _measure(name, "cpu", 60)
            for name in ("step.LLM", "reference.Long", "breakeven.Mask", "breakeven.Matmul")
            if device == "cuda"
        ),
    ]


def _verify(device: str, path: str) -> Part:
    options = ("--device", device, "--implementation", path, "--seconds", "45")
    grids = ("--grid", "short", "--grid", "long", "--grid", "llm")
    command = (*_PYTHON, "-m", "tests.golden", *options, *grids)
    needs = {"compiled": ("numba",), "triton": ("triton",)}.get(path, ())
    name = f"golden digests on {device}, {path}"
    return Part(name, command, 75.0, checks=True, records=False, needs=needs)


def _measure(name: str, device: str, seconds: float) -> Part:
    command = (*_PYTHON, "-m", "benchmarks.gpu_run.measure", name, device)
    return Part(f"{name.replace('._', '.')} on {device}", command, seconds)


def _gate(device: str) -> Part:
    options = ("--python", sys.executable, "--device", device, "--runs", "1", "--tries", "0")
    cases = ("--bench", "step.Short.time_step.*float32.*random", "--budget", "40s")
    command = (*_PYTHON, "-m", "sparsebench", "calibrate", *options, *cases)
    name = f"gate of equal code (A/A) on {device}"
    return Part(name, command, 75.0, records=False, needs=_OF_THE_GATE)


def run_all(
    todo: list[Part], seconds: float, folder: Path, variables: Mapping[str, str]
) -> Iterator[Outcome]:
    """Run the parts one after the other until the time is over; yield how each ended.

    Args:
        todo: in order.
        seconds: for all of them.
        folder: the output of all parts is appended to ``log.txt`` in it.
        variables: environment variables of the parts that record.
    """
    end = time.monotonic() + seconds
    for part in todo:
        left = end - time.monotonic()
        if left < LEAST_SECONDS:
            yield Outcome(part, "left out", "the time was over")
            continue
        if lacking := [name for name in part.needs if find_spec(name) is None]:
            yield Outcome(part, "left out", f"needs {', '.join(lacking)}; see --wheels")
            continue
        own = {**os.environ, **(variables if part.records else {})}
        with (folder / "log.txt").open("a+", encoding="utf-8", errors="replace") as log:
            yield _run(part, min(part.seconds, left), log, own)


def _run(part: Part, limit: float, log: TextIO, variables: Mapping[str, str]) -> Outcome:
    print(f"$ {part.name}", file=log, flush=True)
    begun, start = log.tell(), time.monotonic()
    with subprocess.Popen(
        part.command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=dict(variables),
        start_new_session=True,
        preexec_fn=_end_with_parent,  # noqa: PLW1509  # this process has one thread
    ) as process:
        try:
            code: int | None = process.wait(limit)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end(process)
    log.seek(begun)
    lines = [line.strip() for line in log.read().splitlines() if line.strip()]
    text = lines[-1] if lines else "it printed nothing"
    seconds = time.monotonic() - start
    if code is None:
        return Outcome(part, "cut off", f"after {limit:.0f} s; what was measured is kept", seconds)
    if code == 0:
        return Outcome(part, "done", text, seconds)
    if code == 1 and part.checks:
        return Outcome(part, "differs", text, seconds)
    return Outcome(part, "failed", f"{text} (exit code {code})", seconds)


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_KILL_WITH_PARENT, signal.SIGKILL)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the process and what it started, also if this process is being ended."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        try:
            process.wait(ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            continue
