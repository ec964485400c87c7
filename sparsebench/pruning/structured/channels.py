"""Channels as values: what is known of a tensor's channels while a model's graph is followed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Channels:
    """A tensor in the graph whose channels come from layers that can lose some.

    Attributes:
        table: where the channels are known.
        ids: the identity of each channel; equal or tied ids can only go together.
        constant: shape (len(ids),): the value that a channel has everywhere, whatever the model's
            input; NaN where it has no such value. A masked channel is 0, or its bias.
        axis: the dimension of the channels, counted from the end (negative).
        rank: number of dimensions, where it is known.
        spread: every channel covers a block of equally many entries along the axis (flattened).
    """

    table: ChannelTable
    ids: tuple[int, ...]
    constant: Tensor
    axis: int
    rank: int | None = None
    spread: bool = False

    def with_constant(self, constant: Tensor) -> Channels:
        """The same channels with other values; unknown ones stay unknown, others must be finite."""
        unknown = self.constant.isnan() | ~constant.isfinite()
        return replace(self, constant=constant.masked_fill(unknown, torch.nan))

    def mapped(self, function: Callable[[Tensor], Tensor]) -> Channels:
        """The same channels after an element-wise function."""
        return self.with_constant(function(self.constant.clone()))

    def zeros_only(self) -> Channels:
        """The same channels after something that keeps zeros, but no other constant."""
        return replace(self, constant=self.constant.masked_fill(self.constant != 0, torch.nan))


@dataclass(frozen=True)
class Several:
    """A tuple in the graph, or a stack of tensors along a first dimension (an LSTM's states)."""

    items: tuple[Value, ...]


@dataclass(frozen=True)
class Size:
    """The number of channels, as the graph reads it off a tensor."""

    channels: Channels


@dataclass(frozen=True)
class Fixed:
    """Anything in the graph that cannot lose channels."""


FIXED = Fixed()

Value = Channels | Several | Size | Fixed


def channels_in(value: object) -> list[Channels]:
    """All :class:`Channels` in a value, or in nested lists, tuples and dicts of values."""
    if isinstance(value, Channels):
        return [value]
    if isinstance(value, Size):
        return [value.channels]
    if isinstance(value, Several):
        value = value.items
    if isinstance(value, dict):
        value = list(value.values())
    parts = value if isinstance(value, list | tuple) else ()
    return [found for part in parts for found in channels_in(part)]


class ChannelTable:
    """Which channels must go together, which are masked, and which are needed."""

    def __init__(self) -> None:
        self._parent: list[int] = []
        self._masked: set[int] = set()
        self._needed: set[int] = set()
        self._balanced: list[Sequence[Sequence[int]]] = []

    def new(self, count: int) -> tuple[int, ...]:
        """Ids of ``count`` new channels."""
        start = len(self._parent)
        self._parent.extend(range(start, start + count))
        return tuple(range(start, start + count))

    def tie(self, one: Sequence[int], other: Sequence[int]) -> None:
        """Let the channels of both go together, pair by pair."""
        for a, b in zip(one, other, strict=True):
            self._parent[self._root(a)] = self._root(b)

    def mask(self, ids: Sequence[int], pruned: Tensor) -> None:
        """Note which channels a mask prunes; channels that no mask prunes never go."""
        self._masked.update(_chosen(ids, pruned))

    def need(self, ids: Sequence[int], where: Tensor | None = None) -> None:
        """Keep all channels, or those where ``where`` is True."""
        self._needed.update(ids if where is None else _chosen(ids, where))

    def balance(self, parts: Sequence[Sequence[int]]) -> None:
        """Let every part lose equally many channels, and keep one at least."""
        self._balanced.append(parts)

    def removable(self) -> Callable[[Iterable[int]], list[bool]]:
        """A function from ids to whether each goes, after all that was noted."""
        gone = self._gone()
        while extra := [i for parts in self._balanced for i in self._excess(parts, gone)]:
            self.need(extra)
            gone = self._gone()
        return lambda ids: [self._root(i) in gone for i in ids]

    def _gone(self) -> set[int]:
        return {self._root(i) for i in self._masked} - {self._root(i) for i in self._needed}

    def _excess(self, parts: Sequence[Sequence[int]], gone: set[int]) -> list[int]:
        """The last channels of the parts that would lose more than others, or all they have."""
        going = [[i for i in part if self._root(i) in gone] for part in parts]
        count = min(min(len(lost), len(part) - 1) for lost, part in zip(going, parts, strict=True))
        return [i for lost in going for i in lost[count:]]

    def _root(self, i: int) -> int:
        while self._parent[i] != i:
            self._parent[i] = self._parent[self._parent[i]]
            i = self._parent[i]
        return i


def _chosen(ids: Sequence[int], where: Tensor) -> list[int]:
    return [i for i, chosen in zip(ids, where.tolist(), strict=True) if chosen]
