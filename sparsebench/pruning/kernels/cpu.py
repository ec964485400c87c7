"""The compiled CPU path: a mask in one call, or in spans of block rows on several threads.

A large tensor takes three steps, each of them a compiled loop over all spans: `_score` the blocks,
find the threshold (`_select`), `_write` the mask.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from itertools import pairwise
from math import isqrt
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from sparsebench.pruning.float_environment import available_threads, in_default_environment
from sparsebench.pruning.kernels import loops
from sparsebench.pruning.masks.pattern import Pattern

T = TypeVar("T")
Array = np.ndarray[Any, Any]

_loops: Any = loops  # typed by numba, not by annotations

# Per dtype, a scalar of the type that the loops see and the mask's 1 as an integer of that width.
# float16 is passed as uint16 and bfloat16 as int16.
_ELEMENTS = {
    torch.float16: (np.uint16(0), np.int16(0x3C00)),
    torch.bfloat16: (np.int16(0), np.int16(0x3F80)),
    torch.float32: (np.float32(0), np.int32(0x3F800000)),
    torch.float64: (np.float64(0), np.int64(0x3FF0 << 48)),
}
_NORMS = {"l1": _loops.MAGNITUDE, "l2": _loops.SQUARE, "scores": _loops.AS_IS}

# Tuning. No value changes a bit of a mask.
SINGLE_CALL_ELEMENTS = 1 << 17  # up to this size, one call on one thread is the fastest
UNSAMPLED_BLOCKS = 1 << 16  # up to this many blocks, the threshold is searched among all keys
SAMPLED_BLOCKS = 4096  # size of the sample that brackets the threshold
SPANS_PER_THREAD = 4  # more than one, so that a thread that was interrupted is not waited for


class _Tensors(NamedTuple):
    """What every compiled call takes: two addresses, element types, pattern and norm."""

    source: int
    like: Any
    target: int
    one: Any
    pattern: Pattern
    norm: Any

    @property
    def key_type(self) -> np.dtype[Any]:
        return np.dtype(np.int64 if self.like.dtype == np.float64 else np.int32)

    @property
    def scoring(self) -> tuple[Any, ...]:
        return (*self.pattern.shape, *self.pattern.block, self.norm)


class _Span(NamedTuple):
    """Block rows [start, stop) and memory for their keys; if empty, keys are recomputed."""

    start: int
    stop: int
    keys: Array


class _Threshold(NamedTuple):
    """Selects the keys below ``key`` and, in each span, the first ``quota`` equal to it."""

    key: int
    quotas: list[int]


def supports(weight: Tensor, pattern: Pattern) -> bool:  # noqa: ARG001  # as triton_path.supports
    """Return whether :func:`prune` can compute masks of this weight."""
    return weight.dtype in _ELEMENTS


def writes(mask: Tensor, weight: Tensor) -> bool:
    """Return whether :func:`prune` can write into this mask."""
    return mask.dtype is weight.dtype and mask.is_contiguous()


def prune(mask: Tensor, weight: Tensor, norm: str, pattern: Pattern) -> None:
    """Write the mask of ``weight`` into ``mask``: both contiguous, on the CPU, of one dtype.

    Between the passes the mask's own memory holds the blocks' keys, because fresh memory would
    cost page faults in every step. If a pass is interrupted, the mask is filled with ones.

    Args:
        mask, weight: shape (rows, cols); float16, bfloat16, float32 or float64.
        norm: ``"l1"``, ``"l2"``, or ``"scores"`` where ``weight`` holds scores already.
        pattern: not a constant one.
    """
    like, one = _ELEMENTS[weight.dtype]
    rows, cols = pattern.shape
    source, target, score_type = weight.data_ptr(), mask.data_ptr(), _NORMS[norm]
    if rows * cols <= SINGLE_CALL_ELEMENTS:
        height, width = pattern.block
        zeros, k = pattern.zeros, pattern.selected
        _loops.prune(source, like, target, one, rows, cols, height, width, zeros, score_type, k)
        return
    tensors = _Tensors(source, like, target, one, pattern, score_type)
    with ExitStack() as on_interrupt:
        on_interrupt.callback(mask.fill_, 1)
        memory: Array = mask.detach().view(-1).view(torch.uint8).numpy()
        _prune_in_spans(tensors, memory, available_threads())
        on_interrupt.pop_all()


def _prune_in_spans(tensors: _Tensors, memory: Array, threads: int) -> None:
    """Write the mask, whose bytes are ``memory``, in about equal spans of block rows."""
    pattern, block_rows = tensors.pattern, tensors.pattern.grid[0]
    count = min(block_rows, threads * SPANS_PER_THREAD if threads > 1 else 1)
    edges = [block_rows * index // count for index in range(count + 1)]
    no_keys = np.empty(0, tensors.key_type)
    spans = [_Span(start, stop, no_keys) for start, stop in pairwise(edges)]
    threshold = _Threshold(0, [-1] * count)  # all blocks
    if pattern.selected < pattern.blocks:
        if pattern.block != (1, 1):  # recomputing a key of one element is cheaper than reading it
            spans = _with_keys(spans, pattern, memory)
        spans, threshold = _select(tensors, spans, threads)
    calls = [
        partial(_write, tensors, span, threshold.key, quota)
        for span, quota in zip(spans, threshold.quotas, strict=True)
    ]
    _run(calls, threads)


def _with_keys(spans: list[_Span], pattern: Pattern, memory: Array) -> list[_Span]:
    """Return the spans with memory for their keys, at the end of their own part of ``memory``.

    The keys of a block row take no more bytes than its rows of the mask, so they are read before
    the mask overwrites them. Where an edge or an odd size breaks this rule, or ``memory`` is
    empty, the keys get memory of their own.
    """
    rows, height, (down, across) = pattern.shape[0], pattern.block[0], pattern.grid
    key_type = spans[0].keys.dtype
    row_bytes = memory.size // rows
    key_bytes = across * key_type.itemsize  # of one block row
    if (
        key_bytes > row_bytes * (rows - (down - 1) * height)
        or row_bytes * height % key_type.itemsize
        or row_bytes % key_type.itemsize
    ):
        return [
            span._replace(keys=np.empty((span.stop - span.start) * across, key_type))
            for span in spans
        ]
    ends = [min(span.stop * height, rows) * row_bytes for span in spans]
    return [
        span._replace(keys=memory[end - (span.stop - span.start) * key_bytes : end].view(key_type))
        for span, end in zip(spans, ends, strict=True)
    ]


def _select(tensors: _Tensors, spans: list[_Span], threads: int) -> tuple[list[_Span], _Threshold]:
    """Score all spans and return the lowest blocks, with the spans that hold their keys.

    A large tensor is first tried with the bracket of a sample, which gathers the few keys near
    the threshold. Where the bracket misses, and in a small tensor, all keys are ranked.
    """
    if tensors.pattern.blocks > UNSAMPLED_BLOCKS:
        threshold = _select_in_bracket(tensors, spans, threads)
        if threshold is not None:
            return spans, threshold
    if not spans[0].keys.size:
        spans = _with_keys(spans, tensors.pattern, np.empty(0, np.uint8))
    limits = np.iinfo(tensors.key_type)
    low, high = tensors.key_type.type(limits.max), tensors.key_type.type(limits.min)
    no_buffer = np.empty(0, tensors.key_type)  # the bracket is empty, so nothing is gathered
    _run([partial(_score, tensors, span, low, high, no_buffer) for span in spans], threads)
    keys = [span.keys for span in spans]
    return spans, _rank(np.concatenate(keys), keys, tensors.pattern.selected)


def _select_in_bracket(tensors: _Tensors, spans: list[_Span], threads: int) -> _Threshold | None:
    """Return the lowest blocks if the threshold is in the bracket and the keys there are few."""
    low, high = _bracket(tensors)
    across = tensors.pattern.grid[1]
    buffers = [np.empty(((s.stop - s.start) // 8 + 2) * across, tensors.key_type) for s in spans]
    calls = [
        partial(_score, tensors, span, low, high, buffer)
        for span, buffer in zip(spans, buffers, strict=True)
    ]
    counts = _run(calls, threads)
    rank = tensors.pattern.selected - sum(below for below, _ in counts)
    sizes = [size for _, size in counts]
    fits = all(size <= buffer.size for size, buffer in zip(sizes, buffers, strict=True))
    if not fits or not 0 < rank <= sum(sizes):
        return None
    near = [buffer[:size] for size, buffer in zip(sizes, buffers, strict=True)]
    return _rank(np.concatenate(near), near, rank)


def _rank(keys: Array, parts: list[Array], rank: int) -> _Threshold:
    """Return the threshold of the ``rank`` lowest of ``keys``; ties in the order of ``parts``."""
    key, ties = _loops.kth(keys, rank)
    quotas = []
    for part in parts:
        quotas.append(min(ties, _loops.count(part, key)))
        ties -= quotas[-1]
    return _Threshold(key, quotas)


def _bracket(tensors: _Tensors) -> tuple[Any, Any]:
    """Return two keys around the threshold, three standard errors of a sample away from it."""
    pattern, key_type = tensors.pattern, tensors.key_type
    keys = np.empty(SAMPLED_BLOCKS, key_type)
    _loops.sample(tensors.source, tensors.like, *tensors.scoring, keys)
    keys.sort()
    middle = keys.size * pattern.selected // pattern.blocks
    error = 3 * isqrt(middle * (keys.size - middle) // keys.size) + 2
    limits = np.iinfo(key_type)
    low = keys[middle - error] if middle >= error else key_type.type(limits.min)
    high = keys[middle + error] if middle + error < keys.size else key_type.type(limits.max)
    return low, high


def _score(tensors: _Tensors, span: _Span, low: Any, high: Any, buffer: Array) -> tuple[int, int]:
    source, like, scoring = tensors.source, tensors.like, tensors.scoring
    below, size = _loops.score(
        source, like, span.start, span.stop, *scoring, span.keys, low, high, buffer
    )
    return below, size


def _write(tensors: _Tensors, span: _Span, threshold: int, quota: int) -> None:
    source, like, target, one, pattern, norm = tensors
    settings = (*pattern.shape, *pattern.block, pattern.zeros, norm)
    limit = span.keys.dtype.type(threshold)
    _loops.write(
        source, like, target, one, span.start, span.stop, *settings, span.keys, limit, quota
    )


# A thread pool of our own, because numba's threading layers are not safe here: with OpenMP a
# forked child that computes is killed, and the workqueue layer aborts the process when two Python
# threads compute at once. The compiled loops release the GIL.
_pools: dict[int, ThreadPoolExecutor] = {}
os.register_at_fork(after_in_child=_pools.clear)  # a forked child has none of the pool's threads


def _run(calls: Sequence[Callable[[], T]], threads: int) -> list[T]:
    """Return the results of ``calls`` in order, run by this thread and ``threads - 1`` others."""
    if threads == 1 or len(calls) == 1:
        return [call() for call in calls]
    if threads not in _pools:
        _pools[threads] = ThreadPoolExecutor(threads - 1, thread_name_prefix="sparsebench")
    pending = iter(enumerate(calls))
    results: dict[int, T] = {}

    @in_default_environment  # a thread has a state of its own
    def work() -> None:
        for index, call in pending:  # an enumerate gives each item to one thread only
            results[index] = call()

    helpers = [_pools[threads].submit(work) for _ in range(threads - 1)]
    try:
        work()
    finally:
        for helper in helpers:
            helper.result()
    return [results[index] for index in range(len(calls))]
