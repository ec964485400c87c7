"""Which scores are the lowest, in NumPy: among all blocks, and inside each of them."""

from dataclasses import dataclass
from functools import lru_cache, partial
from math import isqrt
from typing import Any, NamedTuple

import numpy as np

from sparsebench.pruning.kernels.threads import run
from sparsebench.pruning.masks.pattern import BlockShape

Array = np.ndarray[Any, Any]

_SAMPLE = 1 << 14  # scores that narrow down where the threshold lies
_PIECE = 1 << 17  # scores that are looked at at once, so that what is made of them stays in cache


@dataclass(frozen=True)
class Choice:
    """The scores below ``threshold``, and those equal to it that come before ``end``.

    Attributes:
        scores: shape (rows, cols).
        threshold: the highest score that is chosen.
        end: a row-major index.
    """

    scores: Array
    threshold: Any
    end: int

    def chosen(self, rows: slice) -> Array:
        """True for the chosen scores of some rows, bool, shape (rows, cols)."""
        scores = self.scores[rows]
        end = self.end - rows.start * scores.shape[1]
        if end >= scores.size:
            return _at_most(scores, self.threshold)
        chosen = _below(scores, self.threshold)
        if end > 0:
            chosen.reshape(-1)[:end] = _at_most(scores.reshape(-1)[:end], self.threshold)
        return chosen


def lowest(scores: Array, k: int, threads: int) -> Choice:
    """The ``k`` lowest of ``scores``, at least 1; equal ones by row-major index, NaN highest."""
    flat = scores.reshape(-1)
    pieces = [flat[start : start + _PIECE] for start in range(0, flat.size, _PIECE)]
    threshold = _kth(flat, pieces, k, threads)
    quota = k - sum(run([partial(_count_below, piece, threshold) for piece in pieces], threads))
    end = 0
    for piece in pieces:
        equal = np.flatnonzero(_at_most(piece, threshold) ^ _below(piece, threshold))
        if quota <= equal.size:
            end += int(equal[quota - 1]) + 1
            break
        end, quota = end + piece.size, quota - equal.size
    return Choice(scores, threshold, end)


def _below(scores: Array, threshold: Any) -> Array:
    below: Array = ~np.isnan(scores) if np.isnan(threshold) else scores < threshold
    return below


def _at_most(scores: Array, threshold: Any) -> Array:
    if np.isnan(threshold):
        return np.ones(scores.shape, dtype=bool)
    at_most: Array = scores <= threshold
    return at_most


def _count_below(scores: Array, threshold: Any) -> int:
    return int(np.count_nonzero(_below(scores, threshold)))


def _kth(scores: Array, pieces: list[Array], k: int, threads: int) -> Any:
    """The ``k``-th lowest score (from 1); only those near it are copied and partitioned."""
    if scores.size > 4 * _SAMPLE:
        low, high = _bracket(scores, k)
        counted = run([partial(_between, piece, low, high) for piece in pieces], threads)
        rank = k - sum(below for below, _ in counted)
        near = np.concatenate([inside for _, inside in counted])
        if 0 < rank <= near.size:
            return np.partition(near, rank - 1)[rank - 1]
    return np.partition(scores, k - 1)[k - 1]


def _between(scores: Array, low: Any, high: Any) -> tuple[int, Array]:
    """How many scores are below ``low``, and those in [low, high]: none where an end is NaN."""
    below = scores < low
    inside = scores <= high
    inside &= low <= scores
    return int(np.count_nonzero(below)), scores[inside]


def _bracket(scores: Array, k: int) -> tuple[Any, Any]:
    """Two scores that the ``k``-th most probably lies between: four standard errors around."""
    sample = np.sort(scores[:: scores.size // _SAMPLE])
    middle = sample.size * k // scores.size
    error = 4 * isqrt(middle * (sample.size - middle) // sample.size) + 4
    infinite = scores.dtype.type(np.inf)
    low = sample[middle - error] if middle >= error else -infinite
    high = sample[middle + error] if middle + error < sample.size else infinite
    return low, high


def lowest_in_blocks(scores: Array, block: BlockShape, zeros: int) -> Array:
    """True for the ``zeros`` lowest elements of every block, as :func:`masks.lowest_in_blocks`.

    Every element is compared with the one so many rows and columns after it, for all distances
    inside a block; where that one lies in another block, it does not count. Those are more
    comparisons than pair by pair, but each runs over contiguous memory.

    Args:
        scores: shape (rows, cols), rows from a block's first one.
        block: (rows, cols) of a block, at most 128 elements.
        zeros: how many of each block.
    """
    places = _places(scores.shape, block)
    before = places.down[:, None] * places.widths + places.across
    nan = np.isnan(scores)
    some_nan = bool(nan.any())
    for pair in places.pairs:
        lower = scores[pair.later] < scores[pair.earlier]
        if some_nan:
            lower |= nan[pair.earlier] > nan[pair.later]
        lower &= pair.same_columns
        if block[0] > 1:
            lower &= pair.same_rows
        before[pair.earlier] += lower.view(np.int8)
        before[pair.later] -= lower.view(np.int8)
    chosen: Array = before < zeros
    return chosen


class _Pair(NamedTuple):
    """All elements, and for each the one at some distance after it; which share a block."""

    earlier: tuple[slice, slice]
    later: tuple[slice, slice]
    same_rows: Array
    same_columns: Array


class _Places(NamedTuple):
    """Where elements lie in their blocks: rows down, columns across, and the blocks' widths.

    As if all scores were equal, ``down * widths + across`` elements of its block come before one.
    """

    down: Array
    across: Array
    widths: Array
    pairs: list[_Pair]


@lru_cache(maxsize=2)  # a tensor's tiles have one shape, but for the last
def _places(shape: tuple[int, int], block: BlockShape) -> _Places:
    (rows, cols), (height, width) = shape, block
    down, across = np.arange(rows) % height, np.arange(cols) % width
    widths = np.minimum(width, cols - np.arange(cols) + across)
    pairs = [
        _pair(down, across, block, row, column)
        for row in range(min(height, rows))
        for column in range(1 - width if row else 1, width)
        if abs(column) < cols
    ]
    return _Places(down.astype(np.int8), across.astype(np.int8), widths.astype(np.int8), pairs)


def _pair(down: Array, across: Array, block: BlockShape, row: int, column: int) -> _Pair:
    rows, cols = down.size, across.size
    earlier = slice(0, rows - row), slice(max(0, -column), cols - max(0, column))
    later = slice(row, rows), slice(max(0, column), cols - max(0, -column))
    same_rows = down[earlier[0]] + row < block[0]
    place = across[earlier[1]] + column
    return _Pair(earlier, later, same_rows[:, None], (place >= 0) & (place < block[1]))
