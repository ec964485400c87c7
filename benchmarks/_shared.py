"""Shared by all benchmarks: devices, threads, a seeded Linear, and waiting for a device."""

from collections.abc import Callable

import torch
from torch import nn

from benchmarks.workloads.devices import available, synchronize
from benchmarks.workloads.grid import Shape
from benchmarks.workloads.weights import weights

DEVICES = available()
CUDA = [device for device in DEVICES if device == "cuda"]

# As in PyTorch's operator benchmark: more threads do not speed up small masks and add noise.
THREADS = 1


def linear(shape: Shape, dtype: torch.dtype = torch.float32) -> nn.Linear:
    """Return a Linear without bias, with the suite's seeded weight."""
    module = nn.Linear(shape[1], shape[0], bias=False)
    module.weight = nn.Parameter(weights(shape, "random", dtype), requires_grad=False)
    return module


def synchronized(call: Callable[[], object], device: str) -> Callable[[], object]:
    """Return ``call`` followed, on CUDA, by a wait for its work; on the CPU ``call`` itself."""
    if device == "cpu":
        return call

    def call_and_wait() -> None:
        call()
        synchronize(device)

    return call_and_wait
