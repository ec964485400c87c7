"""The step of a data sparsifier on embedding tables."""

from functools import lru_cache

import torch

from benchmarks._shared import DEVICES, THREADS, synchronized
from benchmarks.workloads.digest import tracked
from benchmarks.workloads.grid import Shape
from benchmarks.workloads.weights import weights
from sparsebench.pruning import DataNormSparsifier

SHAPES = [(1000, 64), (100_000, 64)]
BLOCKS = [(1, 1), (1, 4)]


@lru_cache(maxsize=1)
def ready(shape: Shape, block: Shape, device: str) -> DataNormSparsifier:
    """Return a sparsifier of one table at level 0.5."""
    torch.set_num_threads(THREADS)
    return DataNormSparsifier([("table", weights(shape, "random").to(device))], 0.5, block)


class Step:
    """One ``sparsifier.step()``: its time, and the digest of its mask."""

    param_names = ["shape", "block", "device"]
    params = (SHAPES, BLOCKS, DEVICES)
    repeat = (5, 50, 0.3)

    def setup(self, shape: Shape, block: Shape, device: str) -> None:
        self.sparsifier = ready(shape, block, device)
        self.run = synchronized(self.sparsifier.step, device)

    def time_step(self, shape: Shape, block: Shape, device: str) -> None:
        self.run()

    def track_digest(self, shape: Shape, block: Shape, device: str) -> int:
        self.run()
        return tracked(self.sparsifier.get_mask("table"))

    track_digest.unit = "sha256/48"  # type: ignore[attr-defined]  # asv's way to give a unit
