"""The CUDA path: one launch per mask, or seven (eleven for float64) where blocks are selected.

Nothing waits for the device and all work is on the current stream. So a CUDA graph can capture a
step, once a first step has compiled the kernels.

At commit cb72887 it ran on one H100: 2,355 golden digests were equal, steps on three streams at
once and 20 repeats gave the same masks, and the replay of a captured step followed the weight
(docs/semantics.md; times in docs/performance.md).

Tests without a GPU run the kernels by Triton's interpreter on the CPU. It computes with NumPy, one
program after the other: it shows neither races between programs nor the effect of fused
multiply-adds. A test reads the code compiled for compute capability 9.0 instead: no operation is
fused, and divisions are exact.
"""

from math import ceil
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor

from sparsebench.pruning.kernels import triton_scores, triton_select, triton_write
from sparsebench.pruning.masks.pattern import Pattern

# Whether the kernels run in Triton's interpreter, which computes on CPU tensors too.
INTERPRETED = not isinstance(triton_write.write_blocks, triton.runtime.JITFunction)

# A fused multiply-add would round once where masks/reference.py rounds twice.
OPTIONS = {"enable_fp_fusion": False}

MAX_BLOCK_ELEMENTS = 1024  # a larger block does not fit a tile
MAX_ELEMENTS = 1 << 30  # of a tensor, because offsets have 32 bits

# Tuning. No value changes a bit of a mask.
MAX_PROGRAMS = 1024  # about as many as an H100 or H200 runs at once
TILE_ELEMENTS = 2048  # elements of the mask written at a time
KEY_TILE = 256  # blocks scored per program
COUNT_TILE = 1024  # keys counted at a time

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


class _SelectionBuffers(NamedTuple):
    """Results of the kernels of ``triton_select.py``; None where all blocks are selected."""

    keys: Tensor | None = None
    totals: Tensor | None = None
    ties: Tensor | None = None


class LaunchPlan(NamedTuple):
    """How a pattern is divided among programs.

    Attributes:
        height, width: of a block, at most the tensor's.
        padded_size: the block size, rounded up to a power of two.
        tile: blocks whose mask is written at a time.
        span: blocks per program.
        programs: number of programs.
    """

    height: int
    width: int
    padded_size: int
    tile: int
    span: int
    programs: int


def supports(weight: Tensor, pattern: Pattern) -> bool:
    """Return whether :func:`prune` can compute this mask."""
    height, width = _block_sides(pattern)
    return (
        weight.dtype in _FLOATS
        and height * width <= MAX_BLOCK_ELEMENTS
        and weight.numel() <= MAX_ELEMENTS
    )


def writes(mask: Tensor, weight: Tensor) -> bool:  # noqa: ARG001  # as cpu.writes
    """Return whether :func:`prune` can write into this mask."""
    return mask.dtype in _FLOATS and mask.is_contiguous()


def prune(mask: Tensor, weight: Tensor, norm: str, pattern: Pattern) -> None:
    """Write the mask of ``weight`` into ``mask``: both contiguous and on one device.

    Args:
        mask: float16, bfloat16, float32 or float64.
        weight: shape (rows, cols), any of these, or scores in float32 or float64.
        norm: ``"l1"``, ``"l2"``, or ``"scores"`` where ``weight`` holds scores already.
        pattern: not a constant one.
    """
    plan = launch_plan(pattern)
    with torch.cuda.device_of(weight):  # Triton launches on the current device
        selection = _SelectionBuffers()
        if pattern.selected < pattern.blocks:
            selection = _select(weight, norm, pattern, plan)
        _write(mask, weight, norm, pattern, plan, selection)


def _block_sides(pattern: Pattern) -> tuple[int, int]:
    (rows, cols), (height, width) = pattern.shape, pattern.block
    return min(rows, height), min(cols, width)


def launch_plan(pattern: Pattern) -> LaunchPlan:
    """Return how the kernels divide the blocks of a pattern among programs."""
    height, width = _block_sides(pattern)
    padded_size = 1 << (height * width - 1).bit_length()
    tile = max(1, TILE_ELEMENTS // padded_size)
    tiles = ceil(pattern.blocks / tile)
    tiles_per_program = ceil(tiles / MAX_PROGRAMS)
    programs = ceil(tiles / tiles_per_program)
    return LaunchPlan(height, width, padded_size, tile, tiles_per_program * tile, programs)


def _select(weight: Tensor, norm: str, pattern: Pattern, plan: LaunchPlan) -> _SelectionBuffers:
    """Score the blocks, then find the threshold with one launch per byte of a key."""
    key_type = torch.uint64 if weight.dtype == torch.float64 else torch.uint32
    keys = weight.new_empty(pattern.blocks, dtype=key_type)
    totals = weight.new_zeros(keys.itemsize, 256, dtype=torch.int32)
    ties = weight.new_empty(256, plan.programs, dtype=torch.int32)
    shape, blocks = (*pattern.shape, pattern.grid[1]), pattern.blocks
    launch(
        triton_scores.write_keys,
        ceil(blocks / KEY_TILE),
        (weight.detach(), keys, *shape, blocks, plan.height, plan.width, norm, KEY_TILE),
    )
    for step in range(keys.itemsize):
        counted = keys, totals, ties, pattern.selected, step
        launch(triton_select.count_bytes, plan.programs, (*counted, blocks, plan.span, COUNT_TILE))
    return _SelectionBuffers(keys, totals, ties)


def _write(
    mask: Tensor,
    weight: Tensor,
    norm: str,
    pattern: Pattern,
    plan: LaunchPlan,
    buffers: _SelectionBuffers,
) -> None:
    selects = buffers.keys is not None
    ranks = pattern.zeros < plan.height * plan.width
    counts = pattern.selected, pattern.zeros, *pattern.shape, pattern.grid[1], pattern.blocks
    fixed = plan.height, plan.width, plan.padded_size, norm, selects, ranks, plan.tile, MAX_PROGRAMS
    launch(
        triton_write.write_blocks,
        plan.programs,
        (weight.detach(), mask.detach(), *buffers, *counts, plan.span, *fixed),
    )


def launch(kernel: Any, programs: int, arguments: tuple[Any, ...]) -> None:
    """Launch ``kernel`` with the options that every kernel needs."""
    kernel[(programs,)](*arguments, **OPTIONS)
