"""Which rows go: saliency and distance scores, and the lowest of them, ties by index."""

from collections.abc import Callable
from math import isfinite, prod

import torch
from torch import Tensor

from sparsebench.errors import ConfigError

Distance = Callable[[Tensor], Tensor]


def saliency(weight: Tensor) -> Tensor:
    """The L1 norm of every row, shape (rows,), float32, or float64 for float64 weights.

    Summed as a binary tree of fixed shape, each addition rounded separately, so the ranking is the
    same on every device.
    """
    wide = weight if weight.dtype == torch.float64 else weight.to(torch.float32)
    return _tree_sum(wide.reshape(len(wide), prod(wide.shape[1:])).abs())


def lowest_rows(scores: Tensor, count: int) -> Tensor:
    """True for the ``count`` lowest scores, bool; equal ones by index, NaN ranks highest."""
    order = scores.nan_to_num(nan=torch.inf, posinf=torch.finfo(scores.dtype).max).sort(stable=True)
    chosen = torch.zeros_like(scores, dtype=torch.bool)
    chosen[order.indices[:count]] = True
    return chosen


def distance_sums(weight: Tensor, distance: Distance) -> Tensor:
    """For every row the sum of its distances to all rows, shape (rows,), of the weight's dtype.

    Distances are taken and summed in float64 and then rounded (fp16 and bf16 to float32), so that
    filters whose sums are equal but for the order of summation tie.
    """
    wide = weight.detach().to(torch.float64)
    sums = distance(wide.reshape(len(wide), prod(wide.shape[1:]))).abs().sum(1)
    return sums if weight.dtype == torch.float64 else sums.to(torch.float32)


def check_level(tensor_fqn: str, sparsity_level: float) -> None:
    """Nothing, if the level is finite; below 0 it acts as 0, above 1 as 1."""
    if not isinstance(sparsity_level, int | float) or not isfinite(sparsity_level):
        raise ConfigError(f"{tensor_fqn}: sparsity_level must be finite, got {sparsity_level!r}")


def _tree_sum(values: Tensor) -> Tensor:
    """The sum along dimension 1: halves are added to each other until one column is left."""
    while values.shape[1] > 1:
        half = values.shape[1] // 2
        pairs = values[:, :half] + values[:, half : 2 * half]
        values = torch.cat([pairs, values[:, 2 * half :]], 1)
    return values.sum(1)
