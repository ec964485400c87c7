"""The CUDA path: a mask in one launch, or in seven (eleven of float64) where blocks are selected.

Nothing waits for the device and all work is on the current stream, so a CUDA graph can capture it
once a first step has compiled the kernels.

Not yet run on a GPU. The kernels were run by Triton's interpreter, on the CPU, and compiled for
compute capability 9.0. The interpreter computes with NumPy, program after program: it shows
neither a race between programs nor what contracting a multiplication and an addition would do.
That no launch may do so, and that divisions are exact, is read off the compiled code instead.
"""

from math import ceil
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor

from sparsebench.pruning.kernels import triton_scores, triton_select, triton_write
from sparsebench.pruning.masks.pattern import Pattern

# Whether the kernels are run by Triton's interpreter, which computes on CPU tensors too.
INTERPRETED = not isinstance(triton_write.write_blocks, triton.runtime.JITFunction)

# A fused multiply-add would round once where masks.py rounds twice.
OPTIONS = {"enable_fp_fusion": False}

_MOST_PLACES = 1024  # elements of a block: more do not fit a tile
_MOST_ELEMENTS = 1 << 30  # of a tensor: offsets have 32 bits
_MOST_PROGRAMS = 1024  # spans: about as many as an H100 or H200 runs at once
_TILE_ELEMENTS = 2048  # of the mask, written at a time
_KEY_TILE = 256  # blocks that a program scores
_COUNT_TILE = 1024  # keys counted at a time

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


class _Selection(NamedTuple):
    """What the kernels of ``triton_select.py`` leave: None where all blocks are selected."""

    keys: Tensor | None = None
    totals: Tensor | None = None
    ties: Tensor | None = None


class _Plan(NamedTuple):
    """A pattern as the kernels take it: sides of blocks end where the tensor does.

    Attributes:
        height, width: of a block.
        places: the next power of two from its size.
        tile: blocks whose mask is written at a time.
        span: blocks of a program.
        programs: how many there are.
    """

    height: int
    width: int
    places: int
    tile: int
    span: int
    programs: int


def supports(weight: Tensor, pattern: Pattern) -> bool:
    """Whether :func:`prune` can compute this mask."""
    height, width = _sides(pattern)
    return (
        weight.dtype in _FLOATS
        and height * width <= _MOST_PLACES
        and weight.numel() <= _MOST_ELEMENTS
    )


def writes(mask: Tensor) -> bool:
    """Whether :func:`prune` can write into this mask."""
    return mask.dtype in _FLOATS and mask.is_contiguous()


def prune(mask: Tensor, weight: Tensor, norm: str, pattern: Pattern) -> None:
    """Write the mask of ``weight`` into ``mask``: both contiguous and on one device.

    Args:
        mask: float16, bfloat16, float32 or float64.
        weight: shape (rows, cols), any of these, or scores in float32 or float64.
        norm: ``"l1"``, ``"l2"``, or ``"scores"`` where ``weight`` holds them already.
        pattern: one that prunes something, and not everything.
    """
    plan = _plan(pattern)
    with torch.cuda.device_of(weight):  # Triton launches on the current device
        chosen = _Selection()
        if pattern.selected < pattern.blocks:
            chosen = _select(weight, norm, pattern, plan)
        _write(mask, weight, norm, pattern, plan, chosen)


def _sides(pattern: Pattern) -> tuple[int, int]:
    (rows, cols), (height, width) = pattern.shape, pattern.block
    return min(rows, height), min(cols, width)


def _plan(pattern: Pattern) -> _Plan:
    height, width = _sides(pattern)
    places = _power_of_two(height * width)
    tile = max(1, _TILE_ELEMENTS // places)
    tiles = ceil(pattern.blocks / tile)
    each = ceil(tiles / _MOST_PROGRAMS)
    return _Plan(height, width, places, tile, each * tile, ceil(tiles / each))


def _power_of_two(least: int) -> int:
    return 1 << (least - 1).bit_length()


def _select(weight: Tensor, norm: str, pattern: Pattern, plan: _Plan) -> _Selection:
    """Score the blocks, then a launch for every byte of a key."""
    new = weight.new_empty
    keys = new(pattern.blocks, dtype=_key_type(weight))
    totals = weight.new_zeros(keys.itemsize, 256, dtype=torch.int32)
    ties = new(256, plan.programs, dtype=torch.int32)
    shape, blocks = (*pattern.shape, pattern.grid[1]), pattern.blocks
    _launch(
        triton_scores.write_keys,
        ceil(blocks / _KEY_TILE),
        (weight.detach(), keys, *shape, blocks, plan.height, plan.width, norm, _KEY_TILE),
    )
    for step in range(keys.itemsize):
        counted = keys, totals, ties, pattern.selected, step
        _launch(
            triton_select.count_bytes, plan.programs, (*counted, blocks, plan.span, _COUNT_TILE)
        )
    return _Selection(keys, totals, ties)


def _key_type(weight: Tensor) -> torch.dtype:
    return torch.uint64 if weight.dtype == torch.float64 else torch.uint32


def _write(
    mask: Tensor, weight: Tensor, norm: str, pattern: Pattern, plan: _Plan, chosen: _Selection
) -> None:
    selects = chosen.keys is not None
    ranks = pattern.zeros < plan.height * plan.width
    counts = pattern.selected, pattern.zeros, *pattern.shape, pattern.grid[1], pattern.blocks
    fixed = plan.height, plan.width, plan.places, norm, selects, ranks, plan.tile, _MOST_PROGRAMS
    _launch(
        triton_write.write_blocks,
        plan.programs,
        (weight.detach(), mask.detach(), *chosen, *counts, plan.span, *fixed),
    )


def _launch(kernel: Any, programs: int, arguments: tuple[Any, ...]) -> None:
    kernel[(programs,)](*arguments, **OPTIONS)
