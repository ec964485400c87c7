"""The compiled CPU path: a tensor's mask in one call, or in spans of block rows side by side."""

from contextlib import ExitStack
from functools import partial
from itertools import pairwise
from math import isqrt
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from sparsebench.pruning.kernels import loops
from sparsebench.pruning.kernels.threads import run
from sparsebench.pruning.masks.pattern import Pattern

Array = np.ndarray[Any, Any]

_loops: Any = loops  # numba types what it compiles by itself

# What the compiled loops see: float16 travels as uint16, bfloat16 as int16, and a mask's 1 as an
# integer of its width.
_ELEMENTS = {
    torch.float16: (np.uint16(0), np.int16(0x3C00)),
    torch.bfloat16: (np.int16(0), np.int16(0x3F80)),
    torch.float32: (np.float32(0), np.int32(0x3F800000)),
    torch.float64: (np.float64(0), np.int64(0x3FF0 << 48)),
}
_NORMS = {"l1": _loops.MAGNITUDE, "l2": _loops.SQUARE, "scores": _loops.AS_IS}

_ONE_CALL = 1 << 17  # elements up to which one call on one thread is the fastest
_RANKED_WHOLE = 1 << 16  # blocks up to which no sample is drawn
_SAMPLE = 4096  # blocks that bracket the threshold
_SPANS_PER_THREAD = 4  # so that a thread that a neighbour held up is not waited for


class _Tensors(NamedTuple):
    """What every compiled call takes: two addresses, element types, shape, pattern and norm."""

    source: int
    like: Any
    target: int
    one: Any
    pattern: Pattern
    norm: Any

    @property
    def key(self) -> np.dtype[Any]:
        return np.dtype(np.int64 if self.like.dtype == np.float64 else np.int32)

    @property
    def scoring(self) -> tuple[Any, ...]:
        return (*self.pattern.shape, *self.pattern.block, self.norm)

    @property
    def writing(self) -> tuple[Any, ...]:
        return (*self.pattern.shape, *self.pattern.block, self.pattern.zeros, self.norm)


class _Span(NamedTuple):
    """Block rows [start, stop) and their keys: none where they are computed again instead."""

    start: int
    stop: int
    keys: Array


class _Choice(NamedTuple):
    """Select the keys below ``threshold`` and, in each span, the first ``quota`` equal to it."""

    threshold: int
    quotas: list[int]


def supports(mask: Tensor, weight: Tensor) -> bool:
    """Whether :func:`prune` can write this mask from this weight."""
    return (
        weight.dtype in _ELEMENTS
        and mask.dtype is weight.dtype
        and mask.is_contiguous()
        and weight.is_contiguous()
    )


def prune(mask: Tensor, weight: Tensor, norm: str, pattern: Pattern) -> None:
    """Write the mask of ``weight`` into ``mask``: both contiguous, on the CPU, of one dtype.

    Between the passes the mask's own memory holds the blocks' keys: fresh memory would cost its
    page faults in every step. Interrupted there, it is left all ones.
    """
    like, one = _ELEMENTS[weight.dtype]
    rows, cols = pattern.shape
    source, target, how = weight.data_ptr(), mask.data_ptr(), _NORMS[norm]
    if rows * cols <= _ONE_CALL:
        height, width = pattern.block
        zeros, k = pattern.zeros, pattern.selected
        _loops.prune(source, like, target, one, rows, cols, height, width, zeros, how, k)
    else:
        tensors = _Tensors(source, like, target, one, pattern, how)
        with ExitStack() as interrupted:
            interrupted.callback(mask.fill_, 1)
            _in_spans(tensors, _memory(mask), torch.get_num_threads())
            interrupted.pop_all()


def _memory(mask: Tensor) -> Array:
    """The bytes of a contiguous tensor, shared."""
    memory: Array = mask.detach().view(-1).view(torch.uint8).numpy()
    return memory


def _in_spans(tensors: _Tensors, memory: Array, threads: int) -> None:
    pattern = tensors.pattern
    spans = _spans(pattern, threads, tensors.key)
    choice = _Choice(0, [-1] * len(spans))
    if pattern.selected < pattern.blocks:
        if pattern.block != (1, 1):  # computing such a key again is cheaper than reading it
            spans = _with_keys(spans, pattern, memory)
        spans, choice = _choose(tensors, spans, threads)
    run(
        [
            partial(_write, tensors, span, choice.threshold, quota)
            for span, quota in zip(spans, choice.quotas, strict=True)
        ],
        threads,
    )


def _spans(pattern: Pattern, threads: int, key: np.dtype[Any]) -> list[_Span]:
    """About equal spans of block rows, without keys."""
    down = pattern.grid[0]
    pieces = min(down, threads * _SPANS_PER_THREAD if threads > 1 else 1)
    edges = [down * piece // pieces for piece in range(pieces + 1)]
    return [_Span(start, stop, np.empty(0, key)) for start, stop in pairwise(edges)]


def _with_keys(spans: list[_Span], pattern: Pattern, memory: Array) -> list[_Span]:
    """The spans with room for their keys, at the end of their own part of the mask's memory.

    There a block row's keys are read before the rows of the mask reach them, because they take no
    more bytes than its rows do; where an edge or an odd size breaks that, they get memory anew.
    """
    rows, height, (down, across) = pattern.shape[0], pattern.block[0], pattern.grid
    key = spans[0].keys.dtype
    row = memory.size // rows
    room = across * key.itemsize
    if (
        room > row * (rows - (down - 1) * height)
        or row * height % key.itemsize
        or row % key.itemsize
    ):
        return [
            span._replace(keys=np.empty((span.stop - span.start) * across, key)) for span in spans
        ]
    ends = [min(span.stop * height, rows) * row for span in spans]
    return [
        span._replace(keys=memory[end - (span.stop - span.start) * room : end].view(key))
        for span, end in zip(spans, ends, strict=True)
    ]


def _choose(tensors: _Tensors, spans: list[_Span], threads: int) -> tuple[list[_Span], _Choice]:
    """The lowest blocks, from a sample's bracket of the threshold, or else from all keys."""
    if tensors.pattern.blocks > _RANKED_WHOLE:
        choice = _choose_near(tensors, spans, threads)
        if choice is not None:
            return spans, choice
    if not spans[0].keys.size:
        nowhere = np.empty(0, np.uint8)
        spans = _with_keys(spans, tensors.pattern, nowhere)
    return spans, _choose_among_all(tensors, spans, threads)


def _choose_near(tensors: _Tensors, spans: list[_Span], threads: int) -> _Choice | None:
    """The choice if the threshold lies in the sample's bracket, and few enough keys do."""
    key = spans[0].keys.dtype
    low, high = _bracket(tensors, key)
    across = tensors.pattern.grid[1]
    rooms = [np.empty(((s.stop - s.start) // 8 + 2) * across, key) for s in spans]
    counts = run(
        [
            partial(_score, tensors, span, low, high, room)
            for span, room in zip(spans, rooms, strict=True)
        ],
        threads,
    )
    rank = tensors.pattern.selected - sum(below for below, _ in counts)
    sizes = [size for _, size in counts]
    fits = all(size <= room.size for size, room in zip(sizes, rooms, strict=True))
    if not fits or not 0 < rank <= sum(sizes):
        return None
    near = [room[:size] for size, room in zip(sizes, rooms, strict=True)]
    return _ranked(np.concatenate(near), near, rank)


def _choose_among_all(tensors: _Tensors, spans: list[_Span], threads: int) -> _Choice:
    key = spans[0].keys.dtype
    least, most = np.iinfo(key).min, np.iinfo(key).max
    room = np.empty(0, key)  # none is wanted: the bracket is empty
    run(
        [partial(_score, tensors, span, key.type(most), key.type(least), room) for span in spans],
        threads,
    )
    keys = [span.keys for span in spans]
    return _ranked(np.concatenate(keys), keys, tensors.pattern.selected)


def _ranked(keys: Array, parts: list[Array], rank: int) -> _Choice:
    """The ``rank`` lowest of ``keys``, equal ones in the order of their parts."""
    threshold, left = _loops.kth(keys, rank)
    quotas = []
    for part in parts:
        quotas.append(min(left, _loops.count(part, threshold)))
        left -= quotas[-1]
    return _Choice(threshold, quotas)


def _bracket(tensors: _Tensors, key: np.dtype[Any]) -> tuple[Any, Any]:
    """Two keys that the threshold most probably lies between: three standard errors around."""
    pattern = tensors.pattern
    keys = np.empty(_SAMPLE, key)
    _loops.sample(tensors.source, tensors.like, *tensors.scoring, keys)
    keys.sort()
    middle = _SAMPLE * pattern.selected // pattern.blocks
    error = 3 * isqrt(middle * (_SAMPLE - middle) // _SAMPLE) + 2
    extremes = np.iinfo(key)
    low = keys[middle - error] if middle >= error else key.type(extremes.min)
    high = keys[middle + error] if middle + error < _SAMPLE else key.type(extremes.max)
    return low, high


def _score(tensors: _Tensors, span: _Span, low: Any, high: Any, room: Array) -> tuple[int, int]:
    source, like, scoring = tensors.source, tensors.like, tensors.scoring
    below, size = _loops.score(
        source, like, span.start, span.stop, *scoring, span.keys, low, high, room
    )
    return below, size


def _write(tensors: _Tensors, span: _Span, threshold: int, quota: int) -> None:
    source, like, target, one = tensors.source, tensors.like, tensors.target, tensors.one
    place = (span.start, span.stop, *tensors.writing)
    limit = span.keys.dtype.type(threshold)
    _loops.write(source, like, target, one, *place, span.keys, limit, quota)
