"""The compiled loops of the CPU path: scores to keys, keys to a threshold, threshold to mask.

All compiled code is in this one file, because numba renews its cache on disk when the file of a
function changes, but not when a file that it calls changes.

The arithmetic is that of ``masks/reference.py``, bit for bit: without ``fastmath``, numba neither
contracts nor reorders operations. A *key* is an integer that compares as a score does, with -0.0
equal to 0.0 and every NaN above infinity. Loops run over the blocks of one block row, which are
independent, so they vectorise although every block's own sum is sequential.

Tensors are passed as addresses with a scalar ``like`` that gives the element type. numba has
neither half precision: float16 is passed as uint16 and bfloat16 as int16.
"""

# mypy: ignore-errors
# ruff: noqa: ARG001, ARG005
# numba infers the types here; a stub and its overload must name the same arguments.

from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, njit, types
from numba.extending import intrinsic, overload

# How a weight becomes a score; AS_IS: it is one already. Each value has its own type, so that the
# loops are compiled for it: with a branch inside, LLVM leaves some of them scalar, 8 times slower.
SQUARE, MAGNITUDE, AS_IS = np.int8(2), np.int16(1), np.int32(0)

_DIGIT = 11  # bits per pass of the radix selection: 2048 counters fit the first-level cache
_CHUNK = 128  # blocks whose elements are ranked side by side: 8 lanes of them are 4 KiB
_TILE = 64  # wide blocks scored at once: of 16 elements they are 4 KiB, and their lanes as much
_MOST_COMPARED = 32  # block size up to which comparing all pairs is faster than selection
_FLAGS = 8  # one-byte flags per 64-bit word
_SPLAT = 8  # LLVM turns up to four copies of a flag into shuffles, and more into scalar stores
_GOLDEN = 0.6180339887498949  # its multiples, modulo 1, cover [0, 1) evenly

# error_model: NumPy's, because only a division that cannot raise vectorises. No wrappers: only
# entries are called from Python, and compiling without wrappers takes two thirds of the time.
_PLAIN = {"error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
_FORCED = {**_PLAIN, "forceinline": True}
_loop, _inlined = njit(**_PLAIN), njit(**_FORCED)


def _entry(function):
    """Compile ``function`` to run without the GIL; cached on disk where a folder is writable."""
    options = {"error_model": "numpy", "nogil": True}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # numba found no folder, neither beside this file nor in the home
        return njit(**options)(function)


@intrinsic
def _pointer(_context: Any, address: Any, like: Any) -> Any:
    """``address`` as a pointer to elements of the type of ``like``."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

    return types.CPointer(like)(address, like), build


@intrinsic
def _splat(_context: Any, address: Any, value: Any) -> Any:
    """Store ``_SPLAT`` copies of ``value`` at ``address``, as one vector."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        scalar = context.get_value_type(value)
        vector = ir.VectorType(scalar, _SPLAT)
        copies = ir.Constant(vector, ir.Undefined)
        for lane in range(_SPLAT):
            copies = builder.insert_element(copies, args[1], ir.Constant(ir.IntType(32), lane))
        pointer = builder.inttoptr(args[0], vector.as_pointer())
        builder.store(copies, pointer, align=value.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(address, value), build


@intrinsic
def _bits(_context: Any, x: Any) -> Any:
    """The bit pattern of a float as a signed integer of its width."""
    integer = types.int64 if x == types.float64 else types.int32

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(integer))

    return integer(x), build


@intrinsic
def _from_bits(_context: Any, x: Any) -> Any:
    """The float32 of a 32-bit pattern."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(types.float32))

    return types.float32(x), build


def _widened(x):
    """An element as float32 or float64; for float16 its magnitude, which is all a norm needs."""


@overload(_widened, jit_options=_FORCED)
def _widened_of(x):
    if x == types.uint16:
        return _widened_float16
    if x == types.int16:
        return lambda x: _from_bits(np.uint32(np.uint32(np.uint16(x)) << np.uint32(16)))
    return lambda x: x


def _widened_float16(x):
    shifted = np.uint32(np.uint32(x & np.uint16(0x7FFF)) << np.uint32(13))
    if shifted >= np.uint32(0x0F800000):  # infinite or NaN: the exponent is all ones
        return _from_bits(np.uint32(shifted | np.uint32(0x7F800000)))
    return _from_bits(shifted) * np.float32(2.0**112)  # exact: it only changes the exponent's bias


def _scores(like, size):
    """An uninitialised array of the type that elements like ``like`` are summed in."""


@overload(_scores)
def _scores_of(like, size):
    if like == types.float64:
        return lambda like, size: np.empty(size, np.float64)
    return lambda like, size: np.empty(size, np.float32)


def _keys(like, size):
    """An uninitialised array of keys for elements like ``like``."""


@overload(_keys)
def _keys_of(like, size):
    if like == types.float64:
        return lambda like, size: np.empty(size, np.int64)
    return lambda like, size: np.empty(size, np.int32)


def _largest(key):
    """The largest integer of the type of ``key``."""


@overload(_largest, jit_options=_FORCED)
def _largest_of(key):
    if key in (types.int64, types.float64):
        return lambda key: np.int64(0x7FFFFFFFFFFFFFFF)
    return lambda key: np.int32(0x7FFFFFFF)


def _above(key, low):
    """``key - low`` as an unsigned integer of its width, which wraps around."""


@overload(_above, jit_options=_FORCED)
def _above_of(key, low):
    if key == types.int64:
        return lambda key, low: np.uint64(np.uint64(key) - np.uint64(low))
    return lambda key, low: np.uint32(np.uint32(key) - np.uint32(low))


def _score(x, norm):
    """The importance of an element."""


@overload(_score, jit_options=_FORCED)
def _score_of(x, norm):
    if norm == types.int8:
        return _squared
    if norm == types.int16:
        return lambda x, norm: abs(_widened(x))
    return lambda x, norm: x


def _squared(x, norm):
    wide = _widened(x)
    return wide * wide


@_inlined
def _key(score):
    top = _largest(score)
    bits = _bits(score + type(score)(0.0))
    key = bits ^ top if bits < 0 else bits
    return key if score == score else top - type(top)(1)


@_inlined
def _add_elements(row, sums, blocks, width, norm):
    for j in range(blocks):
        for c in range(width):
            sums[j] += _score(row[np.uintp(j * width + c)], norm)


@_inlined
def _add_lane(scores, sums, blocks, width, first):
    for j in range(blocks):
        sums[j] += scores[np.uintp(j * width + first)]


@_inlined
def _add_sixteens(scores, lanes, sums, blocks):
    # LLVM reads elements four apart by shuffles, sixteen apart one by one: so by fours, twice.
    quads = blocks * 4
    for x in range(quads):
        for c in range(4):
            lanes[np.uintp(c * quads + x)] = scores[np.uintp(x * 4 + c)]
    for j in range(blocks):
        for x in range(4):
            for c in range(4):
                sums[j] += lanes[np.uintp(c * quads + j * 4 + x)]


@_loop
def _add_wide(part, sums, scratch, width, norm):
    """Add full blocks of any width to their sums, from left to right; all are scored first.

    Scoring strided elements would leave half precisions scalar.
    """
    scores, lanes = scratch[: part.size], scratch[part.size :]
    for c in range(part.size):
        scores[c] = _score(part[c], norm)
    if width == 16:
        _add_sixteens(scores, lanes, sums, sums.size)
    else:
        for c in range(width):
            _add_lane(scores, sums, sums.size, width, c)


@_loop
def _add_row(row, sums, scratch, width, norm):
    """Add one row's elements to the sums of their blocks, from left to right."""
    full = row.size // width
    # A constant width compiles to shuffles: width 4, 4096x4096, takes 2.7 ms instead of 7.
    if width == 1:
        _add_elements(row, sums, full, 1, norm)
    elif width == 2:
        _add_elements(row, sums, full, 2, norm)
    elif width == 4:
        _add_elements(row, sums, full, 4, norm)
    elif width == 8:
        _add_elements(row, sums, full, 8, norm)
    else:
        for first in range(0, full, _TILE):
            blocks = min(_TILE, full - first)
            part = row[first * width : (first + blocks) * width]
            _add_wide(part, sums[first : first + blocks], scratch, width, norm)
    for c in range(full * width, row.size):
        sums[full] += _score(row[np.uintp(c)], norm)


@_loop
def _scratch_size(across, cols, width):
    """Return how many numbers :func:`_key_row` needs as ``memory``."""
    return across + (0 if width in (1, 2, 4, 8) else 2 * min(cols, _TILE * width))


@_loop
def _key_row(weight, i, shape, block, norm, memory, keys):
    """Compute the keys of block row ``i``; ``memory`` is scratch, see :func:`_scratch_size`."""
    (rows, cols), (height, width) = shape, block
    if height == 1 and width == 1:  # the mean of one is itself
        row = weight[i * cols : (i + 1) * cols]
        for c in range(cols):
            keys[c] = _key(_score(row[c], norm))
        return
    first, last = i * height, min(i * height + height, rows)
    sums, scratch = memory[: keys.size], memory[keys.size :]
    sums[:] = 0
    for r in range(first, last):
        _add_row(weight[r * cols : (r + 1) * cols], sums, scratch, width, norm)
    full = cols // width
    count = type(sums[0])((last - first) * width)
    for j in range(full):
        keys[j] = _key(sums[j] / count)
    if full < keys.size:
        keys[full] = _key(sums[full] / type(sums[0])((last - first) * (cols - full * width)))


@_entry
def kth(keys, k):
    """Return the ``k``-th smallest of ``keys`` (from 1), and its rank among the keys equal to it.

    Radix selection from the highest bit in which the keys differ; every pass keeps one bucket.
    """
    counts = np.empty(1 << _DIGIT, np.int64)
    while True:
        least, most = keys[0], keys[0]
        for x in keys:
            least, most = min(least, x), max(most, x)
        spread = _above(most, least)
        if spread == 0:
            return least, k
        shift = np.uint64(0)
        while spread >> shift >= counts.size:
            shift += np.uint64(1)
        counts[:] = 0
        for x in keys:
            counts[np.uintp(_above(x, least) >> shift)] += 1
        digit = 0
        while counts[digit] < k:
            k -= counts[digit]
            digit += 1
        bucket = np.empty(counts[digit] + 1, keys.dtype)
        size = 0
        for x in keys:
            bucket[np.uintp(size)] = x
            size += np.intp(_above(x, least) >> shift == digit)
        keys = bucket[:size]


@_loop
def _gather(keys, low, high, flags, gathered, size):
    """Append keys in [low, high] to ``gathered``; return the number of keys below and the new size.

    When ``gathered`` is full, nothing is appended and the returned size exceeds its size.
    ``flags`` is scratch of one byte per key.
    """
    below = _flag_between(keys, low, high, flags)
    if size + keys.size > gathered.size:
        return below, gathered.size + 1
    # Few keys are inside, so eight flags are tested at once: 4 M keys in 1.4 ms instead of 2.4.
    full = keys.size // _FLAGS
    words = flags[: full * _FLAGS].view(np.uint64)
    for word in range(full):
        if words[word]:
            for c in range(_FLAGS):
                gathered[np.uintp(size)] = keys[np.uintp(word * _FLAGS + c)]
                size += np.intp(flags[np.uintp(word * _FLAGS + c)])
    for j in range(full * _FLAGS, keys.size):
        gathered[size] = keys[j]
        size += np.intp(flags[j])
    return below, size


@_inlined
def _flag_between(keys, low, high, flags):
    """Flag the keys in [low, high]; return the number of keys below."""
    below = 0
    extent = _above(high, low)  # one unsigned comparison tests both ends
    for j in range(keys.size):
        below += keys[j] < low
        flags[j] = _above(keys[j], low) <= extent
    return below


@_loop
def _select_row(keys, threshold, quota, selected):
    """Flag keys below ``threshold`` and the first ``quota`` equal to it; return the quota left."""
    ties = 0
    for j in range(keys.size):
        selected[j] = keys[j] <= threshold
        ties += keys[j] == threshold
    left = max(quota - ties, 0)
    for j in range(keys.size - 1, -1, -1):
        if ties <= quota:
            break
        if keys[j] == threshold:
            selected[j] = 0
            ties -= 1
    return left


@_inlined
def _spread_flags(selected, row, blocks, width, one):
    for j in range(blocks):
        value = type(one)(0) if selected[j] else one
        for c in range(width):
            row[np.uintp(j * width + c)] = value


@_loop
def _write_blocks(row, selected, width, one):
    """Zero the selected blocks of a row of the mask and write ``one`` into the others."""
    full = row.size // width
    if width == 1:
        _spread_flags(selected, row, full, 1, one)
    elif width == 4:
        _spread_flags(selected, row, full, 4, one)
    elif width % _SPLAT == 0:
        for j in range(full):
            address = row.ctypes.data + j * width * row.itemsize
            for _ in range(width // _SPLAT):
                _splat(address, type(one)(0) if selected[j] else one)
                address += _SPLAT * row.itemsize
    else:
        _spread_flags(selected, row, full, width, one)
    for c in range(full * width, row.size):
        row[np.uintp(c)] = type(one)(0) if selected[full] else one


@_inlined
def _load_lanes(row, lanes, start, blocks, width, norm):
    for x in range(blocks):
        for c in range(width):
            element = row[np.uintp((start + x) * width + c)]
            lanes[np.uintp(c * _CHUNK + x)] = _key(_score(element, norm))


@_inlined
def _store_lanes(row, drop, selected, start, blocks, width, one):
    for x in range(blocks):
        for c in range(width):
            pruned = drop[np.uintp(c * _CHUNK + x)] & selected[np.uintp(start + x)]
            row[np.uintp((start + x) * width + c)] = type(one)(0) if pruned else one


@_inlined
def _compare_unrolled(lanes, drop, blocks, size, zeros):
    for x in range(blocks):
        for p in range(size):
            own, before = lanes[np.uintp(p * _CHUNK + x)], type(zeros)(0)
            for q in range(size):
                other = lanes[np.uintp(q * _CHUNK + x)]
                before += other <= own if q < p else other < own
            drop[np.uintp(p * _CHUNK + x)] = before < zeros


@_loop
def _compare(lanes, drop, blocks, size, zeros):
    """Flag the elements that fewer than ``zeros`` of their block rank before."""
    if size == 4:
        _compare_unrolled(lanes, drop, blocks, 4, zeros)
        return
    if size == 8:
        if zeros != 4 or _drop_half(lanes, drop, blocks):
            _compare_unrolled(lanes, drop, blocks, 8, zeros)
        return
    before = np.empty(_CHUNK, lanes.dtype)
    for p in range(size):
        before[:] = 0
        for q in range(size):
            for x in range(blocks):
                own, other = lanes[np.uintp(p * _CHUNK + x)], lanes[np.uintp(q * _CHUNK + x)]
                before[x] += other <= own if q < p else other < own
        for x in range(blocks):
            drop[np.uintp(p * _CHUNK + x)] = before[x] < zeros


@_inlined
def _lane(lanes, position, x):
    return lanes[np.uintp(position * _CHUNK + x)]


@_inlined
def _sorted_four(lanes, first, x):
    a, b = _lane(lanes, first, x), _lane(lanes, first + 1, x)
    c, d = _lane(lanes, first + 2, x), _lane(lanes, first + 3, x)
    low, high = max(min(a, b), min(c, d)), min(max(a, b), max(c, d))
    return min(a, b, c, d), min(low, high), max(low, high), max(a, b, c, d)


@_inlined
def _fourth_of_eight(lanes, x):
    a, b, c, d = _sorted_four(lanes, 0, x)
    e, f, g, h = _sorted_four(lanes, 4, x)
    return min(d, h, max(a, g), max(b, f), max(c, e))


@_loop
def _drop_half(lanes, drop, blocks):
    """Flag the lower half of every block's 8 elements; return whether ties flagged more than 4.

    14 comparisons find the highest of the lower half, and 8 more the elements up to it, where
    comparing all pairs takes 56.
    """
    dropped = 0
    for x in range(blocks):
        limit = _fourth_of_eight(lanes, x)
        for p in range(8):
            dropped += _lane(lanes, p, x) <= limit
            drop[np.uintp(p * _CHUNK + x)] = _lane(lanes, p, x) <= limit
    return dropped > 4 * blocks


@_loop
def _load_row(row, lanes, start, blocks, width, norm):
    """Load one row of the blocks from ``start``; beyond the row's end, the largest key."""
    full = min(blocks, row.size // width - start)
    if width == 1:
        _load_lanes(row, lanes, start, full, 1, norm)
    elif width == 4:
        _load_lanes(row, lanes, start, full, 4, norm)
    elif width == 8:
        _load_lanes(row, lanes, start, full, 8, norm)
    else:
        _load_lanes(row, lanes, start, full, width, norm)
    if full < blocks:
        begin = (start + full) * width
        for c in range(width):
            inside = begin + c < row.size
            key = _key(_score(row[begin + c], norm)) if inside else _largest(lanes[0])
            lanes[c * _CHUNK + full] = key


@_loop
def _store_row(row, drop, selected, start, blocks, width, one):
    """Write one row of the mask of the blocks from ``start``."""
    full = min(blocks, row.size // width - start)
    if width == 1:
        _store_lanes(row, drop, selected, start, full, 1, one)
    elif width == 4:
        _store_lanes(row, drop, selected, start, full, 4, one)
    elif width == 8:
        _store_lanes(row, drop, selected, start, full, 8, one)
    else:
        _store_lanes(row, drop, selected, start, full, width, one)
    if full < blocks:
        begin = (start + full) * width
        for c in range(row.size - begin):
            pruned = drop[c * _CHUNK + full] & selected[start + full]
            row[begin + c] = type(one)(0) if pruned else one


@_loop
def _write_elements(weight, mask, i, shape, block, zeros, norm, selected, one, lanes, drop):
    """Zero the ``zeros`` lowest elements of every selected block of block row ``i``."""
    (rows, cols), (height, width) = shape, block
    first, last = i * height, min(i * height + height, rows)
    stride = width * _CHUNK
    for start in range(0, selected.size, _CHUNK):
        blocks = min(_CHUNK, selected.size - start)
        for r in range(first, last):
            row = weight[r * cols : (r + 1) * cols]
            _load_row(row, lanes[(r - first) * stride :], start, blocks, width, norm)
        lanes[(last - first) * stride :] = _largest(lanes[0])
        _compare(lanes, drop, blocks, height * width, lanes.dtype.type(zeros))
        for r in range(first, last):
            row = mask[r * cols : (r + 1) * cols]
            _store_row(row, drop[(r - first) * stride :], selected, start, blocks, width, one)


@_loop
def _write_large_block(weight, mask, i, j, shape, block, zeros, norm, one):
    """Zero the ``zeros`` lowest elements of block (i, j), by selection instead of comparisons."""
    (rows, cols), (height, width) = shape, block
    top, left = i * height, j * width
    bottom, right = min(top + height, rows), min(left + width, cols)
    across = right - left
    keys = _keys(weight[0], (bottom - top) * across)
    for r in range(top, bottom):
        for c in range(left, right):
            keys[(r - top) * across + c - left] = _key(_score(weight[r * cols + c], norm))
    drop = np.ones(keys.size, np.uint8)
    if zeros < keys.size:
        threshold, quota = kth(keys, zeros)
        _select_row(keys, threshold, quota, drop)
    for r in range(top, bottom):
        for c in range(left, right):
            pruned = drop[(r - top) * across + c - left]
            mask[r * cols + c] = type(one)(0) if pruned else one


@_loop
def _write(weight, mask, span, shape, block, zeros, norm, one, keys, threshold, quota):
    """Write the mask of the block rows in ``span``, from their ``keys``.

    Empty ``keys``: they are recomputed. A quota below 0: every block is selected.
    """
    blocks = -(-shape[1] // block[1])
    size = block[0] * block[1]
    lane_size = size * _CHUNK if size <= _MOST_COMPARED and zeros < size else 0
    lanes, drop = _keys(weight[0], lane_size), np.empty(lane_size, np.uint8)
    selected, recomputed = np.ones(blocks, np.uint8), _keys(weight[0], blocks)
    sums = _scores(weight[0], _scratch_size(blocks, shape[1], block[1]))
    for i in range(span[0], span[1]):
        if quota >= 0 and keys.size:
            row = keys[(i - span[0]) * blocks : (i - span[0] + 1) * blocks]
            quota = _select_row(row, threshold, quota, selected)
        elif quota >= 0:
            _key_row(weight, i, shape, block, norm, sums, recomputed)
            quota = _select_row(recomputed, threshold, quota, selected)
        if lane_size:
            _write_elements(weight, mask, i, shape, block, zeros, norm, selected, one, lanes, drop)
            continue
        for r in range(i * block[0], min(i * block[0] + block[0], shape[0])):
            _write_blocks(mask[r * shape[1] : (r + 1) * shape[1]], selected, block[1], one)
        if zeros < size:
            for j in range(blocks):
                if selected[j]:
                    _write_large_block(weight, mask, i, j, shape, block, zeros, norm, one)


@_inlined
def _view(address, like, size):
    """Return the array of ``size`` elements of the type of ``like`` at ``address``."""
    return carray(_pointer(address, like), (size,))


@_entry
def prune(source, like, target, one, rows, cols, height, width, zeros, norm, k):
    """Write the mask of a tensor in one call on one thread.

    Args:
        source: address of the weight, contiguous, elements of the type of ``like``.
        like: any scalar of that type.
        target: address of the mask, contiguous.
        one: the mask's 1, as an integer of its width; 0 is 0.
        rows, cols: the shape.
        height, width: of a block.
        zeros: zeros inside a selected block.
        norm: SQUARE, MAGNITUDE or AS_IS.
        k: number of blocks to select, the lowest; the number of all blocks: no ranking.
    """
    shape, block, size = (rows, cols), (height, width), rows * cols
    weight, mask = _view(source, like, size), _view(target, one, size)
    down, across = -(-shape[0] // block[0]), -(-shape[1] // block[1])
    keys = _keys(like, down * across if k < down * across else 0)
    threshold, quota = _largest(like), np.int64(-1)
    if keys.size:
        sums = _scores(like, _scratch_size(across, cols, width))
        for i in range(down):
            _key_row(weight, i, shape, block, norm, sums, keys[i * across : (i + 1) * across])
        threshold, quota = kth(keys, k)
    _write(
        weight, mask, (np.int64(0), down), shape, block, zeros, norm, one, keys, threshold, quota
    )


@_entry
def sample(source, like, rows, cols, height, width, norm, keys):
    """Fill ``keys`` with the keys of blocks spread evenly over the tensor."""
    weight = _view(source, like, rows * cols)
    across = -(-cols // width)
    blocks = -(-rows // height) * across
    for s in range(keys.size):
        position = int(s * _GOLDEN % 1.0 * blocks)
        top, left = position // across * height, position % across * width
        bottom, right = min(top + height, rows), min(left + width, cols)
        total = type(_score(weight[0], norm))(0)
        for r in range(top, bottom):
            for c in range(left, right):
                total += _score(weight[r * cols + c], norm)
        keys[s] = _key(total / type(total)((bottom - top) * (right - left)))


@_entry
def score(source, like, start, stop, rows, cols, height, width, norm, keys, low, high, gathered):
    """Score block rows [start, stop); count keys below ``low``, gather keys in [low, high].

    All keys are stored in ``keys`` unless it is empty. Return the number of keys below and of
    keys gathered; the latter exceeds the size of ``gathered`` where that was too small.
    """
    weight, across = _view(source, like, rows * cols), -(-cols // width)
    sums = _scores(like, _scratch_size(across, cols, width))
    scratch = _keys(like, across)
    flags = np.empty(across, np.uint8)
    below = size = 0
    for i in range(start, stop):
        row = keys[(i - start) * across : (i - start + 1) * across] if keys.size else scratch
        _key_row(weight, i, (rows, cols), (height, width), norm, sums, row)
        fewer, size = _gather(row, low, high, flags, gathered, size)
        below += fewer
    return below, size


@_entry
def count(keys, threshold):
    """Return how many of ``keys`` equal ``threshold``."""
    ties = 0
    for x in keys:
        ties += x == threshold
    return ties


@_entry
def write(
    source,
    like,
    target,
    one,
    start,
    stop,
    rows,
    cols,
    height,
    width,
    zeros,
    norm,
    keys,
    threshold,
    quota,
):
    """Write the mask of block rows [start, stop); see :func:`prune` and :func:`_write`."""
    weight, mask = _view(source, like, rows * cols), _view(target, one, rows * cols)
    span, shape, block = (start, stop), (rows, cols), (height, width)
    _write(weight, mask, span, shape, block, zeros, norm, one, keys, threshold, quota)
