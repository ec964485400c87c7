"""A sparsifier's state: plain dicts that can also be compared when they hold tensors."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

Config = dict[str, Any]  # settings of a tensor, from an entry of a configuration to a whole group


class TensorState(dict[str, Any]):
    """The state of one tensor; equal when all values are, tensors by shape, dtype and bits."""

    __hash__ = None  # mutable, as every dict

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, dict) or self.keys() != other.keys():
            return False
        return all(_same(value, other[key]) for key, value in self.items())

    def __ne__(self, other: object) -> bool:
        return not self == other


class SparsifierState(defaultdict[str, TensorState]):
    """A :class:`TensorState` per ``tensor_fqn``, made on first use."""

    def __init__(self) -> None:
        super().__init__(TensorState)

    def __reduce__(self) -> tuple[Any, ...]:
        return SparsifierState, (), None, None, iter(self.items())


def snapshot(state: Mapping[str, Any]) -> dict[str, Any]:
    """A plain dict of the same values, tensors copied, so that later updates do not reach it."""
    return {k: v.detach().clone() if isinstance(v, Tensor) else v for k, v in state.items()}


def _same(one: object, other: object) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    return bool(one == other)
