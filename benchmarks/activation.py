"""The cost of an activation sparsifier's hooks in a forward, and its step."""

from functools import lru_cache

import torch
from torch import Tensor, nn

from benchmarks._shared import DEVICES, THREADS, synchronized
from benchmarks.workloads.weights import weights
from sparsebench.pruning import ActivationSparsifier

SHAPE = (64, 4096)  # rows and features of the input


def mean(x: Tensor) -> Tensor:
    """Return the mean of each feature over the rows."""
    return x.mean(dim=0)


def above_median(x: Tensor) -> Tensor:
    """Return a mask that keeps the larger half."""
    return (x.abs() > x.abs().median()).to(x.dtype)


@lru_cache(maxsize=1)
def ready(hook: str, device: str) -> tuple[nn.Module, ActivationSparsifier, Tensor]:
    """Return a model that only runs its hook (none, aggregate or sparsify), and its input."""
    torch.set_num_threads(THREADS)
    model, x = nn.Sequential(nn.Identity()), weights(SHAPE, "random").to(device)
    sparsifier = ActivationSparsifier(model, torch.add, mean, above_median)
    if hook != "none":
        sparsifier.register_layer(model[0])
        model(x)
    if hook == "sparsify":
        sparsifier.step()
        sparsifier.squash_mask()
    return model, sparsifier, x


class Hook:
    """One forward of a layer with no hook, one that aggregates, or one that sparsifies."""

    param_names = ["hook", "device"]
    params = (["none", "aggregate", "sparsify"], DEVICES)
    repeat = (5, 150, 0.1)

    def setup(self, hook: str, device: str) -> None:
        model, _, x = ready(hook, device)
        self.run = synchronized(lambda: model(x), device)

    def time_forward(self, hook: str, device: str) -> None:
        self.run()


class Step:
    """One ``step`` after one forward."""

    param_names = ["device"]
    params = (DEVICES,)
    repeat = (5, 100, 0.2)

    def setup(self, device: str) -> None:
        model, sparsifier, x = ready("aggregate", device)
        model(x)
        self.run = synchronized(sparsifier.step, device)

    def time_step(self, device: str) -> None:
        self.run()
