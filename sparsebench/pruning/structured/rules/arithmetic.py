"""Sums, products and concatenations of tensors whose channels may go."""

import operator
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from sparsebench.pruning.structured.channels import FIXED, Channels, Fixed, Value
from sparsebench.pruning.structured.layers import Unsupported

BINARY: dict[Callable[..., Any], Callable[..., Tensor]] = {
    operator.add: torch.add, operator.iadd: torch.add, torch.add: torch.add,
    operator.sub: torch.sub, operator.isub: torch.sub, torch.sub: torch.sub,
    operator.mul: torch.mul, operator.imul: torch.mul, torch.mul: torch.mul,
    operator.truediv: torch.true_divide, operator.itruediv: torch.true_divide,
    torch.div: torch.div, torch.true_divide: torch.true_divide,
}  # fmt: skip

METHODS: dict[str, Callable[..., Tensor]] = {
    "add": torch.add, "add_": torch.add, "sub": torch.sub, "sub_": torch.sub, "mul": torch.mul,
    "mul_": torch.mul, "div": torch.div, "div_": torch.div,
}  # fmt: skip


def binary_rule(function: Callable[..., Tensor]) -> Callable[..., Value]:
    """The rule for a function of two tensors, or of a tensor and a number."""

    def rule(one: Value, other: Value, **kwargs: Any) -> Value:
        if isinstance(one, Channels) and isinstance(other, Channels):
            return _joined(one, other, lambda a, b: function(a, b, **kwargs))
        if isinstance(one, Channels) and isinstance(other, int | float):
            return one.mapped(lambda constant: _on(constant, function, constant, other, kwargs))
        if isinstance(other, Channels) and isinstance(one, int | float):
            return other.mapped(lambda constant: _on(constant, function, one, constant, kwargs))
        return _with_fixed(one, other)

    def _joined_constant(a: Tensor, b: Tensor, result: Tensor) -> Tensor:
        return result.masked_fill((a == 0) | (b == 0), 0) if function is torch.mul else result

    def _joined(one: Channels, other: Channels, apply: Callable[..., Tensor]) -> Channels:
        _tie(one, other)
        constant = _joined_constant(
            one.constant, other.constant, apply(one.constant, other.constant)
        )
        ranks = [rank for rank in (one.rank, other.rank) if rank is not None]
        return replace(one, constant=constant, rank=max(ranks, default=None))

    return rule


def concatenate(tensors: Sequence[Value], dim: int = 0, **kwargs: Any) -> Value:
    """All channels one after the other, or, along another dimension, tied."""
    parts = [value for value in tensors if isinstance(value, Channels)]
    dim = kwargs.get("axis", dim)
    first = parts[0]
    position = dim if dim < 0 or first.rank is None else dim - first.rank
    if len(parts) < len(tensors) or any(
        value.axis != first.axis or value.spread for value in parts
    ):
        raise Unsupported("concatenates channels that can be pruned with others that cannot")
    if position >= 0 and not (position == 1 and first.rank is None):
        raise Unsupported("concatenates along a dimension that cannot be told from the channels'")
    if position in (first.axis, 1):  # 1: a Linear's output, taken to be (batch, channels)
        ids = tuple(i for value in parts for i in value.ids)
        return replace(first, ids=ids, constant=torch.cat([value.constant for value in parts]))
    constant = first.constant
    for other in parts[1:]:
        _tie(first, other)
        constant = constant.masked_fill(constant != other.constant, torch.nan)
    return replace(first, constant=constant)


def _tie(one: Channels, other: Channels) -> None:
    alike = one.axis == other.axis and one.spread == other.spread
    if not alike or len(one.ids) != len(other.ids):
        raise Unsupported(
            f"joins {len(one.ids)} channels in dimension {one.axis} with {len(other.ids)} in "
            f"dimension {other.axis}"
        )
    one.table.tie(one.ids, other.ids)


def _with_fixed(one: Value, other: Value) -> Value:
    """A tensor that can lose no channels keeps those of the other, so all are needed."""
    for value, partner in ((one, other), (other, one)):
        if isinstance(value, Channels) and isinstance(partner, Fixed):
            value.table.need(value.ids)
            return FIXED
    raise Unsupported("has arguments that are neither tensors nor numbers")


def _on(
    like: Tensor, function: Callable[..., Tensor], one: Any, other: Any, kwargs: dict[str, Any]
) -> Tensor:
    """``function`` with its number made a tensor, which some functions want first."""
    a = one if isinstance(one, Tensor) else torch.full_like(like, one)
    return function(a, other, **kwargs)
