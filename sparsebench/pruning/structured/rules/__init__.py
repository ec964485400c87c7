"""Rules: what an operation without weights does to channels. One module per family of operations.

A rule is called with the arguments of a node of the graph, values in place of tensors. It returns
the value of the result, or raises Unsupported where the operation cannot lose channels.
"""

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from sparsebench.pruning.structured.channels import Unsupported, Value
from sparsebench.pruning.structured.rules import elementwise, pooling, shapes

Rule = Callable[..., Value]

_IN_PLACE = (operator.iadd, operator.isub, operator.imul, operator.itruediv)


def rule_of(node: fx.Node, module: nn.Module | None) -> Rule:
    """Return the rule for a function, a tensor's method, or a module that is no layer.

    Args:
        module: the module that the node calls, if it calls one.

    Raises:
        Unsupported: there is no rule.
    """
    rule: Rule | None = None
    if module is None:
        rules = _METHODS if node.op == "call_method" else _FUNCTIONS
        rule = rules.get(node.target)
    elif isinstance(module, nn.Flatten):
        start_dim, end_dim = module.start_dim, module.end_dim
        rule = lambda value: shapes.flatten(value, start_dim, end_dim)  # noqa: E731
    elif isinstance(module, elementwise.UNCHANGED):
        rule = elementwise.unchanged
    elif isinstance(module, elementwise.MODULES):
        rule = elementwise.module_rule(module)
    elif isinstance(module, tuple(pooling.MODULES)):
        rule = pooling.module_rule(module)
    if rule is None:
        raise Unsupported(
            "is not supported with fewer channels; leave the masked layers before it out, or use "
            "squash_mask instead"
        )
    return rule


def is_in_place(node: fx.Node, module: nn.Module | None) -> bool:
    """Return whether the node writes its result over its first argument."""
    if module is not None:
        return bool(getattr(module, "inplace", False))
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    by_name = (name.endswith("_") and not name.endswith("__")) or node.target in _IN_PLACE
    by_flag = node.target in elementwise.FUNCTIONS and any(arg is True for arg in node.args)
    return by_name or by_flag or node.kwargs.get("inplace") is True


_FUNCTIONS: dict[Any, Rule] = {
    **{function: elementwise.function_rule(function) for function in elementwise.FUNCTIONS},
    **{key: elementwise.binary_rule(apply) for key, apply in elementwise.BINARY.items()},
    **dict.fromkeys(elementwise.DROPOUTS, elementwise.unchanged),
    F.rrelu: elementwise.rrelu,
    **{function: pooling.function_rule(dims) for function, dims in pooling.FUNCTIONS.items()},
    **{function: pooling.average_rule(dims) for function, dims in pooling.AVERAGES.items()},
    F.pad: pooling.pad,
    torch.cat: shapes.concatenate,
    torch.concat: shapes.concatenate,
    torch.flatten: shapes.flatten,
    torch.reshape: shapes.view,
    torch.mean: shapes.reduce,
    torch.amax: shapes.reduce,
    torch.amin: shapes.reduce,
    torch.sum: shapes.reduce_sum,
    torch.transpose: shapes.transpose,
    torch.permute: shapes.permute,
    torch.squeeze: shapes.squeeze,
    torch.unsqueeze: shapes.unsqueeze,
    getattr: shapes.attribute,
    operator.getitem: shapes.getitem,
}


_METHODS: dict[Any, Rule] = {
    **{name: elementwise.method_rule(name) for name in elementwise.METHODS},
    **{name: elementwise.binary_rule(apply) for name, apply in elementwise.BINARY_METHODS.items()},
    "to": elementwise.unchanged,
    "type_as": elementwise.unchanged,
    "cpu": elementwise.unchanged,
    "cuda": elementwise.unchanged,
    "flatten": shapes.flatten,
    "view": shapes.view,
    "reshape": shapes.view,
    "mean": shapes.reduce,
    "amax": shapes.reduce,
    "amin": shapes.reduce,
    "sum": shapes.reduce_sum,
    "transpose": shapes.transpose,
    "permute": shapes.permute,
    "squeeze": shapes.squeeze,
    "unsqueeze": shapes.unsqueeze,
    "size": shapes.size,
    "dim": shapes.fixed,
}
