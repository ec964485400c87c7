"""What the benchmarks of the other areas share; asv takes no class from a module for itself."""

from collections.abc import Callable

import torch
from torch import nn

from benchmarks.workloads.devices import available, synchronize
from benchmarks.workloads.grid import Shape
from benchmarks.workloads.weights import weights

DEVICES = available()
CUDA = [device for device in DEVICES if device == "cuda"]
THREADS = 1  # as the step benchmarks: more threads add noise


def linear(shape: Shape, dtype: torch.dtype = torch.float32) -> nn.Linear:
    """A Linear without bias whose weight is the suite's seeded one."""
    module = nn.Linear(shape[1], shape[0], bias=False)
    module.weight = nn.Parameter(weights(shape, "random", dtype), requires_grad=False)
    return module


def synchronized(call: Callable[[], object], device: str) -> Callable[[], None]:
    """``call``, followed by a wait for what it queued on ``device``."""

    def call_and_wait() -> None:
        call()
        synchronize(device)

    return call_and_wait
