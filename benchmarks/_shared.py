"""Shared by all benchmarks: devices, threads, a seeded Linear, and waiting for a device."""

import os
from collections.abc import Callable

import torch
from torch import nn

from benchmarks._recorder import recorder
from benchmarks.workloads.devices import available, synchronize
from benchmarks.workloads.grid import Shape
from benchmarks.workloads.weights import weights

DEVICES = available()

# In classes with many cases, asv times only those on the CPU in a process each; `_cuda` measures
# those on CUDA. The gate times all of them: its workers stay, and a number that was measured before
# would tell it nothing.
IN_GATE = recorder.WORKER in os.environ
TIMED_DEVICES = DEVICES if IN_GATE else ["cpu"]
HAS_CUDA = "cuda" in DEVICES

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
