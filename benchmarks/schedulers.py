"""The step of a scheduler, which sets the levels of a model's layers."""

from functools import lru_cache

import torch
from torch import nn

import sparsebench.pruning
from benchmarks._shared import THREADS, linear
from sparsebench.pruning import BaseScheduler


@lru_cache(maxsize=1)
def ready(scheduler: str, layers: int) -> BaseScheduler:
    """Return a scheduler whose sparsifier has stepped, so that its own step does not warn."""
    torch.set_num_threads(THREADS)
    sparsifier = sparsebench.pruning.WeightNormSparsifier()
    sparsifier.prepare(nn.Sequential(*(linear((16, 16)) for _ in range(layers))), None)
    arguments = (abs,) if scheduler == "LambdaSL" else ()
    instance: BaseScheduler = getattr(sparsebench.pruning, scheduler)(sparsifier, *arguments)
    sparsifier.step()
    return instance


class Scheduler:
    """One ``scheduler.step()``."""

    param_names = ["scheduler", "layers"]
    params = (["LambdaSL", "CubicSL"], [16, 256])
    repeat = (5, 150, 0.1)

    def setup(self, scheduler: str, layers: int) -> None:
        self.scheduler = ready(scheduler, layers)

    def time_step(self, scheduler: str, layers: int) -> None:
        self.scheduler.step()
