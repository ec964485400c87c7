"""Element-wise functions of one or two tensors, dropout included: constants remain constants."""

import copy
import operator
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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

MODULES: tuple[type[nn.Module], ...] = (
    nn.CELU, nn.ELU, nn.GELU, nn.Hardshrink, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh,
    nn.LeakyReLU, nn.LogSigmoid, nn.Mish, nn.PReLU, nn.RReLU, nn.ReLU, nn.SELU, nn.SiLU,
    nn.Sigmoid, nn.Softplus, nn.Softshrink, nn.Softsign, nn.Tanh, nn.Tanhshrink, nn.Threshold,
)  # fmt: skip

UNCHANGED: tuple[type[nn.Module], ...] = (  # in evaluation mode
    nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout,
    nn.FeatureAlphaDropout,
)  # fmt: skip

FUNCTIONS: tuple[Callable[..., Tensor], ...] = (
    F.celu, F.elu, F.gelu, F.hardshrink, F.hardsigmoid, F.hardswish, F.hardtanh, F.leaky_relu,
    F.logsigmoid, F.mish, F.relu, F.relu6, F.selu, F.sigmoid, F.silu, F.softplus, F.softshrink,
    F.softsign, F.tanh, F.tanhshrink, F.threshold, F.relu_, F.elu_, F.celu_, F.selu_,
    F.leaky_relu_, F.hardtanh_,
    torch.abs, torch.celu, torch.clamp, torch.cos, torch.erf, torch.exp, torch.hardshrink,
    torch.neg, torch.pow, torch.relu, torch.relu_, torch.selu, torch.sigmoid, torch.sin,
    torch.sqrt, torch.square, torch.tanh, torch.threshold,
    operator.neg, operator.pow, operator.pos, operator.abs,
)  # fmt: skip

DROPOUTS: tuple[Callable[..., Tensor], ...] = (
    F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout,
    torch.dropout,
)  # fmt: skip

METHODS = (
    "abs", "clamp", "clamp_", "clone", "contiguous", "cos", "detach", "erf", "exp", "neg", "pow",
    "relu", "relu_", "sigmoid", "sigmoid_", "sin", "sqrt", "square", "tanh", "tanh_", "float",
    "double", "half", "bfloat16",
)  # fmt: skip

BINARY: dict[Callable[..., Any], Callable[..., Tensor]] = {
    operator.add: torch.add, operator.iadd: torch.add, torch.add: torch.add,
    operator.sub: torch.sub, operator.isub: torch.sub, torch.sub: torch.sub,
    operator.mul: torch.mul, operator.imul: torch.mul, torch.mul: torch.mul,
    operator.truediv: torch.true_divide, operator.itruediv: torch.true_divide,
    torch.div: torch.div, torch.true_divide: torch.true_divide,
}  # fmt: skip

BINARY_METHODS: dict[str, Callable[..., Tensor]] = {
    "add": torch.add, "add_": torch.add, "sub": torch.sub, "sub_": torch.sub, "mul": torch.mul,
    "mul_": torch.mul, "div": torch.div, "div_": torch.div,
}  # fmt: skip


def module_rule(module: nn.Module) -> Callable[[Value], Channels]:
    """Return the rule for a module of ``MODULES``, in evaluation mode."""
    function = copy.deepcopy(module).eval()
    return lambda value: require_channels(value).map_constant(function)


def function_rule(function: Callable[..., Tensor]) -> Callable[..., Channels]:
    """Return the rule for a function whose further arguments are numbers."""

    def rule(value: Value, *args: Any, **kwargs: Any) -> Channels:
        if not isinstance(value, Channels) or _has_values((args, kwargs)):
            raise Unsupported("has an argument that is computed from the model's input or weights")
        return value.map_constant(lambda constant: function(constant, *args, **kwargs))

    return rule


def method_rule(name: str) -> Callable[..., Channels]:
    """Return the rule for a tensor's method of that name."""
    return function_rule(lambda x, *args, **kwargs: getattr(x, name)(*args, **kwargs))


def binary_rule(function: Callable[..., Tensor]) -> Callable[..., Value]:
    """Return the rule for a function of two tensors, or of a tensor and a number."""

    def rule(first: Value, other: Value, **kwargs: Any) -> Value:
        if isinstance(first, Channels) and isinstance(other, Channels):
            first.tie(other)
            constant = function(first.constant, other.constant, **kwargs)
            if function is torch.mul:  # 0 times a channel that is not constant is 0, too
                constant = constant.masked_fill((first.constant == 0) | (other.constant == 0), 0)
            ranks = [rank for rank in (first.rank, other.rank) if rank is not None]
            return replace(first, constant=constant, rank=max(ranks, default=None))
        if isinstance(first, Channels) and isinstance(other, int | float):
            return first.map_constant(lambda constant: function(constant, other, **kwargs))
        if isinstance(other, Channels) and isinstance(first, int | float):
            return other.map_constant(  # some functions need a tensor as their first argument
                lambda constant: function(torch.full_like(constant, first), constant, **kwargs)
            )
        for value, partner in ((first, other), (other, first)):
            if isinstance(value, Channels) and isinstance(partner, Fixed):
                value.table.keep(value.ids)  # the other tensor has all channels
                return FIXED
        raise Unsupported("has arguments that are neither tensors nor numbers")

    return rule


def unchanged(value: Value, *_args: Any, **_kwargs: Any) -> Value:
    """Return the value as it is."""
    return value


def rrelu(value: Value, *args: Any, **kwargs: Any) -> Value:
    """Apply a leaky ReLU with the mean slope, as in evaluation."""
    lower, upper = (*args, kwargs.get("lower", 1 / 8), kwargs.get("upper", 1 / 3))[:2]
    return require_channels(value).map_constant(
        lambda constant: F.leaky_relu(constant, (lower + upper) / 2)
    )


def _has_values(arguments: object) -> bool:
    """Return whether nested lists, tuples and dicts contain a value of the graph."""
    if isinstance(arguments, dict):
        arguments = list(arguments.values())
    if isinstance(arguments, list | tuple):
        return any(_has_values(part) for part in arguments)
    return isinstance(arguments, Channels | TupleValue | ChannelCount | Fixed)
