"""Which rows go: saliency and distance scores, and the lowest of them, ties by index."""

from collections.abc import Callable
from math import prod

import torch
from torch import Tensor

from sparsebench.errors import ConfigError
from sparsebench.pruning.masks import pattern

Distance = Callable[[Tensor], Tensor]

# Elements that a CPU's cache holds while they are summed: the saliency of a 4096x4096 weight takes
# 16 ms on one core, all rows at once 43 ms, torch's norm 15 ms.
_CACHED = 1 << 18


def saliency(weight: Tensor) -> Tensor:
    """The L1 norm of every row, shape (rows,), float32, or float64 for float64 weights.

    Summed as a binary tree of fixed shape, each addition rounded separately, so the ranking is the
    same on every device.
    """
    rows = weight.detach().reshape(len(weight), prod(weight.shape[1:]))
    wide = torch.float64 if weight.dtype == torch.float64 else torch.float32
    at_once = max(1, _CACHED // max(1, rows.shape[1])) if rows.device.type == "cpu" else len(rows)
    return torch.cat([_tree_sum(part.abs().to(wide)) for part in rows.split(max(1, at_once))])


def lowest_rows(scores: Tensor, count: int) -> Tensor:
    """True for the ``count`` lowest scores, bool; equal ones by index, NaN ranks highest."""
    order = scores.nan_to_num(nan=torch.inf, posinf=torch.finfo(scores.dtype).max).sort(stable=True)
    chosen = torch.zeros_like(scores, dtype=torch.bool)
    chosen[order.indices[:count]] = True
    return chosen


def distance_sums(weight: Tensor, distance: Distance) -> Tensor:
    """For every row the sum of its distances to all rows, shape (rows,), of the weight's dtype.

    Distances are taken and summed in float64 and then rounded (fp16 and bf16 to float32), so that
    filters whose sums are equal but for the order of summation tie. ``distance`` gets a copy.
    """
    wide = weight.detach().to(torch.float64, copy=True)
    sums = distance(wide.reshape(len(wide), prod(wide.shape[1:]))).abs().sum(1)
    return sums if weight.dtype == torch.float64 else sums.to(torch.float32)


def check_level(tensor_fqn: str, sparsity_level: object) -> None:
    """Nothing, if the level is a finite number; below 0 it acts as 0, above 1 as 1."""
    try:
        pattern.check_level(sparsity_level)
    except ConfigError as error:
        raise ConfigError(f"{tensor_fqn}: {error}") from None


def _tree_sum(values: Tensor) -> Tensor:
    """The sum along dimension 1, in place: the last half is added to the first, again and again."""
    width = values.shape[1]
    while width > 1:
        half = width // 2
        values[:, :half] += values[:, width - half : width]
        width -= half
    return values[:, 0] if width else values.sum(1)
