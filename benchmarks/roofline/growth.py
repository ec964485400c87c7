"""Growth: a step's time per element from small tensors to large ones."""

from collections.abc import Iterator

import torch

from benchmarks.roofline.clock import by_turns
from benchmarks.roofline.tables import sides, table
from benchmarks.workloads import workload
from benchmarks.workloads.grid import Case, Shape

SHAPES: list[Shape] = [(1024, 1024), (2048, 2048), (4096, 4096), (8192, 8192), (16384, 8192)]
PATTERNS: list[tuple[float, Shape, int | None]] = [(0.5, (1, 4), None), (1.0, (1, 4), 2)]

Point = tuple[Case, float]


def measured(rounds: int, threads: int) -> Iterator[Point]:
    """Cases and seconds of their steps."""
    torch.set_num_threads(threads)
    for level, block, zeros in PATTERNS:
        for shape in SHAPES:
            case = Case(shape, level, block, zeros)
            yield case, by_turns({"step": workload.build(case).step}, rounds)["step"]


def rendered(points: list[Point]) -> str:
    """Nanoseconds an element by shape, a column a pattern."""
    times = {(case.shape, case.zeros): seconds for case, seconds in points}
    rows = []
    for shape in SHAPES:
        each = [times[shape, zeros] / (shape[0] * shape[1]) for _, _, zeros in PATTERNS]
        rows.append([sides(shape), *(f"{seconds * 1e9:.3f}" for seconds in each)])
    return table(["shape", "0.5 1x4 ns/element", "2:4 ns/element"], rows)
