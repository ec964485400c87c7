"""Triton kernels: from weights to scores, from scores to keys.

The arithmetic is that of ``masks/reference.py``, bit for bit: a block's elements are added one by
one, divisions are rounded exactly, and the launches forbid fused multiply-adds. A *key* is an
unsigned integer that compares as a score does, with -0.0 equal to 0.0 and NaN above infinity.
"""

# mypy: ignore-errors
# ruff: noqa: N803, N806
# Types here are Triton's. By its convention, compile-time constants are in capitals.

import triton
import triton.language as tl


@triton.jit
def element_score(x, NORM: tl.constexpr):
    """Return the scores of elements, float32, or float64 for float64; NORM: l1, l2 or scores."""
    wide = x.to(tl.float64) if x.dtype == tl.float64 else x.to(tl.float32)
    if NORM == "l2":
        wide = wide * wide
    elif NORM == "l1":
        wide = tl.abs(wide)
    return wide


@triton.jit
def key_of(score):
    """Return the keys of scores: uint32 for float32, uint64 for float64."""
    BITS: tl.constexpr = score.dtype.primitive_bitwidth
    SIGN: tl.constexpr = 1 << (BITS - 1)
    ALL: tl.constexpr = 2 * SIGN - 1
    NAN: tl.constexpr = 2 * SIGN - 2
    bits = score.to(tl.uint64, bitcast=True) if BITS == 64 else score.to(tl.uint32, bitcast=True)
    # Not ~bits, of which Triton 3.7.1's interpreter makes a Python integer of -1.
    ordered = tl.where(bits < SIGN, bits | SIGN, bits ^ ALL)
    ordered = tl.where(score == 0, SIGN, ordered)
    return tl.where(score == score, ordered, NAN).to(bits.dtype)


@triton.jit
def _divided(total, count):
    if total.dtype == tl.float32:
        return tl.div_rn(total, count)  # for float32, "/" is an approximation
    else:  # noqa: RET505  # Triton compiles one branch, so it wants both
        return total / count


@triton.jit
def write_keys(
    weight,
    keys,
    rows,
    cols,
    across,
    blocks,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    NORM: tl.constexpr,
    TILE: tl.constexpr,
):
    """Write the key of every block's mean score, TILE blocks per program.

    Args:
        weight: shape (rows, cols), contiguous.
        keys: shape (blocks,).
        across: blocks in a row of blocks.
        HEIGHT, WIDTH: of a block.
    """
    block = tl.program_id(0) * TILE + tl.arange(0, TILE)
    top, left = block // across * HEIGHT, block % across * WIDTH
    exists = block < blocks
    WIDE: tl.constexpr = tl.float64 if weight.dtype.element_ty == tl.float64 else tl.float32
    total = tl.zeros([TILE], WIDE)
    for r in range(HEIGHT):
        for c in range(WIDTH):
            inside = exists & (top + r < rows) & (left + c < cols)
            x = tl.load(weight + (top + r) * cols + left + c, mask=inside, other=0)
            total += element_score(x, NORM)  # elements outside add 0.0, which changes no sum
    count = tl.minimum(rows - top, HEIGHT) * tl.minimum(cols - left, WIDTH)
    tl.store(keys + block, key_of(_divided(total, count.to(WIDE))), mask=exists)
