"""Workloads: from a mask case to a model with a prepared sparsifier."""

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

import sparsebench.pruning
from benchmarks.workloads import devices
from benchmarks.workloads.grid import MaskCase
from benchmarks.workloads.weights import weights

IMPLEMENTATIONS = ["sparsebench", "torch.ao"]
DTYPES = {
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
    "float64": torch.float64,
}


@dataclass(frozen=True)
class Workload:
    """A prepared sparsifier on a model whose one tensor is ``weight``."""

    model: nn.Module
    sparsifier: Any  # sparsebench's or torch.ao's: the same public names, no common type

    def step(self) -> None:
        """Compute the mask from the weight; this call is measured."""
        self.sparsifier.step()

    @property
    def mask(self) -> Tensor:
        """The current mask, shape of the weight."""
        mask: Tensor = self.model.parametrizations["weight"][0].mask  # type: ignore[index,union-attr]  # as Tensor | Module
        return mask

    def measured_sparsity(self) -> float:
        """Return the fraction of elements that the mask zeroes."""
        return 1.0 - float((self.mask != 0).double().mean())


def build(
    case: MaskCase,
    device: str = "cpu",
    dtype: str = "float32",
    kind: str = "random",
    implementation: str = "sparsebench",
) -> Workload:
    """Return the case's workload: seeded weights on ``device``, a prepared WeightNormSparsifier.

    The weight is a buffer of a bare module, as in PyTorch's own benchmark of this step.

    Raises:
        ValueError: an unknown implementation or dtype, or a device that cannot be measured.
    """
    devices.check(device)
    if dtype not in DTYPES:
        raise ValueError(f"build: dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
    model = nn.Module()
    model.register_buffer("weight", weights(case.shape, kind, DTYPES[dtype]).to(device))
    sparsifier = library(implementation).WeightNormSparsifier(case.level, case.block, case.zeros)
    sparsifier.prepare(model, [{"tensor_fqn": "weight"}])
    return Workload(model, sparsifier)


def library(implementation: str) -> ModuleType:
    """Return the module with an implementation's public names."""
    if implementation == "sparsebench":
        return sparsebench.pruning
    if implementation == "torch.ao":
        import torch.ao.pruning  # imported only where it is needed

        return torch.ao.pruning
    raise ValueError(
        f"library: implementation must be one of {', '.join(IMPLEMENTATIONS)}, "
        f"got {implementation!r}"
    )


def runs_upstream(case: MaskCase) -> bool:
    """Return whether torch.ao.pruning's step computes a mask of the weight's shape for the case.

    It pads the weight to a multiple of the block and, where only part of a block is zeroed,
    combines the padded mask with an unpadded one. That fails if the block does not divide the
    shape.
    """
    size = case.block[0] * case.block[1]
    zeros = size if case.zeros is None else case.zeros
    divides = all(length % side == 0 for length, side in zip(case.shape, case.block, strict=True))
    return zeros <= size and (case.level <= 0 or zeros in (0, size) or divides)
