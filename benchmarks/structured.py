"""Structured pruning: a step of each pruner, a masked forward, and removing the rows."""

from typing import Any

import torch
from torch import nn

from benchmarks._shared import DEVICES, THREADS, synchronized
from benchmarks.workloads.grid import Shape
from benchmarks.workloads.weights import weights
from benchmarks.workloads.workload import IMPLEMENTATIONS, library

LEVEL = 0.5
PRUNERS = ["SaliencyPruner", "FPGMPruner", "LSTMSaliencyPruner"]
SHAPES: list[Shape] = [(64, 576), (512, 4608)]  # 3x3 convolutions of 64 and of 512 channels


def pruner(name: str, implementation: str) -> Any:
    """Return a pruner of either library; upstream's are in an experimental module."""
    module: Any = library(implementation)
    if implementation == "torch.ao":
        import torch.ao.pruning._experimental.pruner  # imported only where it is needed

        module = torch.ao.pruning._experimental.pruner
    kind = getattr(module, name)
    return kind(LEVEL) if name == "FPGMPruner" else kind({"sparsity_level": LEVEL})


def seeded(model: nn.Module) -> nn.Module:
    """Fill every parameter of ``model`` with the suite's seeded weights; return it."""
    with torch.no_grad():
        for parameter in model.parameters():
            rows, cols = len(parameter), parameter[0].numel()
            parameter.copy_(weights((rows, cols), "random").view_as(parameter))
    return model


def chain(kind: str) -> nn.Sequential:
    """Return five Linears of 512 or five 3x3 convolutions of 64 channels, with activations."""
    model = nn.Sequential()
    for _ in range(5):
        model.append(nn.Linear(512, 512) if kind == "mlp" else nn.Conv2d(64, 64, 3))
        model.append(nn.ReLU())
    seeded(model)
    return model


def masked(kind: str, device: str, implementation: str) -> tuple[nn.Module, Any]:
    """Return a chain on ``device``, all layers but the last masked by half, and its pruner."""
    model = chain(kind).to(device)
    sparsifier = pruner("SaliencyPruner", implementation)
    sparsifier.prepare(model, [{"tensor_fqn": f"{2 * i}.weight"} for i in range(4)])
    sparsifier.step()
    return model, sparsifier


class StructuredStep:
    """One call of ``pruner.step()`` on one weight."""

    param_names = ["pruner", "shape", "device", "implementation"]
    params = (PRUNERS, SHAPES, DEVICES, IMPLEMENTATIONS)
    warmup_time = 0.05
    repeat = (5, 100, 0.3)

    def setup(self, name: str, shape: Shape, device: str, implementation: str) -> None:
        torch.set_num_threads(THREADS)
        model = seeded(nn.Sequential(nn.Linear(shape[1], shape[0]))).to(device)
        sparsifier = pruner(name, implementation)
        sparsifier.prepare(model, [{"tensor_fqn": "0.weight"}])
        self.run = synchronized(sparsifier.step, device)

    def time_step(self, *case: object) -> None:
        self.run()


class MaskedForward:
    """Inference of a chain: dense, with masked rows, and after the rows are removed."""

    param_names = ["model", "device", "state"]
    params = (["mlp", "convs"], DEVICES, ["dense", "masked", "pruned"])
    repeat = (5, 50, 0.5)

    def setup(self, kind: str, device: str, state: str) -> None:
        torch.set_num_threads(THREADS)
        self.model, sparsifier = masked(kind, device, "sparsebench")
        if state == "dense":
            self.model = chain(kind).to(device)
        elif state == "pruned":
            sparsifier.prune()
        shape = (64, 512) if kind == "mlp" else (64, 64 * 16 * 16)
        self.input = weights(shape, "random").view((64, 512) if kind == "mlp" else (64, 64, 16, 16))
        self.input = self.input.to(device)
        self.wait = synchronized(lambda: None, device)

    @torch.no_grad()
    def time_forward(self, *case: object) -> None:
        self.model(self.input)
        self.wait()


class Prune:
    """``pruner.prune()`` on a chain; it changes the model, so ``setup`` builds a new one."""

    param_names = ["model", "device", "implementation"]
    params = (["mlp", "convs"], DEVICES, IMPLEMENTATIONS)
    repeat = (5, 30, 1.0)
    number = 1

    def setup(self, kind: str, device: str, implementation: str) -> None:
        torch.set_num_threads(THREADS)
        _, self.sparsifier = masked(kind, device, implementation)
        self.wait = synchronized(lambda: None, device)

    def time_prune(self, *case: object) -> None:
        self.sparsifier.prune()
        self.wait()

    def track_parameters(self, kind: str, device: str, implementation: str) -> int:
        """Entries that are left."""
        pruned = self.sparsifier.prune()
        return sum(parameter.numel() for parameter in pruned.parameters())

    track_parameters.unit = "entries"  # type: ignore[attr-defined]  # asv's way to give a unit
