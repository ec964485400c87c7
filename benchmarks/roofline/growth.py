"""Growth: the time per element of a step, from small to large tensors."""

from collections.abc import Iterator

import torch

from benchmarks.roofline.clock import interleaved_medians
from benchmarks.roofline.tables import format_shape, table
from benchmarks.workloads import workload
from benchmarks.workloads.grid import MaskCase, Shape

SHAPES: list[Shape] = [(1024, 1024), (2048, 2048), (4096, 4096), (8192, 8192), (16384, 8192)]
PATTERNS: list[tuple[float, Shape, int | None]] = [(0.5, (1, 4), None), (1.0, (1, 4), 2)]

Point = tuple[MaskCase, float]


def measure(rounds: int, threads: int) -> Iterator[Point]:
    """Yield each case with the seconds of its step."""
    torch.set_num_threads(threads)
    for level, block, zeros in PATTERNS:
        for shape in SHAPES:
            case = MaskCase(shape, level, block, zeros)
            yield case, interleaved_medians({"step": workload.build(case).step}, rounds)["step"]


def render(points: list[Point]) -> str:
    """Return a table of nanoseconds per element: one row per shape, one column per pattern."""
    times = {(case.shape, case.zeros): seconds for case, seconds in points}
    rows = []
    for shape in SHAPES:
        per_element = [times[shape, zeros] / (shape[0] * shape[1]) for _, _, zeros in PATTERNS]
        rows.append([format_shape(shape), *(f"{seconds * 1e9:.3f}" for seconds in per_element)])
    return table(["shape", "0.5 1x4 ns/element", "2:4 ns/element"], rows)
