"""Around the step: preparing a model, squashing its masks, and a Linear under a mask."""

import copy
from typing import Any

import torch
from torch import nn

from benchmarks._shared import DEVICES, THREADS, linear, synchronized
from benchmarks.workloads.grid import Shape
from benchmarks.workloads.weights import weights
from benchmarks.workloads.workload import IMPLEMENTATIONS, library

LAYERS = 16
LINEAR: Shape = (1024, 1024)
BATCH = 64


class Lifecycle:
    """Preparing and squashing a model of 16 Linears of 128x128."""

    param_names = ["device", "implementation"]
    params = (DEVICES, IMPLEMENTATIONS)
    repeat = (5, 50, 0.3)

    def setup(self, device: str, implementation: str) -> None:
        torch.set_num_threads(THREADS)
        self.model = nn.Sequential(*(linear((128, 128)) for _ in range(LAYERS))).to(device)
        self.sparsifier: Any = library(implementation).WeightNormSparsifier()
        self.config = [{"tensor_fqn": f"{i}.weight"} for i in range(LAYERS)]
        self.prepared = copy.deepcopy(self.model)
        self.squashed: Any = library(implementation).WeightNormSparsifier()
        self.squashed.prepare(self.prepared, copy.deepcopy(self.config))
        self.wait = synchronized(lambda: None, device)

    def time_prepare(self, device: str, implementation: str) -> None:
        self.sparsifier.prepare(self.model, self.config)
        self.wait()

    def time_squash_mask(self, device: str, implementation: str) -> None:
        self.squashed.squash_mask()
        self.wait()


class MaskedLinear:
    """Forward and backward of a 1024x1024 Linear on 64 rows: dense, and under a mask."""

    param_names = ["device", "implementation"]
    params = (DEVICES, ["dense", *IMPLEMENTATIONS])
    repeat = (5, 100, 0.5)

    def setup(self, device: str, implementation: str) -> None:
        torch.set_num_threads(THREADS)
        self.module = linear(LINEAR).to(device).requires_grad_()
        self.input = weights((BATCH, LINEAR[1]), "random").to(device)
        if implementation != "dense":
            sparsifier = library(implementation).WeightNormSparsifier(0.5, (1, 4))
            sparsifier.prepare(self.module, [{"tensor_fqn": "weight"}])
            sparsifier.step()
        self.loss = self.module(self.input).sum()
        self.wait = synchronized(lambda: None, device)

    def time_forward(self, device: str, implementation: str) -> None:
        self.module(self.input)
        self.wait()

    def time_backward(self, device: str, implementation: str) -> None:
        self.loss.backward(retain_graph=True)
        self.wait()


class NearlyDiagonal:
    """The step of NearlyDiagonalSparsifier: upstream fills its band row by row."""

    param_names = ["shape", "nearliness", "device", "implementation"]
    params = ([(128, 128), (4096, 4096)], [3, 127], DEVICES, IMPLEMENTATIONS)
    repeat = (5, 100, 0.3)

    def setup(self, shape: Shape, nearliness: int, device: str, implementation: str) -> None:
        torch.set_num_threads(THREADS)
        model = nn.Module()
        model.register_buffer("weight", torch.ones(shape, device=device))
        sparsifier = library(implementation).NearlyDiagonalSparsifier(nearliness)
        sparsifier.prepare(model, [{"tensor_fqn": "weight"}])
        self.run = synchronized(sparsifier.step, device)

    def time_step(self, shape: Shape, nearliness: int, device: str, implementation: str) -> None:
        self.run()
