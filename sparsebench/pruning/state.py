"""Configurations and states of sparsifiers: plain dicts that can hold tensors and be compared.

Pickled data and activation sparsifiers name this module and these classes: do not move them.
"""

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor

Config = dict[str, Any]  # settings of one tensor: an entry of a configuration, or a whole group


class TensorState(dict[str, Any]):
    """The state of one tensor; equal if all values are equal, tensors in shape, dtype and bits."""

    __hash__ = None  # mutable, as every dict

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, dict) or self.keys() != other.keys():
            return False
        return all(_equal(value, other[key]) for key, value in self.items())

    def __ne__(self, other: object) -> bool:
        return not self == other


class SparsifierState(defaultdict[str, TensorState]):
    """One :class:`TensorState` per ``tensor_fqn``, made on first use."""

    def __init__(self) -> None:
        super().__init__(TensorState)

    def __reduce__(self) -> tuple[Any, ...]:
        return SparsifierState, (), None, None, iter(self.items())


def _equal(left: object, right: object) -> bool:
    if isinstance(left, Tensor) and isinstance(right, Tensor):
        return left.dtype == right.dtype and torch.equal(left, right)
    return bool(left == right)
