"""Views, concatenations, reductions and indexing: where a tensor's channels are afterwards."""

from collections.abc import Sequence
from dataclasses import replace
from types import EllipsisType
from typing import Any

import torch

from sparsebench.pruning.structured.channels import (
    FIXED,
    ChannelCount,
    Channels,
    Fixed,
    TupleValue,
    Unsupported,
    Value,
    require_channels,
)


def flatten(value: Value, start_dim: int = 0, end_dim: int = -1) -> Value:
    """Merge dimensions; each channel has several entries where it is the first of them."""
    value = require_channels(value)
    if value.rank is None and value.axis == -1 and start_dim in (1, -1) and end_dim in (1, -1):
        return value  # a Linear's output, (batch, channels); what reads it checks the size
    rank, position = _rank_and_position(value)
    start, end = start_dim % rank, end_dim % rank
    new_rank = rank - (end - start)
    if start < position <= end or (value.flattened and start == position != end):
        raise Unsupported("flattens channels together with a dimension before them")
    if position < start:
        return replace(value, axis=position - new_rank, rank=new_rank)
    axis = value.axis if end < position else start - new_rank
    flattened = value.flattened or start == position < end
    return replace(value, axis=axis, rank=new_rank, flattened=flattened)


def view(value: Value, *shape: Any) -> Value:
    """Flatten with ``(n, -1)``, add dimensions ``(n, -1, 1, ...)``, or change those before."""
    value = require_channels(value)
    sizes = tuple(shape[0]) if isinstance(shape[0], tuple | list) else shape
    if _keeps_last(value, sizes):
        return replace(value, rank=len(sizes))
    if len(sizes) < 2 or not (isinstance(sizes[0], Fixed) or sizes[0] != -1):
        raise Unsupported("has a size that depends on the channels; use flatten(1)")
    if isinstance(sizes[1], ChannelCount):
        value.table.tie(value.ids, sizes[1].channels.ids)
    elif sizes[1] != -1:
        raise Unsupported("has a fixed number of channels; use flatten(1) or -1")
    if len(sizes) == 2 and sizes[1] == -1:
        return flatten(value, 1)
    if value.axis == -1 and value.rank in (None, 2) and all(size == 1 for size in sizes[2:]):
        return replace(value, axis=1 - len(sizes), rank=len(sizes))
    raise Unsupported("is a view that channels cannot be followed through; use flatten(1)")


def _keeps_last(value: Channels, sizes: Sequence[Any]) -> bool:
    """Return whether the channels are last before and after a view, and are not changed by it."""
    if value.axis != -1 or value.flattened:
        return False
    if isinstance(sizes[-1], ChannelCount):
        return sizes[-1].channels.ids == value.ids
    fixed_before = all(isinstance(size, Fixed) for size in sizes[:-1])
    return value.rank == len(sizes) > 2 and sizes[-1] == -1 and fixed_before


def concatenate(tensors: Sequence[Value], dim: int = 0, **kwargs: Any) -> Value:
    """Append the channels of all tensors, or, along another dimension, tie them."""
    parts = [value for value in tensors if isinstance(value, Channels)]
    dim = kwargs.get("axis", dim)
    first = parts[0]
    position = dim if dim < 0 or first.rank is None else dim - first.rank
    if len(parts) < len(tensors) or any(
        value.axis != first.axis or value.flattened for value in parts
    ):
        raise Unsupported("concatenates channels that can be pruned with others that cannot")
    if position >= 0 and not (position == 1 and first.rank is None):
        raise Unsupported(
            "concatenates along a dimension that may be the channels'; count from the end"
        )
    if position in (first.axis, 1):  # 1: a Linear's output, taken to be (batch, channels)
        ids = tuple(i for value in parts for i in value.ids)
        return replace(first, ids=ids, constant=torch.cat([value.constant for value in parts]))
    constant = first.constant
    for other in parts[1:]:
        first.tie(other)
        constant = constant.masked_fill(constant != other.constant, torch.nan)
    return replace(first, constant=constant)


def reduce(value: Value, dim: Any = None, keepdim: bool = False, **_options: Any) -> Value:
    """Take a mean or extremum over other dimensions than the channels': constants remain."""
    value = require_channels(value)
    dims = [dim] if isinstance(dim, int) else dim
    if dims is None or value.flattened:
        raise Unsupported("reduces over channels that can be pruned")
    rank, position = value.rank, value.axis
    if any(d >= 0 for d in dims):
        rank, position = _rank_and_position(value)
    reduced = {d % rank if rank else d for d in dims}
    if (position % rank if rank else position) in reduced:
        raise Unsupported("reduces over channels that can be pruned")
    if keepdim:
        return value
    after = [d for d in dims if (d if d < 0 else d - (value.rank or 0)) > value.axis]
    rank = None if value.rank is None else value.rank - len(dims)
    return replace(value, axis=value.axis + len(after), rank=rank)


def reduce_sum(value: Value, *args: Any, **kwargs: Any) -> Value:
    """Sum over other dimensions than the channels': only zeros remain constant."""
    return require_channels(reduce(value, *args, **kwargs)).keep_zeros_only()


def transpose(value: Value, dim0: int, dim1: int) -> Value:
    """Swap two dimensions."""
    value = require_channels(value)
    if value.rank is None and dim0 < 0 and dim1 < 0 and value.axis not in (dim0, dim1):
        return value
    rank, _ = _rank_and_position(value)
    order = list(range(rank))
    order[dim0], order[dim1] = order[dim1], order[dim0]
    return permute(value, order)


def permute(value: Value, *dims: Any) -> Value:
    """Put dimensions in another order."""
    value = require_channels(value)
    rank, position = _rank_and_position(value)
    order = tuple(dims[0]) if isinstance(dims[0], tuple | list) else dims
    return replace(value, axis=[d % rank for d in order].index(position) - rank)


def unsqueeze(value: Value, dim: int) -> Value:
    """Add a dimension."""
    value = require_channels(value)
    if value.rank is None and dim < 0:
        return value if dim <= value.axis - 1 else replace(value, axis=value.axis - 1)
    rank, position = _rank_and_position(value)
    dim %= rank + 1
    return replace(value, axis=value.axis - (dim > position), rank=rank + 1)


def squeeze(value: Value, dim: int | None = None) -> Value:
    """Remove a dimension that is named, and is not the channels'."""
    if isinstance(value, TupleValue) and len(value.items) == 1 and dim == 0:
        return value.items[0]  # the states of an LSTM with one layer
    value = require_channels(value)
    if dim is None or (dim if value.rank is None else dim % value.rank - value.rank) == value.axis:
        raise Unsupported("may squeeze the channels' dimension; name another one")
    return reduce(value, dim)


def size(value: Value, dim: int | None = None) -> Value:
    """Return the shape, or one size; that of the channels is a ChannelCount."""
    value = require_channels(value)
    rank = value.rank or -value.axis + 1
    shape: list[Value] = [FIXED] * rank
    shape[value.axis] = ChannelCount(value)
    return TupleValue(tuple(shape)) if dim is None else shape[dim]


def attribute(value: Value, name: str) -> Value:
    """Return ``shape``, ``device``, ``dtype``, ``ndim`` or ``data`` of a tensor."""
    if name == "shape":
        return size(value)
    if name == "data":
        return value
    if name not in ("device", "dtype", "ndim", "is_cuda"):
        raise Unsupported(f"reads .{name} of channels that can be pruned")
    return FIXED


def fixed(_value: Value, *_args: Any, **_kwargs: Any) -> Value:
    """Return a property of a tensor that does not depend on its channels."""
    return FIXED


def getitem(value: Value, key: Any) -> Value:
    """Return an entry of a tuple, or a part of a tensor with all its channels."""
    if isinstance(value, TupleValue):
        if isinstance(key, int):
            return value.items[key]
        if isinstance(key, slice):
            return TupleValue(value.items[key])
        raise Unsupported("indexes a tuple of tensors with something else than a number or a slice")
    value = require_channels(value)
    keys = key if isinstance(key, tuple) else (key,)
    if value.rank is None and len(keys) == 1 and isinstance(key, int | slice):
        return value  # along the batch
    rank, position = _rank_and_position(value)
    entries = _without_ellipsis(keys, rank)
    read = [i for i, entry in enumerate(entries) if entry is not None]  # None adds a dimension
    if entries[read[position]] != slice(None):
        raise Unsupported("takes only some of the channels, of which some can be pruned")
    remaining = [i for i, entry in enumerate(entries) if not isinstance(entry, int)]
    axis = remaining.index(read[position]) - len(remaining)
    return replace(value, axis=axis, rank=len(remaining))


def _without_ellipsis(keys: Sequence[Any], rank: int) -> list[Any]:
    """Return the key of a tensor with an entry per dimension, and None per new dimension."""
    if not all(part is None or isinstance(part, int | slice | EllipsisType) for part in keys):
        raise Unsupported("indexes with something else than numbers, slices, None and ...")
    missing = [slice(None)] * (rank - sum(isinstance(part, int | slice) for part in keys))
    at = next((i for i, part in enumerate(keys) if part is Ellipsis), len(keys))
    return [*keys[:at], *missing, *keys[at + 1 :]]


def _rank_and_position(value: Channels) -> tuple[int, int]:
    """Return the number of dimensions, and the channels' dimension counted from the front."""
    if value.rank is None:
        raise Unsupported(
            "names dimensions of a tensor whose rank is not known; count from the end"
        )
    return value.rank, value.rank + value.axis
