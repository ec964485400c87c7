"""LLM shapes: a step's time in copies of its tensor, and the memory that it takes besides."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from benchmarks.roofline.clock import by_turns
from benchmarks.roofline.resident import peak_bytes
from benchmarks.roofline.tables import geometric_mean, short_name, table
from benchmarks.workloads import workload
from benchmarks.workloads.grid import LLM, LLM_SHAPES, NM, Case, Shape, select


@dataclass(frozen=True)
class Measured:
    """One case: seconds of its step and of a copy of its weight, taken by turns.

    Attributes:
        extra: bytes at the peak of a step above those before it; None where that is not measured.
        upstream: seconds of torch.ao.pruning's step; None where it was not asked for.
    """

    case: Case
    dtype: str
    threads: int
    step: float
    copy: float
    extra: int | None
    upstream: float | None

    @property
    def copies(self) -> float:
        """The step in copies."""
        return self.step / self.copy


def measured(
    shapes: Iterable[Shape],
    dtypes: Iterable[str],
    threads: Iterable[int],
    rounds: int,
    upstream: int,
) -> Iterator[Measured]:
    """Every case of the LLM grid, as it is measured; ``upstream``: rounds of torch.ao, or 0."""
    for shape in shapes:
        for dtype in dtypes:
            for case in _cases(shape):
                for number in threads:
                    torch.set_num_threads(number)
                    yield _measure(case, dtype, number, rounds, upstream)


def _cases(shape: Shape) -> list[Case]:
    return [replace(case, shape=shape) for case in select([*LLM, *NM], shape=LLM_SHAPES[0])]


def _measure(case: Case, dtype: str, threads: int, rounds: int, upstream: int) -> Measured:
    ours = workload.build(case, dtype=dtype)
    original: Tensor = ours.model.parametrizations["weight"].original  # type: ignore[index,union-attr]  # as Tensor | Module
    target = torch.empty_like(original)
    calls = {"step": ours.step, "copy": lambda: target.copy_(original)}
    times = by_turns(calls, rounds)
    theirs = None
    if upstream:
        reference = workload.build(case, dtype=dtype, implementation="torch.ao")
        theirs = by_turns({"step": reference.step}, upstream)["step"]
    extra = peak_bytes(ours.step)
    return Measured(case, dtype, threads, times["step"], times["copy"], extra, theirs)


def rendered(results: list[Measured]) -> str:
    """A table, and what is worst of each number of threads."""
    head = "shape level block", "dtype", "thr", "step ms", "copies", "GB/s", "extra", "torch.ao"
    lines = [table(head, map(_row, results))]
    for threads in sorted({result.threads for result in results}):
        copies = [result.copies for result in results if result.threads == threads]
        lines.append(
            f"{threads} threads: {max(copies):.2f} copies at most, "
            f"geometric mean {geometric_mean(copies):.2f}"
        )
    return "\n".join([*lines, _LEGEND])


_LEGEND = """\
thr       threads
copies    step / torch.Tensor.copy_ of the weight, taken by turns
GB/s      weight read once and mask written once, over the step's time
extra     peak resident memory above that before, over a float32 copy's
torch.ao  its step's time / ours
block 1x4:2 is 2 zeros in each block of 1x4; no number: the whole block"""


def _row(result: Measured) -> list[str]:
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
