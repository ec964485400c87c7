"""LLM shapes: the time of a step in copies of its weight, and its extra memory."""

import ctypes
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import geometric_mean

import torch
from torch import Tensor

from benchmarks.roofline.clock import interleaved_medians
from benchmarks.roofline.tables import short_name, table
from benchmarks.workloads import workload
from benchmarks.workloads.grid import LLM, LLM_SHAPES, NM, MaskCase, Shape, select

_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # proc(5): resets the peak resident set to the current one


@dataclass(frozen=True)
class MeasuredStep:
    """Times and memory of one case, step and copy measured alternately.

    Attributes:
        step, copy: seconds of the step, and of a copy of the weight.
        extra: peak bytes during a step above those before it; None where not measured.
        upstream: seconds of torch.ao.pruning's step; None where not measured.
    """

    case: MaskCase
    dtype: str
    threads: int
    step: float
    copy: float
    extra: int | None
    upstream: float | None

    @property
    def copies(self) -> float:
        """The time of the step, in copies."""
        return self.step / self.copy


def measure(
    shapes: Iterable[Shape],
    dtypes: Iterable[str],
    threads: Iterable[int],
    rounds: int,
    upstream: int,
) -> Iterator[MeasuredStep]:
    """Measure every case of the LLM grid; ``upstream``: rounds of torch.ao.pruning, or 0."""
    for shape in shapes:
        for dtype in dtypes:
            for case in select([*LLM, *NM], shape=LLM_SHAPES[0]):
                resized = replace(case, shape=shape)
                for count in threads:
                    torch.set_num_threads(count)
                    yield _measure_case(resized, dtype, count, rounds, upstream)


def _measure_case(
    case: MaskCase, dtype: str, threads: int, rounds: int, upstream: int
) -> MeasuredStep:
    ours = workload.build(case, dtype=dtype)
    original: Tensor = ours.model.parametrizations["weight"].original  # type: ignore[index,union-attr]  # as Tensor | Module
    target = torch.empty_like(original)
    calls = {"step": ours.step, "copy": lambda: target.copy_(original)}
    times = interleaved_medians(calls, rounds)
    upstream_seconds = None
    if upstream:
        reference = workload.build(case, dtype=dtype, implementation="torch.ao")
        upstream_seconds = interleaved_medians({"step": reference.step}, upstream)["step"]
    extra = peak_bytes(ours.step)
    return MeasuredStep(case, dtype, threads, times["step"], times["copy"], extra, upstream_seconds)


def render(results: list[MeasuredStep]) -> str:
    """Return the table, and the most and mean copies per number of threads."""
    head = "shape level block", "dtype", "thr", "step ms", "copies", "GB/s", "extra", "torch.ao"
    lines = [table(head, map(_row, results))]
    for threads in sorted({result.threads for result in results}):
        copies = [result.copies for result in results if result.threads == threads]
        lines.append(
            f"{threads} threads: at most {max(copies):.2f} copies, "
            f"geometric mean {geometric_mean(copies):.2f}"
        )
    return "\n".join([*lines, _LEGEND])


_LEGEND = """\
thr       threads
copies    time of the step / of torch.Tensor.copy_ of the weight, alternately
GB/s      bytes of the weight and the mask / time of the step
extra     peak resident memory of a step, less that before it / a float32 copy
torch.ao  time of torch.ao.pruning's step / of this step
block 1x4:2 means 2 zeros in each block of 1x4; no number means all elements"""


def _row(result: MeasuredStep) -> list[str]:
    elements = result.case.shape[0] * result.case.shape[1]
    moved = 2 * elements * workload.DTYPES[result.dtype].itemsize
    return [
        short_name(result.case),
        result.dtype,
        str(result.threads),
        f"{result.step * 1e3:.2f}",
        f"{result.copies:.2f}",
        f"{moved / result.step / 1e9:.1f}",
        "-" if result.extra is None else f"{result.extra / elements / 4:.3f}",
        "-" if result.upstream is None else f"{result.upstream / result.step:.0f}x",
    ]


def peak_bytes(call: Callable[[], object]) -> int | None:
    """Return the peak resident bytes during ``call``, less those before it; None off Linux.

    Counts complete pages of this process: PyTorch, NumPy and compiled code. ``call`` runs once
    before. Memory that the allocator holds but does not use is returned to the system first;
    otherwise ``call`` would reuse it unnoticed.
    """
    if not os.access(_CLEAR_REFS, os.W_OK):
        return None
    call()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's; others hold little
    if trim is not None:
        trim(0)
    _CLEAR_REFS.write_text(_RESET_PEAK, encoding="ascii")
    before = _peak_kilobytes()
    call()
    return (_peak_kilobytes() - before) * 1024


def _peak_kilobytes() -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
