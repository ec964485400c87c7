"""Triton kernels: find the k-th lowest key by a radix selection, one byte per pass.

Every pass counts one byte of the keys that share the higher bytes of the k-th lowest key. After
the last pass that key is known, and how many of the keys equal to it are selected. Nothing is read
back to the host. Counts are integers, so the order in which they are added changes nothing.

A program reads ``span`` consecutive keys. In the last pass it also stores its own counts, from
which every program knows how many keys equal to the k-th lowest come before its span.
"""

# mypy: ignore-errors
# ruff: noqa: N803, N806
# Types here are Triton's. By its convention, compile-time constants are in capitals.

import triton
import triton.language as tl


@triton.jit
def narrowed(totals, keys, k, passes):
    """Return the first ``passes`` bytes of the k-th lowest key, and its rank among keys with them.

    Args:
        totals: counts of every byte's values, shape (bytes of a key, 256).
        keys: gives the type of a key.
        k: from 1.
    """
    value = tl.arange(0, 256)
    prefix = tl.zeros([], keys.dtype.element_ty)
    rank = k
    for step in range(passes):
        up_to = tl.cumsum(tl.load(totals + step * 256 + value), 0)
        below = up_to < rank
        prefix = (prefix << 8) | tl.sum(below.to(tl.int32), 0).to(prefix.dtype)
        rank -= tl.max(tl.where(below, up_to, 0), 0)
    return prefix, rank


@triton.jit(do_not_specialize=["k", "step"])
def count_bytes(keys, totals, ties, k, step, blocks, span, TILE: tl.constexpr):
    """Add the span's counts of pass ``step`` to ``totals``, and in the last pass to ``ties``.

    Args:
        keys: shape (blocks,).
        totals: shape (bytes of a key, 256), zeros before the first pass.
        ties: shape (256, programs), so that the counts of a byte are contiguous.
        k: number of selected blocks, at least 1.
    """
    BITS: tl.constexpr = keys.dtype.element_ty.primitive_bitwidth
    prefix, _ = narrowed(totals, keys, k, step)
    shift = BITS - 8 - 8 * step
    program = tl.program_id(0)
    stop = tl.minimum((program + 1) * span, blocks)
    counts = tl.zeros([256], tl.int32)
    for first in range(program * span, stop, TILE):
        index = first + tl.arange(0, TILE)
        exists = index < stop
        rest = tl.load(keys + index, mask=exists, other=0) >> shift.to(keys.dtype.element_ty)
        counts += tl.histogram((rest & 255).to(tl.int32), 256, mask=exists & (rest >> 8 == prefix))
    value = tl.arange(0, 256)
    tl.atomic_add(totals + step * 256 + value, counts, mask=counts > 0, sem="relaxed")
    if shift == 0:
        tl.store(ties + value * tl.num_programs(0) + program, counts)


@triton.jit
def ties_before(ties, threshold, MAX_PROGRAMS: tl.constexpr):
    """Return how many keys equal to the threshold come before this program's span."""
    programs = tl.arange(0, MAX_PROGRAMS)
    own = (threshold & 255).to(tl.int32) * tl.num_programs(0)
    counts = tl.load(ties + own + programs, mask=programs < tl.program_id(0), other=0)
    return tl.sum(counts, 0)
