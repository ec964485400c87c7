"""The lower bound of every mask computation: copying the weight once."""

from functools import lru_cache

import torch
from torch import Tensor

from benchmarks._cuda import SETUP_SECONDS, Prepared, Results, _OnCUDA, measure, params_on
from benchmarks._shared import HAS_CUDA, IN_GATE, THREADS, TIMED_DEVICES, synchronized
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
    params = ([f"shape={name}" for name in SHAPES], TIMED_DEVICES, ["float32"])
    warmup_time = 0.05
    repeat = (5, 150, 0.1)
    timed = "time_copy"

    @staticmethod
    def prepare(name: str, device: str, _dtype: str) -> Prepared:
        """Return the case for `_cuda.measure`."""
        weight, memory = ready(name, device)
        return Prepared(lambda: memory.copy_(weight))

    def setup(self, name: str, device: str, dtype: str) -> None:
        weight, memory = ready(name, device)
        self.run = synchronized(lambda: memory.copy_(weight), device)

    def time_copy(self, *case: str) -> None:
        self.run()


if HAS_CUDA and not IN_GATE:
    # Each class has a setup_cache of its own: asv takes those at one line of a file for one.

    class CopyCUDA(_OnCUDA):
        """Copy on CUDA."""

        param_names, params = Copy.param_names, params_on(Copy, "cuda")

        def setup_cache(self) -> Results:
            return measure(Copy, "cuda")

        setup_cache.timeout = SETUP_SECONDS  # type: ignore[attr-defined]  # asv's way
