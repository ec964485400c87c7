"""One ranking of blocks across several tensors."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sparsebench.pruning.masks.reference import (
    BlockShape,
    block_scores,
    lowest_blocks,
    lowest_in_blocks,
)


@dataclass(frozen=True)
class Ranked:
    """A tensor's part in the ranking.

    Attributes:
        scores: importance, shape (rows, cols), float32 or float64.
        block: (rows, cols) of a block.
        zeros: zeros inside a selected block; None: all.
    """

    scores: Tensor
    block: BlockShape
    zeros: int | None


def global_masks(tensors: Sequence[Ranked], sparsity_level: float) -> list[Tensor]:
    """True where a weight is kept, one bool mask a tensor, each on its tensor's device.

    The blocks of all tensors are ranked together by mean score, and ``sparsity_level`` is the
    share of all of them that gets zeros: see :func:`masks.lowest_blocks`. Equal scores: the earlier
    tensor, then the lower block index, is selected first.
    """
    means = [block_scores(tensor.scores, tensor.block) for tensor in tensors]
    dtype = torch.float64 if any(m.dtype == torch.float64 for m in means) else torch.float32
    home = means[0].device
    joined = torch.cat([mean.flatten().to(home, dtype) for mean in means])
    chosen = torch.split(
        lowest_blocks(joined[None], sparsity_level)[0], [mean.numel() for mean in means]
    )
    return [
        _mask(tensor, part.view(mean.shape).to(mean.device))
        for tensor, part, mean in zip(tensors, chosen, means, strict=True)
    ]


def _mask(tensor: Ranked, chosen: Tensor) -> Tensor:
    (rows, cols), (height, width) = tensor.scores.shape, tensor.block
    pruned = chosen.repeat_interleave(height, 0).repeat_interleave(width, 1)[:rows, :cols]
    if tensor.zeros is not None:
        pruned = pruned & lowest_in_blocks(tensor.scores, tensor.block, tensor.zeros)
    return ~pruned
