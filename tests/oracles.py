"""Slow, simple reference implementations of the masks, after ``docs/semantics.md``.

``mask`` is pure Python over NumPy scalars, rounds each operation by itself, and takes microseconds
per element. ``mask_by_sorting`` computes the same with NumPy arrays, for tensors of millions of
elements whose shape the block divides. A test compares the two.
"""

from collections.abc import Callable, Iterator
from math import ceil
from typing import Any

import numpy as np
import torch
from torch import Tensor

Array = np.ndarray[Any, Any]
Norm = Callable[[Any], Any]
Index = tuple[int, int]


def l1(w: Any) -> Any:
    return abs(w)


def l2(w: Any) -> Any:
    return w * w


def wide(weight: Tensor) -> Array:
    """Return the values in the precision of scores: float32, or float64 for float64."""
    dtype = torch.float64 if weight.dtype == torch.float64 else torch.float32
    return weight.detach().to(dtype).numpy()


def mask(
    weight: Tensor, level: float, block: tuple[int, int], zeros: int | None, norm: Norm = l2
) -> Array:
    """Return True where the weight is kept."""
    with np.errstate(all="ignore"):
        values = wide(weight)
        scores = {index: norm(values[index]) for index in np.ndindex(values.shape)}
        blocks = list(_blocks(values.shape, block))
        lowest = _lowest([_mean([scores[index] for index in inside]) for inside in blocks])
        keep = np.ones(values.shape, dtype=bool)
        for number in lowest[: selected(len(blocks), level)]:
            inside = blocks[number]
            for element in _lowest([scores[index] for index in inside])[:zeros]:
                keep[inside[element]] = False
    return keep


def selected(blocks: int, level: float) -> int:
    """Return how many blocks a level selects."""
    if level <= 0:
        return 0
    if level >= 1:
        return blocks
    return max(0, min(round(level * blocks), blocks - 1))


def _blocks(shape: Index, block: Index) -> Iterator[list[Index]]:
    """Yield the indices inside every block, blocks and indices in row-major order."""
    (rows, cols), (height, width) = shape, block
    for top in range(0, rows, height):
        for left in range(0, cols, width):
            yield [
                (r, c)
                for r in range(top, min(top + height, rows))
                for c in range(left, min(left + width, cols))
            ]


def _mean(scores: list[Any]) -> Any:
    total = type(scores[0])(0)
    for score in scores:
        total = total + score
    return total / type(total)(len(scores))


def _lowest(scores: list[Any]) -> list[int]:
    """Return indices from the lowest score to the highest, NaN last, ties by index."""

    def rank(index: int) -> tuple[bool, float, int]:
        score = scores[index]
        return (True, 0.0, index) if np.isnan(score) else (False, float(score), index)

    return sorted(range(len(scores)), key=rank)


def mask_by_sorting(
    weight: Tensor, level: float, block: tuple[int, int], zeros: int | None, norm: Norm = l2
) -> Array:
    """Return the same as :func:`mask`, where ``block`` divides the shape."""
    (rows, cols), (height, width) = weight.shape, block
    grid = ceil(rows / height), ceil(cols / width)
    tiles = norm(wide(weight)).reshape(grid[0], height, grid[1], width).swapaxes(1, 2)
    scores = tiles.reshape(-1, height * width)  # one row per block, its elements in row-major order
    sums = np.zeros(len(scores), scores.dtype)
    for lane in scores.T:
        sums += lane
    order = np.argsort(sums / scores.dtype.type(height * width), kind="stable")
    blocks = order[: selected(len(scores), level)]
    keep = np.ones(scores.shape, dtype=bool)
    if zeros is None:
        keep[blocks] = False
    else:
        lowest = np.argsort(scores[blocks], axis=1, kind="stable")[:, :zeros]
        keep[blocks[:, None], lowest] = False
    return keep.reshape(*grid, height, width).swapaxes(1, 2).reshape(rows, cols)
