"""The seed grid: how many times faster than torch.ao.pruning each case is, on one thread."""

from collections.abc import Iterator

import torch

from benchmarks.roofline.clock import by_turns
from benchmarks.roofline.tables import geometric_mean, short_name, table
from benchmarks.workloads import workload
from benchmarks.workloads.grid import LONG, SHORT, Case

Pair = tuple[Case, float, float]


def measured(rounds: int) -> Iterator[Pair]:
    """Cases that torch.ao.pruning survives, with seconds of our step and of its."""
    torch.set_num_threads(1)
    for case in filter(workload.runs_upstream, [*SHORT, *LONG]):
        steps = {
            name: workload.build(case, implementation=name).step
            for name in workload.IMPLEMENTATIONS
        }
        times = by_turns(steps, rounds)
        yield case, times["sparsebench"], times["torch.ao"]


def rendered(pairs: list[Pair], slowest: int) -> str:
    """The ``slowest`` cases in comparison, and all of them summed up."""
    ordered = sorted(pairs, key=lambda pair: pair[2] / pair[1])
    rows = [
        [short_name(case), f"{ours * 1e6:.1f}", f"{theirs * 1e6:.1f}", f"{theirs / ours:.2f}x"]
        for case, ours, theirs in ordered[:slowest]
    ]
    ratios = [theirs / ours for _, ours, theirs in pairs]
    return "\n".join(
        [
            table(["shape level block:zeros", "us", "torch.ao us", "faster"], rows),
            f"{len(ratios)} cases: geometric mean {geometric_mean(ratios):.2f}x, "
            f"lowest {min(ratios):.2f}x, highest {max(ratios):.1f}x",
            f"{sum(ratio < 3 for ratio in ratios)} below 3x, "
            f"{sum(ratio < 1 for ratio in ratios)} below 1x",
        ]
    )
