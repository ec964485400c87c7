"""One sparsity level over several tensors: their blocks are ranked together."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sparsebench.pruning.masks.pattern import BlockShape
from sparsebench.pruning.masks.reference import (
    block_scores,
    lowest_blocks,
    lowest_in_blocks,
    spread_blocks,
)


@dataclass(frozen=True)
class Ranked:
    """One tensor of the ranking.

    Attributes:
        scores: importance, shape (rows, cols), float32 or float64.
        block: (rows, cols) of a block.
        zeros: zeros inside a selected block; None: all.
    """

    scores: Tensor
    block: BlockShape
    zeros: int | None


def global_masks(tensors: Sequence[Ranked], sparsity_level: float) -> list[Tensor]:
    """Return one bool mask per tensor, True where a weight is kept, on that tensor's device.

    The blocks of all tensors are ranked together by mean score, and ``sparsity_level`` is the
    fraction of all of them that gets zeros: see :func:`masks.lowest_blocks`. Equal scores: the
    earlier tensor, then the lower block index, is selected first.
    """
    means = [block_scores(tensor.scores, tensor.block) for tensor in tensors]
    dtype = torch.float64 if any(m.dtype == torch.float64 for m in means) else torch.float32
    device = means[0].device
    all_means = torch.cat([mean.flatten().to(device, dtype) for mean in means])
    selected = lowest_blocks(all_means[None], sparsity_level)[0]
    masks = []
    for tensor, mean, flat in zip(
        tensors, means, selected.split([mean.numel() for mean in means]), strict=True
    ):
        pruned = spread_blocks(
            flat.view(mean.shape).to(mean.device), tensor.block, tensor.scores.shape
        )
        if tensor.zeros is not None:
            pruned = pruned & lowest_in_blocks(tensor.scores, tensor.block, tensor.zeros)
        masks.append(~pruned)
    return masks
