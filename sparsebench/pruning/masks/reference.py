"""Reference masks by torch's operators, on any device: weights to scores, scores to a mask.

Every score depends on its own block only and is summed in a fixed order, each operation rounded
by itself; ties are broken by index. So a mask depends on the weights and the configuration only,
not on the device, the thread count or the processor.
"""

from collections.abc import Callable, Iterator
from math import ceil

import torch
from torch import Tensor

from sparsebench.errors import ConfigError
from sparsebench.pruning.float_environment import in_default_environment
from sparsebench.pruning.masks.pattern import (
    BlockShape,
    Pattern,
    check_nearliness,
    pattern_of,
    selected_blocks,
)

Norm = Callable[[Tensor], Tensor]

# Largest block whose elements are ranked by comparing all pairs; above it, sorting is faster.
# Comparing against sorting, 1024x1024 float32, one thread: (1, 4) 2.6 ms against 16, (4, 4) 16
# against 29, (4, 8) 48 against 32.
_MOST_COMPARED = 16


def l1(weight: Tensor) -> Tensor:
    """Return ``|w|`` of each element."""
    return weight.abs()


def l2(weight: Tensor) -> Tensor:
    """Return ``w * w`` of each element, which ranks as the L2 norm does, without the root."""
    return weight * weight


_PURE = (l1, l2)  # never modify their argument


@torch.no_grad()
def element_scores(weight: Tensor, norm: Norm = l2) -> Tensor:
    """Return the importance of every element: ``norm(weight)``, shape and device of ``weight``.

    Args:
        weight: shape (rows, cols); float16 and bfloat16 are cast to float32 first, so scores are
            float32, or float64 for float64 weights.
        norm: element-wise; lowest is pruned first. A callable other than l1 and
            l2 gets a copy, so it may work in place.

    Raises:
        ConfigError: ``norm`` returns another shape, or no floating-point tensor.
    """
    wide = torch.float64 if weight.dtype == torch.float64 else torch.float32
    scores = norm(weight.to(wide) if norm in _PURE else weight.detach().to(wide, copy=True))
    if scores.shape != weight.shape or not scores.is_floating_point():
        raise ConfigError(
            f"norm: must return floats of the weight's shape {tuple(weight.shape)}, got "
            f"{scores.dtype} of shape {tuple(scores.shape)}"
        )
    return scores if scores.dtype == torch.float64 else scores.to(torch.float32)


def block_scores(scores: Tensor, block: BlockShape) -> Tensor:
    """Return the mean score of every block's in-bounds elements, shape (block rows, block cols).

    Blocks start at the zero index; those at the lower and right edge may be smaller. Elements are
    added one by one in row-major order, then divided once, in the dtype of ``scores``.
    """
    counts_down, counts_across = (
        _in_bounds(size, side, scores) for size, side in zip(scores.shape, block, strict=True)
    )
    sums = scores.new_zeros(len(counts_down), len(counts_across))
    for lane in _lanes(scores, block):
        sums[: lane.shape[0], : lane.shape[1]] += lane
    return sums.div_(counts_down[:, None] * counts_across)


def lowest_blocks(scores: Tensor, sparsity_level: float) -> Tensor:
    """Return True for the blocks that ``sparsity_level`` selects, bool, shape of ``scores``.

    Level <= 0 selects none, level >= 1 all; in between, the ``k`` lowest with
    ``k = clamp(round(level * blocks), 0, blocks - 1)``, halves to even. Equal scores: the lower
    index (row-major) first. NaN ranks highest.
    """
    return _lowest(scores, selected_blocks(scores.numel(), sparsity_level))


def _lowest(scores: Tensor, k: int) -> Tensor:
    """Return True for the ``k`` lowest scores, ties by row-major index."""
    if k == scores.numel() or k == 0:
        return torch.full_like(scores, k > 0, dtype=torch.bool)
    keys = _ordered_keys(scores).flatten()
    threshold = kth_smallest(keys, k)
    below = keys < threshold
    ties = keys == threshold
    first_ties = ties.cumsum(0) <= k - below.sum()
    return (below | (ties & first_ties)).view_as(scores)


def lowest_in_blocks(scores: Tensor, block: BlockShape, zeros_per_block: int) -> Tensor:
    """Return True for the ``zeros_per_block`` lowest elements of every block, shape of ``scores``.

    Equal scores: row-major order inside the block. NaN ranks highest. An edge block with fewer
    elements than ``zeros_per_block`` is selected completely.
    """
    if zeros_per_block >= block[0] * block[1]:
        return torch.ones_like(scores, dtype=torch.bool)
    if zeros_per_block == 0:
        return torch.zeros_like(scores, dtype=torch.bool)
    by_comparing = block[0] * block[1] <= _MOST_COMPARED
    lowest = _lowest_by_comparing if by_comparing else _lowest_by_sorting
    return lowest(_ordered_keys(scores), block, zeros_per_block)


@in_default_environment
def sparsity_mask(
    scores: Tensor, sparsity_level: float, block: BlockShape, zeros_per_block: int | None
) -> Tensor:
    """Return the mask of block-wise magnitude pruning: True where a weight is kept.

    Args:
        scores: importance, shape (rows, cols), float32 or float64; lowest is pruned first.
        sparsity_level: fraction of blocks that get zeros, see :func:`lowest_blocks`.
        block: (rows, cols) of a block; need not divide the shape of ``scores``.
        zeros_per_block: zeros inside a selected block, see :func:`lowest_in_blocks`; None: all.

    Returns:
        Bool mask, shape and device of ``scores``.

    Raises:
        ConfigError: see :func:`masks.check_pattern`.
    """
    return pattern_mask(scores, pattern_of(scores.shape, sparsity_level, block, zeros_per_block))


def pattern_mask(scores: Tensor, pattern: Pattern) -> Tensor:
    """Return the same mask for a checked pattern of the shape of ``scores``."""
    block, zeros = pattern.block, pattern.zeros
    if pattern.value is not None:
        return torch.full_like(scores, pattern.value, dtype=torch.bool)
    if pattern.selected == pattern.blocks:
        return lowest_in_blocks(scores, block, zeros).logical_not_()
    selected = _lowest(block_scores(scores, block), pattern.selected)
    pruned = spread_blocks(selected, block, scores.shape)
    if zeros < block[0] * block[1]:
        pruned = pruned & lowest_in_blocks(scores, block, zeros)
    return ~pruned


def band_mask(shape: tuple[int, int], nearliness: int, device: torch.device) -> Tensor:
    """Return True on the ``nearliness`` diagonals nearest to the main one, bool, of ``shape``.

    A ``nearliness`` of 0 or less keeps nothing.

    Raises:
        ConfigError: see :func:`masks.pattern.check_nearliness`.
    """
    check_nearliness(shape, nearliness)
    if nearliness <= 0:
        return torch.zeros(shape, dtype=torch.bool, device=device)
    reach = nearliness // 2
    return torch.ones(shape, dtype=torch.bool, device=device).triu_(-reach).tril_(reach)


def _lanes(scores: Tensor, block: BlockShape) -> Iterator[Tensor]:
    """Yield, per position inside a block in row-major order, a view of all elements there."""
    for row in range(min(block[0], scores.shape[0])):
        for col in range(min(block[1], scores.shape[1])):
            yield scores[row :: block[0], col :: block[1]]


def _in_bounds(size: int, side: int, like: Tensor) -> Tensor:
    """Return how many of ``side`` elements exist in every block along one dimension."""
    counts = like.new_full((ceil(size / side),), side)
    if size % side:
        counts[-1:].fill_(size % side)  # an assignment would copy from the host
    return counts


def _ordered_keys(scores: Tensor) -> Tensor:
    """Return integers that compare as the scores do: -0.0 equals 0.0, NaN is above infinity.

    A negative float's bit pattern grows with its magnitude, so its other bits are flipped.
    """
    integer = torch.int64 if scores.dtype == torch.float64 else torch.int32
    top = torch.iinfo(integer).max
    bits = (scores + 0.0).view(integer)
    keys = torch.where(bits < 0, bits ^ top, bits)
    return keys.masked_fill_(scores.isnan(), top - 1)


def kth_smallest(keys: Tensor, k: int) -> Tensor:
    """Return the ``k``-th smallest (from 1) of 1-D integer ``keys``, shape ()."""
    return keys.kthvalue(k).values if keys.device.type == "cpu" else bisected_kth(keys, k)


def bisected_kth(keys: Tensor, k: int) -> Tensor:
    """Return the same as :func:`kth_smallest` by bisection, one pass over the keys per bit.

    It uses plain reductions only and never reads a value back to the host. So a CUDA graph can
    capture it, and it is deterministic; on CUDA, kthvalue is refused under
    ``torch.use_deterministic_algorithms``. On the CPU it makes masks up to 4 times slower
    (4096x4096, one thread, (1, 4): 564 ms instead of 173).
    """
    limits = torch.iinfo(keys.dtype)
    low, high = (keys.new_full((), limit) for limit in (limits.min, limits.max))
    for _ in range(limits.bits):
        middle = (low & high) + ((low ^ high) >> 1)  # rounded down, without overflow
        enough = (keys <= middle).sum() >= k
        low, high = torch.where(enough, low, middle + 1), torch.where(enough, middle, high)
    return high


def _lowest_by_comparing(keys: Tensor, block: BlockShape, zeros: int) -> Tensor:
    """Return True for the elements that fewer than ``zeros`` of their block rank before."""
    selected = torch.zeros_like(keys, dtype=torch.bool)
    lanes = list(_lanes(keys, block))
    for position, (out, lane) in enumerate(zip(_lanes(selected, block), lanes, strict=True)):
        rank = torch.zeros_like(lane, dtype=torch.int8)
        for other_position, other in enumerate(lanes):
            if other_position == position:
                continue
            rows, cols = (min(a, b) for a, b in zip(lane.shape, other.shape, strict=True))
            own, others = lane[:rows, :cols], other[:rows, :cols]
            rank[:rows, :cols] += others <= own if other_position < position else others < own
        torch.lt(rank, zeros, out=out)
    return selected


def _lowest_by_sorting(keys: Tensor, block: BlockShape, zeros: int) -> Tensor:
    """Return the same by a stable sort of every block; padding sorts after every real element."""
    (rows, cols), (height, width) = keys.shape, block
    down, across = ceil(rows / height), ceil(cols / width)
    padded = keys.new_full((down * height, across * width), torch.iinfo(keys.dtype).max)
    padded[:rows, :cols] = keys
    blocks = padded.view(down, height, across, width).transpose(1, 2).reshape(down, across, -1)
    lowest = blocks.sort(dim=2, stable=True).indices[:, :, :zeros]
    selected = torch.zeros_like(blocks, dtype=torch.bool).scatter_(2, lowest, value=True)
    tiles = selected.view(down, across, height, width).transpose(1, 2)
    return tiles.reshape(padded.shape)[:rows, :cols]


def spread_blocks(blocks: Tensor, block: BlockShape, shape: torch.Size) -> Tensor:
    """Return each block's flag repeated over the block's elements, cut to ``shape``."""
    (down, across), (height, width) = blocks.shape, block
    tiles = blocks[:, None, :, None].expand(down, height, across, width)
    return tiles.reshape(down * height, across * width)[: shape[0], : shape[1]]
