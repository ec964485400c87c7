"""The lower bound of every mask computation: copying the weight once."""

from functools import lru_cache

import torch
from torch import Tensor

from benchmarks._shared import DEVICES, THREADS, synchronized
from benchmarks.workloads import grid
from benchmarks.workloads.weights import weights

SHAPES = {"x".join(map(str, case.shape)): case.shape for case in grid.ALL}


@lru_cache(maxsize=1)
def ready(name: str, device: str) -> tuple[Tensor, Tensor]:
    """Return a seeded weight on ``device`` and an uninitialised tensor of the same shape."""
    torch.set_num_threads(THREADS)
    weight = weights(SHAPES[name.removeprefix("shape=")], "random").to(device)
    return weight, torch.empty_like(weight)


class Copy:
    """``tensor.copy_`` of every shape in the grid; asv times single calls."""

    param_names = ["case", "device", "dtype"]
    params = ([f"shape={name}" for name in SHAPES], DEVICES, ["float32"])
    warmup_time = 0.05
    repeat = (5, 150, 0.1)

    def setup(self, name: str, device: str, dtype: str) -> None:
        weight, memory = ready(name, device)
        self.run = synchronized(lambda: memory.copy_(weight), device)

    def time_copy(self, *case: str) -> None:
        self.run()
