"""The temporary memory of a call is the same number every time it is measured."""

import numpy as np
import torch

from benchmarks.workloads import grid, workload
from benchmarks.workloads.memory import temporary_memory


def test_arrays_are_counted_and_small_objects_are_not() -> None:
    retained: list[object] = []

    def call() -> None:
        retained.append([str(number) for number in range(1000 + 50 * len(retained))])
        small = np.zeros(1000)
        del small
        torch.ones(500)
        np.zeros(100_000)

    figures = {temporary_memory(call, "cpu") for _ in range(3)}
    assert figures == {500 * 4 + 100_000 * 8}


def test_the_memory_of_a_step_is_reproducible() -> None:
    torch.set_num_threads(1)
    step = workload.build(grid.MaskCase((512, 300), 0.5, (1, 1), 1)).step
    figures = {temporary_memory(step, "cpu") for _ in range(3)}
    assert len(figures) == 1
    assert min(figures) > 0
