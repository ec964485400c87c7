"""What happens to channels at nodes without weights: one file a family of operations."""

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from sparsebench.pruning.structured.channels import Channels, Value
from sparsebench.pruning.structured.layers import Unsupported
from sparsebench.pruning.structured.rules import arithmetic, elementwise, pooling, shapes

Rule = Callable[..., Value]  # (*args, **kwargs), tensors as Values


def of_function(function: Callable[..., Any]) -> Rule:
    """The rule for a function in the graph."""
    return _of(_FUNCTIONS, function)


def of_method(name: str) -> Rule:
    """The rule for a tensor's method in the graph."""
    return _of(_METHODS, name)


def of_module(module: nn.Module) -> Rule:
    """The rule for a module without weights of its own."""
    if isinstance(module, nn.Flatten):
        return lambda value: shapes.flatten(value, module.start_dim, module.end_dim)
    if isinstance(module, elementwise.UNCHANGED):
        return elementwise.same
    if isinstance(module, elementwise.MODULES):
        return _one_tensor(elementwise.module_rule(module))
    if isinstance(module, tuple(pooling.MODULES)):
        return _one_tensor(pooling.module_rule(module))
    raise Unsupported("is of a kind that cannot lose channels")


def is_in_place(node: fx.Node, module: nn.Module | None) -> bool:
    """Whether the node writes its result over its first argument."""
    if module is not None:
        return bool(getattr(module, "inplace", False))
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    in_place = (name.endswith("_") and not name.endswith("__")) or node.target in _IN_PLACE
    asked = node.target in elementwise.FUNCTIONS and any(arg is True for arg in node.args)
    return in_place or asked or node.kwargs.get("inplace") is True


def _of(rules: dict[Any, Rule], key: Any) -> Rule:
    if key not in rules:
        raise Unsupported("is of a kind that cannot lose channels")
    return rules[key]


def _one_tensor(function: Callable[[Channels], Channels]) -> Rule:
    def rule(value: Value) -> Value:
        if not isinstance(value, Channels):
            raise Unsupported("must have one tensor as its argument")
        return function(value)

    return rule


_IN_PLACE = (operator.iadd, operator.isub, operator.imul, operator.itruediv)

_FUNCTIONS: dict[Any, Rule] = {
    **{function: elementwise.function_rule(function) for function in elementwise.FUNCTIONS},
    **dict.fromkeys(elementwise.DROPOUTS, elementwise.same),
    F.rrelu: elementwise.rrelu,
    **{function: pooling.function_rule(space) for function, space in pooling.FUNCTIONS.items()},
    **{function: pooling.average_rule(space) for function, space in pooling.AVERAGES.items()},
    **{key: arithmetic.binary_rule(apply) for key, apply in arithmetic.BINARY.items()},
    F.pad: pooling.pad,
    torch.cat: arithmetic.concatenate,
    torch.concat: arithmetic.concatenate,
    torch.flatten: shapes.flatten,
    torch.reshape: shapes.view,
    torch.mean: shapes.reduce,
    torch.amax: shapes.reduce,
    torch.amin: shapes.reduce,
    torch.sum: shapes.total,
    torch.transpose: shapes.transpose,
    torch.permute: shapes.permute,
    torch.squeeze: shapes.squeeze,
    torch.unsqueeze: shapes.unsqueeze,
    getattr: shapes.attribute,
    operator.getitem: shapes.item,
}


_METHODS: dict[Any, Rule] = {
    **{name: elementwise.method_rule(name) for name in elementwise.METHODS},
    **{name: arithmetic.binary_rule(apply) for name, apply in arithmetic.METHODS.items()},
    "to": elementwise.same,
    "type_as": elementwise.same,
    "cpu": elementwise.same,
    "cuda": elementwise.same,
    "flatten": shapes.flatten,
    "view": shapes.view,
    "reshape": shapes.view,
    "mean": shapes.reduce,
    "amax": shapes.reduce,
    "amin": shapes.reduce,
    "sum": shapes.total,
    "transpose": shapes.transpose,
    "permute": shapes.permute,
    "squeeze": shapes.squeeze,
    "unsqueeze": shapes.unsqueeze,
    "size": shapes.sizes,
    "dim": shapes.fixed,
}
