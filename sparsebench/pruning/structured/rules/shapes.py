"""Views of a tensor: where its channels are afterwards."""

from collections.abc import Sequence
from dataclasses import replace
from types import EllipsisType
from typing import Any

from sparsebench.pruning.structured.channels import (
    FIXED,
    Channels,
    Fixed,
    Several,
    Size,
    Value,
)
from sparsebench.pruning.structured.layers import Unsupported


def flatten(value: Value, start_dim: int = 0, end_dim: int = -1) -> Value:
    """Channels that are the first of the merged dimensions cover blocks afterwards."""
    value = _tensor(value)
    if value.rank is None and value.axis == -1 and start_dim in (1, -1) and end_dim in (1, -1):
        return value  # a Linear's output, (batch, channels); what reads it checks the size
    rank, place = _known(value)
    start, end = start_dim % rank, end_dim % rank
    left = rank - (end - start)
    if start < place <= end or (value.spread and start == place != end):
        raise Unsupported("flattens channels together with a dimension before them")
    if start <= place:
        axis = value.axis if end < place else start - left
        return replace(value, axis=axis, rank=left, spread=value.spread or start == place < end)
    return replace(value, axis=place - left, rank=left)


def view(value: Value, *shape: Any) -> Value:
    """Flattening ``(n, -1)``, more dimensions ``(n, -1, 1, ...)``, or others before channels."""
    value = _tensor(value)
    sizes = tuple(shape[0]) if isinstance(shape[0], tuple | list) else shape
    if _keeps_last(value, sizes):
        return replace(value, rank=len(sizes))
    if len(sizes) < 2 or not (isinstance(sizes[0], Fixed) or sizes[0] != -1):
        raise Unsupported("has a size that depends on the channels; use flatten(1)")
    if isinstance(sizes[1], Size):
        value.table.tie(value.ids, sizes[1].channels.ids)
    elif sizes[1] != -1:
        raise Unsupported("has a fixed number of channels; use flatten(1) or -1")
    if len(sizes) == 2 and sizes[1] == -1:
        return flatten(value, 1)
    if value.axis == -1 and value.rank in (None, 2) and all(size == 1 for size in sizes[2:]):
        return replace(value, axis=1 - len(sizes), rank=len(sizes))
    raise Unsupported("is a view that channels cannot be followed through; use flatten(1)")


def _keeps_last(value: Channels, sizes: Sequence[Any]) -> bool:
    """Whether a view has the channels last, as they were, whatever comes before them."""
    if value.axis != -1 or value.spread:
        return False
    if isinstance(sizes[-1], Size):
        return sizes[-1].channels.ids == value.ids
    fixed_before = all(isinstance(size, Fixed) for size in sizes[:-1])
    return value.rank == len(sizes) > 2 and sizes[-1] == -1 and fixed_before


def reduce(value: Value, dim: Any = None, keepdim: bool = False, **_options: Any) -> Value:
    """A mean or extremum over other dimensions than the channels': constants stay."""
    value = _tensor(value)
    dims = [dim] if isinstance(dim, int) else dim
    if dims is None or value.spread:
        raise Unsupported("reduces over channels that can be pruned")
    rank, place = _known(value) if any(d >= 0 for d in dims) else (value.rank, value.axis)
    places = {d % rank if rank else d for d in dims}
    if (place % rank if rank else place) in places:
        raise Unsupported("reduces over channels that can be pruned")
    return value if keepdim else _without(value, dims)


def total(value: Value, *args: Any, **kwargs: Any) -> Value:
    """A sum over other dimensions than the channels': zeros stay."""
    reduced = reduce(value, *args, **kwargs)
    return _tensor(reduced).zeros_only()


def transpose(value: Value, dim0: int, dim1: int) -> Value:
    """Two dimensions swapped."""
    value = _tensor(value)
    if value.rank is None and dim0 < 0 and dim1 < 0 and value.axis not in (dim0, dim1):
        return value
    rank, _ = _known(value)
    order = list(range(rank))
    order[dim0], order[dim1] = order[dim1], order[dim0]
    return permute(value, order)


def permute(value: Value, *dims: Any) -> Value:
    """Dimensions in another order."""
    value = _tensor(value)
    rank, place = _known(value)
    order = tuple(dims[0]) if isinstance(dims[0], tuple | list) else dims
    return replace(value, axis=[d % rank for d in order].index(place) - rank)


def unsqueeze(value: Value, dim: int) -> Value:
    """One dimension more."""
    value = _tensor(value)
    if value.rank is None and dim < 0:
        return value if dim <= value.axis - 1 else replace(value, axis=value.axis - 1)
    rank, place = _known(value)
    dim %= rank + 1
    return replace(value, axis=value.axis - (dim > place), rank=rank + 1)


def squeeze(value: Value, dim: int | None = None) -> Value:
    """One dimension, named and not the channels', less."""
    if isinstance(value, Several) and len(value.items) == 1 and dim == 0:
        return value.items[0]  # the states of an LSTM with one layer
    value = _tensor(value)
    if dim is None or (dim if value.rank is None else dim % value.rank - value.rank) == value.axis:
        raise Unsupported("may squeeze the channels' dimension; name another one")
    return reduce(value, dim)


def sizes(value: Value, dim: int | None = None) -> Value:
    """The shape, or one size; that of the channels is marked as such."""
    value = _tensor(value)
    rank = value.rank or -value.axis + 1
    shape: list[Value] = [FIXED] * rank
    shape[value.axis] = Size(value)
    return Several(tuple(shape)) if dim is None else shape[dim]


def attribute(value: Value, name: str) -> Value:
    """``shape``, ``device``, ``dtype``, ``ndim`` or ``data`` of a tensor."""
    if name == "shape":
        return sizes(value)
    if name == "data":
        return value
    if name not in ("device", "dtype", "ndim", "is_cuda"):
        raise Unsupported(f"reads .{name} of channels that can be pruned")
    return FIXED


def fixed(_value: Value, *_args: Any, **_kwargs: Any) -> Value:
    """A property of a tensor that does not depend on its channels."""
    return FIXED


def item(value: Value, key: Any) -> Value:
    """An entry of a tuple, or a part of a tensor with all its channels."""
    if isinstance(value, Several):
        return _entry(value, key)
    value = _tensor(value)
    keys = key if isinstance(key, tuple) else (key,)
    if value.rank is None and len(keys) == 1 and isinstance(key, int | slice):
        return value  # along the batch
    rank, place = _known(value)
    dims = _expanded(keys, rank)
    kept = [d for d, part in enumerate(dims) if not isinstance(part, int)]
    position = _position(dims, place)
    return replace(value, axis=kept.index(position) - len(kept), rank=len(kept))


def _entry(value: Several, key: Any) -> Value:
    if isinstance(key, int):
        return value.items[key]
    if isinstance(key, slice):
        return Several(value.items[key])
    raise Unsupported("takes several entries at once of something with channels")


def _expanded(keys: Sequence[Any], rank: int) -> list[Any]:
    """The key with an entry for every dimension; ``...`` is written out, None stays."""
    if not all(part is None or isinstance(part, int | slice | EllipsisType) for part in keys):
        raise Unsupported("indexes with something else than numbers, slices, None and ...")
    missing = [slice(None)] * (rank - sum(isinstance(part, int | slice) for part in keys))
    at = next((i for i, part in enumerate(keys) if part is Ellipsis), len(keys))
    return [*keys[:at], *missing, *keys[at + 1 :]]


def _position(dims: Sequence[Any], place: int) -> int:
    """Where in the key the channels' dimension is; it must be taken whole."""
    positions = [i for i, part in enumerate(dims) if part is not None]
    if dims[positions[place]] != slice(None):
        raise Unsupported("takes some of the channels that can be pruned")
    return positions[place]


def _without(value: Channels, dims: Sequence[int]) -> Channels:
    """The channels after the given dimensions are gone."""
    behind = [d for d in dims if (d if d < 0 else d - (value.rank or 0)) > value.axis]
    rank = None if value.rank is None else value.rank - len(dims)
    return replace(value, axis=value.axis + len(behind), rank=rank)


def _tensor(value: Value) -> Channels:
    if not isinstance(value, Channels):
        raise Unsupported("must have one tensor as its first argument")
    return value


def _known(value: Channels) -> tuple[int, int]:
    """Rank, and the place of the channels from the front."""
    if value.rank is None:
        raise Unsupported(
            "names dimensions of a tensor whose rank is not known; count from the end"
        )
    return value.rank, value.rank + value.axis
