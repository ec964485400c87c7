"""Time per pass of the compiled path, and how fast each of them moves its bytes."""

import cProfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from statistics import median

import torch

from benchmarks.roofline.tables import short_name, table
from benchmarks.workloads import workload
from benchmarks.workloads.grid import LLM, LLM_SHAPES, NM, Case, Shape, select

# The functions of sparsebench/pruning/kernels/cpu.py that are a pass each.
PASSES = {"bracket": "_bracket", "score": "_score", "rank": "_ranked", "write": "_write"}


@dataclass(frozen=True)
class Passes:
    """Seconds of each pass of one case's step, by the names in PASSES; 0 where it makes none."""

    case: Case
    seconds: dict[str, float]

    def moved(self, name: str) -> float:
        """Bytes that the pass reads and writes, of a float32 weight without zeros in a block."""
        weight = 4.0 * self.case.shape[0] * self.case.shape[1]
        keys = weight / (self.case.block[0] * self.case.block[1])
        if name == "score":
            return weight + keys
        return weight + (keys if self.seconds["score"] else weight)


def measured(shape: Shape, rounds: int) -> Iterator[Passes]:
    """Every pattern of the LLM grid on ``shape``, float32, on one thread."""
    torch.set_num_threads(1)
    for case in select([*LLM, *NM], shape=LLM_SHAPES[0]):
        here = replace(case, shape=shape)
        step = workload.build(here).step
        step()
        step()
        profiled = [_seconds(step) for _ in range(rounds)]
        yield Passes(here, {name: median(each[name] for each in profiled) for name in PASSES})


def _seconds(step: Callable[[], object]) -> dict[str, float]:
    profiler = cProfile.Profile()
    profiler.runcall(step)
    spent = {
        e.code.co_name: e.totaltime
        for e in profiler.getstats()
        if not isinstance(e.code, str) and e.code.co_filename.endswith("kernels/cpu.py")
    }
    return {name: spent.get(function, 0.0) for name, function in PASSES.items()}


def rendered(results: list[Passes]) -> str:
    """Milliseconds a pass, and GB/s of the two that pass over the weight or the mask."""
    head = "shape level block", *(f"{name} ms" for name in PASSES), "score GB/s", "write GB/s"
    return table(head, map(_row, results))


def _row(result: Passes) -> list[str]:
    times = [f"{result.seconds[name] * 1e3:.2f}" for name in PASSES]
    rates = [
        f"{result.moved(name) / result.seconds[name] / 1e9:.1f}" if result.seconds[name] else "-"
        for name in ("score", "write")
    ]
    return [short_name(result.case), *times, *rates]
