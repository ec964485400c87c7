"""The mask mathematics: scores in, mask out; no module, no state.

Every score is a function of its own block alone, summed in a fixed order with each operation
rounded separately, and every choice among equals goes by index. So a mask depends on the weights
and the configuration, and on nothing else: not on the device, the thread count or the processor.
"""

from collections.abc import Callable, Iterator
from math import ceil

import torch
from torch import Tensor

from sparsebench.errors import ConfigError
from sparsebench.pruning.masks.pattern import (
    BlockShape,
    Pattern,
    check_nearliness,
    check_pattern,
    pattern_of,
    selected_blocks,
)

__all__ = [
    "BlockShape",
    "Norm",
    "band_mask",
    "block_scores",
    "check_nearliness",
    "check_pattern",
    "element_scores",
    "l1",
    "l2",
    "lowest_blocks",
    "lowest_in_blocks",
    "pattern_mask",
    "sparsity_mask",
]

Norm = Callable[[Tensor], Tensor]

# Up to this many elements a block, ranks by comparing all pairs beat a sort of every block.
# On 1024x1024 float32, one thread: (1, 4) 2.6 ms against 16, (4, 4) 16 against 29, (4, 8) 48
# against 32.
_MOST_COMPARED = 16


def l1(weight: Tensor) -> Tensor:
    """``|w|``, element by element."""
    return weight.abs()


def l2(weight: Tensor) -> Tensor:
    """``w * w``, element by element: ranks as the L2 norm does, without the root."""
    return weight * weight


_PURE = (l1, l2)  # change nothing that they are given


@torch.no_grad()
def element_scores(weight: Tensor, norm: Norm = l2) -> Tensor:
    """The importance of every element: ``norm(weight)``, shape and device of ``weight``.

    Args:
        weight: shape (rows, cols); float16 and bfloat16 are cast to float32 first, so scores are
            float32, or float64 for float64 weights.
        norm: element-wise; lowest is pruned first. A callable of the caller's own gets a copy, so
            it may work in place.

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
    """The mean score of every block's in-bounds elements, shape (block rows, block cols).

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
    """True for the blocks that ``sparsity_level`` selects, bool, shape of ``scores``.

    Level <= 0 selects none, level >= 1 all; between, the ``k`` lowest with
    ``k = clamp(round(level * blocks), 0, blocks - 1)``, halves to even. Equal scores: the lower
    index (row-major) first. NaN ranks highest.
    """
    return _lowest(scores, selected_blocks(scores.numel(), sparsity_level))


def _lowest(scores: Tensor, k: int) -> Tensor:
    if k == scores.numel() or k == 0:
        return torch.full_like(scores, k > 0, dtype=torch.bool)
    keys = _ordered_keys(scores).flatten()
    threshold = _kth_smallest(keys, k)
    below = keys < threshold
    ties = keys == threshold
    first_ties = ties.cumsum(0) <= k - below.sum()
    return (below | (ties & first_ties)).view_as(scores)


def lowest_in_blocks(scores: Tensor, block: BlockShape, zeros_per_block: int) -> Tensor:
    """True for the ``zeros_per_block`` lowest elements of every block, bool, shape of ``scores``.

    Equal scores: row-major order inside the block. NaN ranks highest. An edge block with fewer
    elements than ``zeros_per_block`` is chosen whole.
    """
    if zeros_per_block >= block[0] * block[1]:
        return torch.ones_like(scores, dtype=torch.bool)
    chosen = torch.zeros_like(scores, dtype=torch.bool)
    if zeros_per_block == 0:
        return chosen
    keys = _ordered_keys(scores)
    if block[0] * block[1] <= _MOST_COMPARED:
        _choose_by_comparing(chosen, keys, block, zeros_per_block)
        return chosen
    return _choose_by_sorting(keys, block, zeros_per_block)


def sparsity_mask(
    scores: Tensor, sparsity_level: float, block: BlockShape, zeros_per_block: int | None
) -> Tensor:
    """True where a weight is kept: the mask of block-wise magnitude pruning.

    Args:
        scores: importance, shape (rows, cols), float32 or float64; lowest is pruned first.
        sparsity_level: fraction of blocks that get zeros, see :func:`lowest_blocks`.
        block: (rows, cols) of a block; need not divide the shape of ``scores``.
        zeros_per_block: zeros inside a selected block, see :func:`lowest_in_blocks`; None: all.

    Returns:
        Bool mask, shape and device of ``scores``.

    Raises:
        ConfigError: see :func:`check_pattern`.
    """
    return pattern_mask(scores, pattern_of(scores.shape, sparsity_level, block, zeros_per_block))


def pattern_mask(scores: Tensor, pattern: Pattern) -> Tensor:
    """The same for a checked pattern of the shape of ``scores``."""
    block, zeros = pattern.block, pattern.zeros
    if pattern.value is not None:
        return torch.full_like(scores, pattern.value, dtype=torch.bool)
    if pattern.selected == pattern.blocks:
        return lowest_in_blocks(scores, block, zeros).logical_not_()
    pruned = _spread(_lowest(block_scores(scores, block), pattern.selected), block, scores.shape)
    if zeros < block[0] * block[1]:
        pruned = pruned & lowest_in_blocks(scores, block, zeros)
    return ~pruned


def band_mask(shape: tuple[int, int], nearliness: int, device: torch.device) -> Tensor:
    """True on the ``nearliness`` diagonals nearest to the main one, bool, shape ``shape``.

    A ``nearliness`` of 0 or less keeps nothing.

    Raises:
        ConfigError: see :func:`check_nearliness`.
    """
    check_nearliness(shape, nearliness)
    if nearliness <= 0:
        return torch.zeros(shape, dtype=torch.bool, device=device)
    reach = nearliness // 2
    return torch.ones(shape, dtype=torch.bool, device=device).triu_(-reach).tril_(reach)


def _lanes(scores: Tensor, block: BlockShape) -> Iterator[Tensor]:
    """Views of the elements at one position of every block, by position in row-major order."""
    for row in range(min(block[0], scores.shape[0])):
        for col in range(min(block[1], scores.shape[1])):
            yield scores[row :: block[0], col :: block[1]]


def _in_bounds(size: int, side: int, like: Tensor) -> Tensor:
    """How many of a side's ``side`` elements exist, for every block along one dimension."""
    counts = like.new_full((ceil(size / side),), side)
    if size % side:
        counts[-1:].fill_(size % side)  # an assignment would copy a tensor from the host
    return counts


def _ordered_keys(scores: Tensor) -> Tensor:
    """Integers that compare as the scores do: -0.0 equals 0.0, and NaN is above infinity.

    A negative float's bit pattern grows with its magnitude, so its other bits are flipped.
    """
    integer = torch.int64 if scores.dtype == torch.float64 else torch.int32
    top = torch.iinfo(integer).max
    bits = (scores + 0.0).view(integer)
    keys = torch.where(bits < 0, bits ^ top, bits)
    return keys.masked_fill_(scores.isnan(), top - 1)


def _kth_smallest(keys: Tensor, k: int) -> Tensor:
    """The ``k``-th smallest key (from 1), as a tensor without dimensions."""
    if _on_host(keys):  # NumPy's selection takes half of kthvalue's time
        array = keys.numpy().copy()
        array.partition(k - 1)
        return keys.new_tensor(array[k - 1])
    return _bisected(keys, k)


def _on_host(keys: Tensor) -> bool:
    """Whether NumPy can read the keys: a subclass may have no memory, nor has what is traced."""
    return keys.device.type == "cpu" and type(keys) is Tensor and not torch.compiler.is_compiling()


def _bisected(keys: Tensor, k: int) -> Tensor:
    """The same where reading a value back would wait for the device: every bit is a pass.

    Plain reductions, so a CUDA graph can capture it, and it is deterministic: kthvalue is refused
    under ``torch.use_deterministic_algorithms``.
    """
    limits = torch.iinfo(keys.dtype)
    low, high = (keys.new_full((), limit) for limit in (limits.min, limits.max))
    for _ in range(limits.bits):
        middle = (low & high) + ((low ^ high) >> 1)  # rounded down, without overflow
        enough = (keys <= middle).sum() >= k
        low, high = torch.where(enough, low, middle + 1), torch.where(enough, middle, high)
    return high


def _choose_by_comparing(chosen: Tensor, keys: Tensor, block: BlockShape, zeros: int) -> None:
    """Mark the elements that fewer than ``zeros`` of their block rank before."""
    lanes = list(_lanes(keys, block))
    for place, (out, lane) in enumerate(zip(_lanes(chosen, block), lanes, strict=True)):
        before = torch.zeros_like(lane, dtype=torch.int8)
        for other_place, other in enumerate(lanes):
            if other_place == place:
                continue
            rows, cols = (min(a, b) for a, b in zip(lane.shape, other.shape, strict=True))
            mine, theirs = lane[:rows, :cols], other[:rows, :cols]
            before[:rows, :cols] += theirs <= mine if other_place < place else theirs < mine
        torch.lt(before, zeros, out=out)


def _choose_by_sorting(keys: Tensor, block: BlockShape, zeros: int) -> Tensor:
    """The same by a stable sort of every block; padding sorts behind every real element."""
    (rows, cols), (height, width) = keys.shape, block
    down, across = ceil(rows / height), ceil(cols / width)
    padded = keys.new_full((down * height, across * width), torch.iinfo(keys.dtype).max)
    padded[:rows, :cols] = keys
    blocks = padded.view(down, height, across, width).transpose(1, 2).reshape(down, across, -1)
    lowest = blocks.sort(dim=2, stable=True).indices[:, :, :zeros]
    chosen = torch.zeros_like(blocks, dtype=torch.bool).scatter_(2, lowest, value=True)
    tiles = chosen.view(down, across, height, width).transpose(1, 2)
    return tiles.reshape(padded.shape)[:rows, :cols]


def _spread(blocks: Tensor, block: BlockShape, shape: torch.Size) -> Tensor:
    """Every block's flag, repeated over its elements and cut to ``shape``."""
    (down, across), (height, width) = blocks.shape, block
    tiles = blocks[:, None, :, None].expand(down, height, across, width)
    return tiles.reshape(down * height, across * width)[: shape[0], : shape[1]]
