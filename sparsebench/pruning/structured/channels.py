"""The channels of each tensor while a graph is followed, and the constraints on removing them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


class Unsupported(Exception):  # noqa: N818  # an error only if a channel would be removed
    """Reason why a node of the graph cannot lose channels; its text completes "<node> ..."."""


@dataclass(frozen=True)
class Channels:
    """A tensor in the graph whose channels come from layers that can lose some.

    Attributes:
        table: holds the constraints on the channels.
        ids: the identity of each channel; equal or tied ids can only be removed together.
        constant: shape (len(ids),): the value that a channel has everywhere, whatever the model's
            input; NaN where it has no such value. A masked channel is 0, or its bias.
        axis: the dimension of the channels, counted from the end (negative).
        rank: number of dimensions, where it is known.
        flattened: whether every channel has several adjacent entries along the axis, because later
            dimensions were flattened into it.
    """

    table: ChannelTable
    ids: tuple[int, ...]
    constant: Tensor
    axis: int
    rank: int | None = None
    flattened: bool = False

    @property
    def layout(self) -> str:
        """How many channels there are and in which dimension, for messages."""
        flattened = " (flattened)" if self.flattened else ""
        return f"{len(self.ids)} channels in dimension {self.axis}{flattened}"

    def with_constant(self, constant: Tensor) -> Channels:
        """Return the channels with other constants; NaN stays NaN, and infinity becomes NaN."""
        unknown = self.constant.isnan() | ~constant.isfinite()
        return replace(self, constant=constant.masked_fill(unknown, torch.nan))

    def map_constant(self, function: Callable[[Tensor], Tensor]) -> Channels:
        """Return the channels after an element-wise function."""
        return self.with_constant(function(self.constant.clone()))

    def keep_zeros_only(self) -> Channels:
        """Return the channels after an operation that preserves zeros, but no other constant."""
        return replace(self, constant=self.constant.masked_fill(self.constant != 0, torch.nan))

    def tie(self, other: Channels) -> None:
        """Let the channels of both be removed together, pair by pair.

        Raises:
            Unsupported: the channels are not in the same dimension, or not equally many.
        """
        if self.layout != other.layout:
            raise Unsupported(
                f"must get tensors with the same channels, got {self.layout} and {other.layout}"
            )
        self.table.tie(self.ids, other.ids)


@dataclass(frozen=True)
class TupleValue:
    """A tuple in the graph, or a stack of tensors along a first dimension (an LSTM's states)."""

    items: tuple[Value, ...]


@dataclass(frozen=True)
class ChannelCount:
    """The number of channels, as the graph reads it from a tensor's shape."""

    channels: Channels


@dataclass(frozen=True)
class Fixed:
    """Anything in the graph that cannot lose channels."""


FIXED = Fixed()

Value = Channels | TupleValue | ChannelCount | Fixed


def channels_in(value: object) -> list[Channels]:
    """Return all :class:`Channels` in a value, or in nested lists, tuples and dicts of values."""
    if isinstance(value, Channels):
        return [value]
    if isinstance(value, ChannelCount):
        return [value.channels]
    if isinstance(value, TupleValue):
        value = value.items
    if isinstance(value, dict):
        value = list(value.values())
    parts = value if isinstance(value, list | tuple) else ()
    return [channels for part in parts for channels in channels_in(part)]


def require_channels(value: Value) -> Channels:
    """Return ``value``; raise Unsupported where it is not a tensor with channels."""
    if not isinstance(value, Channels):
        raise Unsupported("must have one tensor as its first argument")
    return value


class ChannelTable:
    """The constraints on all channels of a model, and which channels they let be removed."""

    def __init__(self) -> None:
        self._parent: list[int] = []  # a disjoint-set forest: tied channels have the same root
        self._masked: set[int] = set()
        self._kept: set[int] = set()
        self._balanced: list[Sequence[Sequence[int]]] = []

    def new(self, count: int) -> tuple[int, ...]:
        """Return the ids of ``count`` new channels."""
        start = len(self._parent)
        self._parent.extend(range(start, start + count))
        return tuple(range(start, start + count))

    def tie(self, first: Sequence[int], second: Sequence[int]) -> None:
        """Let the channels of both be removed together, pair by pair."""
        for a, b in zip(first, second, strict=True):
            self._parent[self._root(a)] = self._root(b)

    def mask(self, ids: Sequence[int], pruned: Tensor) -> None:
        """Note which channels a mask prunes; a channel that no mask prunes is never removed."""
        self._masked.update(_selected(ids, pruned))

    def keep(self, ids: Sequence[int], where: Tensor | None = None) -> None:
        """Forbid to remove the channels, or those of them where ``where`` is True."""
        self._kept.update(ids if where is None else _selected(ids, where))

    def balance(self, parts: Sequence[Sequence[int]]) -> None:
        """Let every part lose equally many channels, and keep one at least."""
        self._balanced.append(parts)

    def removed_channels(self) -> frozenset[int]:
        """Return the ids of the masked channels that no constraint keeps.

        Parts that must be balanced keep the last of the channels that they would lose too many of.
        """
        while True:
            roots = {self._root(i) for i in self._masked} - {self._root(i) for i in self._kept}
            excess = [i for parts in self._balanced for i in self._excess(parts, roots)]
            if not excess:
                return frozenset(i for i in range(len(self._parent)) if self._root(i) in roots)
            self.keep(excess)

    def _excess(self, parts: Sequence[Sequence[int]], removed_roots: set[int]) -> list[int]:
        """Return the last channels of the parts that would lose more than others, or all."""
        losses = [[i for i in part if self._root(i) in removed_roots] for part in parts]
        count = min(min(len(lost), len(part) - 1) for lost, part in zip(losses, parts, strict=True))
        return [i for lost in losses for i in lost[count:]]

    def _root(self, i: int) -> int:
        while self._parent[i] != i:
            self._parent[i] = self._parent[self._parent[i]]
            i = self._parent[i]
        return i


def _selected(ids: Sequence[int], where: Tensor) -> list[int]:
    return [i for i, selected in zip(ids, where.tolist(), strict=True) if selected]
