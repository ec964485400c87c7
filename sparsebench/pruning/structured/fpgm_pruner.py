"""FPGMPruner: prunes the filters nearest to all others."""

from typing import Any

import torch
from torch import Tensor, nn

from sparsebench.pruning.sparsifiers.parametrization import masking_of, unmasked_tensor
from sparsebench.pruning.structured.base_structured_sparsifier import BaseStructuredSparsifier
from sparsebench.pruning.structured.rows import Distance, distance_sums, lowest_rows


def manhattan(rows: Tensor) -> Tensor:
    """L1 distances between all rows, shape (rows, rows)."""
    return torch.cdist(rows, rows, p=1)


def euclidean(rows: Tensor) -> Tensor:
    """L2 distances between all rows, shape (rows, rows)."""
    return torch.cdist(rows, rows, p=2)


_DISTANCES: dict[object, Distance] = {None: euclidean, 1: manhattan, 2: euclidean}


class FPGMPruner(BaseStructuredSparsifier):
    """Prunes the filters (rows) whose distances to all other filters have the smallest sum.

    Such a filter lies near the geometric median, and the others can stand in for it.
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
        mask = masking_of(module, tensor_name).mask
        count = min(max(round(sparsity_level * len(mask)), 0), len(mask))
        if count in (0, len(mask)):  # no ranking needed
            mask.fill_(count == 0)
            return
        distances = self._compute_distance(unmasked_tensor(module, tensor_name))
        mask.copy_(~lowest_rows(distances, count))

    def _compute_distance(self, t: Tensor) -> Tensor:
        """For every filter of ``t`` the sum of its distances to all filters, shape (rows,)."""
        return distance_sums(t, self.dist_fn)
