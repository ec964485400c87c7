"""Time per pass of the compiled path, and the memory throughput of each."""

import cProfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from statistics import median

import torch

from benchmarks.roofline.tables import short_name, table
from benchmarks.workloads import workload
from benchmarks.workloads.grid import LLM, LLM_SHAPES, NM, MaskCase, Shape, select

# The function of sparsebench/pruning/kernels/cpu.py that is each pass.
PASSES = {"bracket": "_bracket", "score": "_score", "rank": "_rank", "write": "_write"}


@dataclass(frozen=True)
class PassTimes:
    """Seconds of each pass in PASSES during one case's step; 0 where there is no such pass."""

    case: MaskCase
    seconds: dict[str, float]

    def moved(self, name: str) -> float:
        """Return the bytes that the pass reads and writes, for float32 and complete blocks."""
        weight = 4.0 * self.case.shape[0] * self.case.shape[1]
        keys = weight / (self.case.block[0] * self.case.block[1])
        if name == "score":
            return weight + keys
        return weight + (keys if self.seconds["score"] else weight)


def measure(shape: Shape, rounds: int) -> Iterator[PassTimes]:
    """Measure every pattern of the LLM grid on ``shape``, float32, on one thread."""
    torch.set_num_threads(1)
    for case in select([*LLM, *NM], shape=LLM_SHAPES[0]):
        resized = replace(case, shape=shape)
        step = workload.build(resized).step
        step()
        step()
        profiled = [_seconds(step) for _ in range(rounds)]
        yield PassTimes(
            resized, {name: median(seconds[name] for seconds in profiled) for name in PASSES}
        )


def _seconds(step: Callable[[], object]) -> dict[str, float]:
    profiler = cProfile.Profile()
    profiler.runcall(step)
    spent = {
        entry.code.co_name: entry.totaltime
        for entry in profiler.getstats()
        if not isinstance(entry.code, str) and entry.code.co_filename.endswith("kernels/cpu.py")
    }
    return {name: spent.get(function, 0.0) for name, function in PASSES.items()}


def render(results: list[PassTimes]) -> str:
    """Return a table of milliseconds per pass, and GB/s of those over the weight or the mask."""
    head = "shape level block", *(f"{name} ms" for name in PASSES), "score GB/s", "write GB/s"
    return table(head, map(_row, results))


def _row(result: PassTimes) -> list[str]:
    times = [f"{result.seconds[name] * 1e3:.2f}" for name in PASSES]
    rates = [
        f"{result.moved(name) / result.seconds[name] / 1e9:.1f}" if result.seconds[name] else "-"
        for name in ("score", "write")
    ]
    return [short_name(result.case), *times, *rates]
