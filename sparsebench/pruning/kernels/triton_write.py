"""Triton kernel: write the mask from the threshold and from ranks inside each block."""

# mypy: ignore-errors
# ruff: noqa: N803
# Types here are Triton's. By its convention, compile-time constants are in capitals.

import triton
import triton.language as tl

from sparsebench.pruning.kernels.triton_scores import element_score, key_of
from sparsebench.pruning.kernels.triton_select import narrowed, ties_before


@triton.jit
def _keys_at(weight, row, col, exists, rows, cols, NORM: tl.constexpr):
    inside = exists & (row < rows) & (col < cols)
    x = tl.load(weight + row * cols + col, mask=inside, other=0)
    return key_of(element_score(x, NORM)), inside


@triton.jit
def _ranked_before(
    weight,
    keys,
    index,
    top,
    left,
    exists,
    rows,
    cols,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    NORM: tl.constexpr,
):
    """Return how many elements of its block rank before each one, shape of ``keys``.

    The block's elements are loaded again, one at a time: they are in the nearest cache, and
    comparing a tile of keys with itself would go through shared memory.
    """
    before = tl.zeros(keys.shape, tl.int32)
    for other in range(HEIGHT * WIDTH):
        row, col = top + other // WIDTH, left + other % WIDTH
        other_keys, inside = _keys_at(weight, row, col, exists, rows, cols, NORM)
        lower = (other_keys < keys) | ((other_keys == keys) & (other < index))
        before += (lower & inside).to(tl.int32)
    return before


@triton.jit(do_not_specialize=["k", "zeros"])
def write_blocks(
    weight,
    mask,
    keys,
    totals,
    ties,
    k,
    zeros,
    rows,
    cols,
    across,
    blocks,
    span,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    PADDED_SIZE: tl.constexpr,
    NORM: tl.constexpr,
    SELECTS: tl.constexpr,
    RANKS: tl.constexpr,
    TILE: tl.constexpr,
    MAX_PROGRAMS: tl.constexpr,
):
    """Write 1 where an element is kept and 0 where it is pruned, TILE blocks at a time.

    Args:
        weight, mask: shape (rows, cols), contiguous.
        keys, totals, ties, k, span: see ``triton_select.py``.
        zeros: zeros inside a selected block.
        PADDED_SIZE: HEIGHT * WIDTH, rounded up to a power of two.
        SELECTS: whether only the k lowest blocks are selected.
        RANKS: whether selected blocks keep some of their elements.
    """
    program = tl.program_id(0)
    stop = tl.minimum((program + 1) * span, blocks)
    index = tl.arange(0, PADDED_SIZE)[None, :]
    if SELECTS:
        threshold, quota = narrowed(totals, keys, k, keys.dtype.element_ty.primitive_bitwidth // 8)
        quota -= ties_before(ties, threshold, MAX_PROGRAMS)
    for first in range(program * span, stop, TILE):
        block = first + tl.arange(0, TILE)
        pruned = block < stop
        if SELECTS:
            key = tl.load(keys + block, mask=block < stop, other=0)
            tied = (key == threshold) & (block < stop)
            pruned = (key < threshold) | (tied & (tl.cumsum(tied.to(tl.int32), 0) <= quota))
            quota -= tl.sum(tied.to(tl.int32), 0)
        top, left = (block // across * HEIGHT)[:, None], (block % across * WIDTH)[:, None]
        exists = (block < stop)[:, None]
        row, col = top + index // WIDTH, left + index % WIDTH
        inside = exists & (index < HEIGHT * WIDTH) & (row < rows) & (col < cols)
        keep = ~(pruned[:, None] & inside)
        if RANKS:
            own, _ = _keys_at(weight, row, col, inside, rows, cols, NORM)
            before = _ranked_before(
                weight, own, index, top, left, exists, rows, cols, HEIGHT, WIDTH, NORM
            )
            keep |= before >= zeros
        # Through float32: the interpreter takes an integer as the bits of a bfloat16.
        value = keep.to(tl.float32).to(mask.dtype.element_ty)
        tl.store(mask + row * cols + col, value, mask=inside)
