"""The pruners: each scores the rows of a tensor and masks the rows with the lowest scores."""

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from sparsebench.errors import ConfigError
from sparsebench.pruning.sparsifiers.parametrization import mask_parametrization, unmasked_tensor
from sparsebench.pruning.state import Config
from sparsebench.pruning.structured.base_structured_sparsifier import BaseStructuredSparsifier
from sparsebench.pruning.structured.gates import GATES

Distance = Callable[[Tensor], Tensor]

# Elements that a CPU's cache holds while they are summed: the saliency of a 4096x4096 weight takes
# 16 ms on one core, all rows at once 43 ms, torch's norm 15 ms.
_CACHED_ELEMENTS = 1 << 18


class SaliencyPruner(BaseStructuredSparsifier):
    """Prunes the ``int(sparsity_level * rows)`` rows with the smallest L1 norm.

    A row is everything at one index of the first dimension. Equal rows: the lower index first.
    A level of 0 or less prunes none, 1 or more all. Needs ``sparsity_level`` in its defaults or in
    every group.

    Source: ``torch.ao.pruning._experimental.pruner.SaliencyPruner``. Deviates: the mask is a
    function of the unmasked weights and the level alone, so a lower level brings rows back.
    """

    requires_level = True

    def update_mask(  # type: ignore[override]  # the group's own keys, spelled out
        self, module: nn.Module, tensor_name: str, sparsity_level: float, **kwargs: Any
    ) -> None:
        """Rank the rows of the unmasked tensor and write the mask in place."""
        scores = saliency(unmasked_tensor(module, tensor_name))
        count = int(len(scores) * min(max(sparsity_level, 0), 1))
        mask_parametrization(module, tensor_name).mask.copy_(~lowest_rows(scores, count))


class LSTMSaliencyPruner(BaseStructuredSparsifier):
    """Prunes the ``int(sparsity_level * hidden)`` rows with the smallest L1 norm of every gate.

    For ``weight_ih_l*`` and ``weight_hh_l*`` of an LSTM, shape (4 * hidden, cols): each gate is
    ranked by itself, as upstream, so the gates may keep different rows. The rows kept at the same
    rank then form one unit, see :class:`~sparsebench.pruning.structured.gates.GateSparsity`.

    Source: ``torch.ao.pruning._experimental.pruner.LSTMSaliencyPruner``. Deviates: the mask is a
    function of the unmasked weights and the level alone; the masked model computes what the pruned
    one will.
    """

    requires_level = True
    supported_modules = (nn.LSTM,)

    def check_group(self, tensor: Tensor, group: Config) -> None:
        """Raise ConfigError where the tensor does not consist of four gates."""
        super().check_group(tensor, group)
        if len(tensor) % GATES:
            raise ConfigError(
                f"{group['tensor_fqn']}: rows must be divisible by {GATES}, one block per gate, "
                f"got shape={tuple(tensor.shape)}"
            )

    def update_mask(  # type: ignore[override]  # the group's own keys, spelled out
        self, module: nn.Module, tensor_name: str, sparsity_level: float, **kwargs: Any
    ) -> None:
        """Rank the rows of each gate of the unmasked tensor and write the mask in place."""
        gates = saliency(unmasked_tensor(module, tensor_name)).chunk(GATES)
        count = int(len(gates[0]) * min(max(sparsity_level, 0), 1))
        pruned = torch.cat([lowest_rows(scores, count) for scores in gates])
        mask_parametrization(module, tensor_name).mask.copy_(~pruned)


def manhattan(rows: Tensor) -> Tensor:
    """Return the L1 distances between all rows, shape (rows, rows)."""
    return torch.cdist(rows, rows, p=1)


def euclidean(rows: Tensor) -> Tensor:
    """Return the L2 distances between all rows, shape (rows, rows)."""
    return torch.cdist(rows, rows, p=2)


_DISTANCES: dict[object, Distance] = {None: euclidean, 1: manhattan, 2: euclidean}


class FPGMPruner(BaseStructuredSparsifier):
    """Prunes the filters (rows) whose distances to all other filters have the smallest sum.

    Such a filter is near the geometric median, and the others can replace it.
    ``round(sparsity_level * rows)`` are pruned; level 0 or less prunes none, 1 or more all. Equal
    sums: the lower index first.

    Args:
        sparsity_level: fraction of the filters.
        dist: 1 (L1), 2 or None (L2), or a callable from the flattened filters, float64 of shape
            (rows, elements), to their distances, shape (rows, rows).

    Source: arXiv:1811.00250; ``torch.ao.pruning._experimental.pruner.FPGMPruner``. Deviates: the
    mask is a function of the unmasked weights and the level alone.
    """

    requires_level = True

    def __init__(self, sparsity_level: float = 0.5, dist: Distance | int | None = None) -> None:
        if not callable(dist) and dist not in _DISTANCES:
            raise NotImplementedError(f"dist: must be 1, 2 or a callable, got {dist!r}")
        super().__init__(defaults={"sparsity_level": sparsity_level})
        self.dist_fn: Distance = dist if callable(dist) else _DISTANCES[dist]

    def update_mask(  # type: ignore[override]  # the group's own keys, spelled out
        self, module: nn.Module, tensor_name: str, sparsity_level: float, **kwargs: Any
    ) -> None:
        """Rank the filters of the unmasked tensor and write the mask in place."""
        mask = mask_parametrization(module, tensor_name).mask
        count = min(max(round(sparsity_level * len(mask)), 0), len(mask))
        if count in (0, len(mask)):  # no ranking needed
            mask.fill_(count == 0)
            return
        scores = distance_sums(unmasked_tensor(module, tensor_name), self.dist_fn)
        mask.copy_(~lowest_rows(scores, count))


def saliency(weight: Tensor) -> Tensor:
    """Return the L1 norm of every row, shape (rows,), float32, or float64 for float64 weights.

    Summed as a binary tree of fixed shape, each addition rounded separately, so the ranking is the
    same on every device.
    """
    rows = weight.detach().reshape(len(weight), prod(weight.shape[1:]))
    dtype = torch.float64 if weight.dtype == torch.float64 else torch.float32
    chunk_rows = len(rows)
    if rows.device.type == "cpu":
        chunk_rows = _CACHED_ELEMENTS // max(1, rows.shape[1])
    chunks = rows.split(max(1, chunk_rows))
    return torch.cat([_tree_sum(chunk.abs().to(dtype)) for chunk in chunks])


def distance_sums(weight: Tensor, distance: Distance) -> Tensor:
    """Return for every row the sum of its distances to all rows, shape (rows,), the weight's dtype.

    Distances are taken and summed in float64 and then rounded (fp16 and bf16 to float32), so that
    filters whose sums are equal but for the order of summation tie. ``distance`` gets a copy.
    """
    weight64 = weight.detach().to(torch.float64, copy=True)
    sums = distance(weight64.reshape(len(weight64), prod(weight64.shape[1:]))).abs().sum(1)
    return sums if weight.dtype == torch.float64 else sums.to(torch.float32)


def lowest_rows(scores: Tensor, count: int) -> Tensor:
    """Return True for the ``count`` lowest scores, bool; ties by index, NaN ranks highest."""
    order = scores.nan_to_num(nan=torch.inf, posinf=torch.finfo(scores.dtype).max).sort(stable=True)
    lowest = torch.zeros_like(scores, dtype=torch.bool)
    lowest[order.indices[:count]] = True
    return lowest


def _tree_sum(values: Tensor) -> Tensor:
    """Return the sums along dimension 1: the last half is added to the first until one is left.

    Overwrites ``values``.
    """
    width = values.shape[1]
    while width > 1:
        half = width // 2
        values[:, :half] += values[:, width - half : width]
        width -= half
    return values[:, 0] if width else values.sum(1)
