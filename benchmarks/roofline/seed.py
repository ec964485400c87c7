"""The seed grid: how many times faster each case is than torch.ao.pruning, on one thread."""

from collections.abc import Iterator
from statistics import geometric_mean

import torch

from benchmarks.roofline.clock import interleaved_medians
from benchmarks.roofline.tables import short_name, table
from benchmarks.workloads import workload
from benchmarks.workloads.grid import LONG, SHORT, MaskCase

Pair = tuple[MaskCase, float, float]


def measure(rounds: int) -> Iterator[Pair]:
    """Yield each case that torch.ao.pruning supports, with both libraries' step seconds."""
    torch.set_num_threads(1)
    for case in filter(workload.runs_upstream, [*SHORT, *LONG]):
        steps = {
            name: workload.build(case, implementation=name).step
            for name in workload.IMPLEMENTATIONS
        }
        times = interleaved_medians(steps, rounds)
        yield case, times["sparsebench"], times["torch.ao"]


def render(pairs: list[Pair], slowest: int) -> str:
    """Return a table of the ``slowest`` cases by ratio, and a summary of all."""
    ordered = sorted(pairs, key=lambda pair: pair[2] / pair[1])
    rows = [
        [
            short_name(case),
            f"{seconds * 1e6:.1f}",
            f"{upstream * 1e6:.1f}",
            f"{upstream / seconds:.2f}x",
        ]
        for case, seconds, upstream in ordered[:slowest]
    ]
    ratios = [upstream / seconds for _, seconds, upstream in pairs]
    return "\n".join(
        [
            table(["shape level block:zeros", "us", "torch.ao us", "faster"], rows),
            f"{len(ratios)} cases: geometric mean {geometric_mean(ratios):.2f}x, "
            f"lowest {min(ratios):.2f}x, highest {max(ratios):.1f}x",
            f"{sum(ratio < 3 for ratio in ratios)} below 3x, "
            f"{sum(ratio < 1 for ratio in ratios)} below 1x",
        ]
    )
