"""The CPU path without a compiler: NumPy on tiles of rows that fit the caches.

NumPy rather than torch, because it compares and casts flags five times as fast (on one core of an
AMD EPYC .09 ns an element against .47 and .55), and because it starts no threads of its own, so
that tiles can run side by side on ours.
"""

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sparsebench.pruning import masks
from sparsebench.pruning.kernels.lowest import Choice, lowest, lowest_in_blocks
from sparsebench.pruning.kernels.threads import run
from sparsebench.pruning.masks.pattern import Pattern

Array = np.ndarray[Any, Any]

_TILE = 1 << 20  # elements: 4 MiB of float32; smaller tiles cost more in calls than they save
_UNSHARED = 1 << 15  # elements below which torch uses the calling thread alone
_MOST_COMPARED = 32  # elements a block up to which comparing all distances beats a stable sort
_BFLOAT16_ONE = np.int16(0x3F80)


@dataclass(frozen=True)
class _Job:
    """What a tile is computed from and written to; ``one`` is the mask's 1 in its own dtype."""

    mask: Array
    one: Any
    weight: Tensor
    norm: masks.Norm | None  # None: the weight holds scores already
    pattern: Pattern

    def rows(self, tile: slice) -> slice:
        """The rows of a tile, which counts block rows."""
        height = self.pattern.block[0]
        return slice(tile.start * height, min(tile.stop * height, self.pattern.shape[0]))


def prune(mask: Tensor, weight: Tensor, norm: masks.Norm, pattern: Pattern) -> None:
    """Write the mask of ``weight`` into ``mask``: plain tensors on the CPU, of any strides."""
    known = norm in (masks.l1, masks.l2)
    source = weight.detach() if known else masks.element_scores(weight, norm)
    job = _Job(*_writable(mask), source, norm if known else None, pattern)
    threads, tiles = torch.get_num_threads(), _tiles(pattern)
    choice = None
    if pattern.selected < pattern.blocks:
        means = np.zeros(pattern.grid, _score_type(source))
        run([partial(_add_up, job, tile, means[tile]) for tile in tiles], threads)
        choice = lowest(means, pattern.selected, threads)
    run([partial(_write, job, tile, choice) for tile in tiles], threads)
    torch.autograd.graph.increment_version(mask)  # as every write of torch's own does


def _writable(mask: Tensor) -> tuple[Array, Any]:
    """The mask's memory and its 1; NumPy has no bfloat16, so that is written as its bits."""
    if mask.dtype == torch.bfloat16:
        bits: Array = mask.detach().view(torch.int16).numpy()
        return bits, _BFLOAT16_ONE
    array: Array = mask.detach().numpy()
    return array, array.dtype.type(1)


def _tiles(pattern: Pattern) -> list[slice]:
    """Block rows in pieces of about ``_TILE`` elements."""
    down = pattern.grid[0]
    pieces = range(0, down, max(1, _TILE // (pattern.block[0] * pattern.shape[1])))
    return [slice(start, stop) for start, stop in pairwise([*pieces, down])]


def _score_type(weight: Tensor) -> type[np.floating[Any]]:
    return np.float64 if weight.dtype == torch.float64 else np.float32


def _element_scores(job: _Job, tile: slice) -> Array:
    """As :func:`masks.element_scores`."""
    wide: Array = _widened(job.weight[job.rows(tile)]).numpy()
    if job.norm is masks.l2:
        with np.errstate(all="ignore"):  # an infinite score is one like any other
            wide = wide * wide
    elif job.norm is masks.l1:
        wide = np.abs(wide)
    return wide


def _widened(weight: Tensor) -> Tensor:
    """In float32, or float64, cast in pieces that torch does not share out to its own threads."""
    if weight.dtype in (torch.float32, torch.float64):
        return weight
    wide = torch.empty_like(weight, dtype=torch.float32)
    rows = max(1, (_UNSHARED - 1) // weight.shape[1])
    for piece, values in zip(wide.split(rows), weight.split(rows), strict=True):
        piece.copy_(values)
    return wide


def _add_up(job: _Job, tile: slice, means: Array) -> None:
    """Add the blocks' mean scores to ``means``, which are 0, as :func:`masks.block_scores`.

    What an edge block lacks enters as 0, which changes no sum: one that starts at 0.0 is never
    -0.0. The columns of the blocks are made contiguous, so that each sum is one of whole rows.
    """
    (rows, cols), (height, width) = job.pattern.shape, job.pattern.block
    down, across = tile.stop - tile.start, job.pattern.grid[1]
    scores = _padded(_element_scores(job, tile), (down * height, across * width))
    columns = np.ascontiguousarray(np.moveaxis(scores.reshape(-1, across, width), 2, 0))
    lanes = columns.reshape(width, down, height, across)
    with np.errstate(all="ignore"):
        for row in range(height):
            for column in range(width):
                means += lanes[column, :, row]
        means /= np.multiply.outer(
            _in_bounds(rows, height, tile, means.dtype),
            _in_bounds(cols, width, slice(0, across), means.dtype),
        )


def _padded(scores: Array, shape: tuple[int, int]) -> Array:
    if scores.shape == shape:
        return scores
    whole = np.zeros(shape, scores.dtype)
    whole[: scores.shape[0], : scores.shape[1]] = scores
    return whole


def _in_bounds(size: int, side: int, blocks: slice, dtype: np.dtype[Any]) -> Array:
    """How many of a side's ``side`` elements exist, for some blocks along one dimension."""
    counts: Array = np.minimum(side, size - side * np.arange(blocks.start, blocks.stop))
    return counts.astype(dtype)


def _write(job: _Job, tile: slice, choice: Choice | None) -> None:
    """Write the mask of a tile; without a choice all blocks are selected."""
    mask, pattern = job.mask[job.rows(tile)], job.pattern
    if choice is not None:
        _spread(~choice.chosen(tile) * job.one, mask, pattern)
    if pattern.zeros == pattern.block[0] * pattern.block[1]:
        return
    keep = ~_chosen_elements(_element_scores(job, tile), pattern)
    if choice is None:
        np.multiply(keep, job.one, out=mask)
    else:
        np.putmask(mask, keep, job.one)


def _spread(values: Array, mask: Array, pattern: Pattern) -> None:
    """Write every block's value into all of its elements."""
    (height, width), cols = pattern.block, pattern.shape[1]
    for column in range(min(width, cols)):
        place = mask[::height, column::width]
        place[:] = values[:, : place.shape[1]]
    for row in range(1, min(height, len(mask))):
        below = mask[row::height]
        below[:] = mask[::height][: len(below)]


def _chosen_elements(scores: Array, pattern: Pattern) -> Array:
    if pattern.block[0] * pattern.block[1] <= _MOST_COMPARED:
        return lowest_in_blocks(scores, pattern.block, pattern.zeros)
    sorted_out = masks.lowest_in_blocks(torch.from_numpy(scores), pattern.block, pattern.zeros)
    chosen: Array = sorted_out.numpy()
    return chosen
