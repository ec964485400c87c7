"""Element-wise functions, and what is one in evaluation mode: a constant stays a constant."""

import copy
import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sparsebench.pruning.structured.channels import (
    Channels,
    Fixed,
    Several,
    Size,
    Value,
)
from sparsebench.pruning.structured.layers import Unsupported

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


def module_rule(module: nn.Module) -> Callable[[Channels], Channels]:
    """The rule for a module of ``MODULES``, in evaluation mode."""
    function = copy.deepcopy(module).eval()
    return lambda value: value.mapped(function)


def function_rule(function: Callable[..., Tensor]) -> Callable[..., Channels]:
    """The rule for a function whose further arguments are numbers."""

    def rule(value: Value, *args: Any, **kwargs: Any) -> Channels:
        if not isinstance(value, Channels) or _has_values((args, kwargs)):
            raise Unsupported("has an argument that is computed from the model's input or weights")
        return value.mapped(lambda constant: function(constant, *args, **kwargs))

    return rule


def method_rule(name: str) -> Callable[..., Channels]:
    """The rule for a tensor's method of that name."""
    return function_rule(lambda x, *args, **kwargs: getattr(x, name)(*args, **kwargs))


def same(value: Value, *_args: Any, **_kwargs: Any) -> Value:
    """The channels as they are."""
    return value


def rrelu(value: Value, *args: Any, **kwargs: Any) -> Value:
    """Leaky ReLU with the mean slope, as in evaluation."""
    lower, upper = (*args, kwargs.get("lower", 1 / 8), kwargs.get("upper", 1 / 3))[:2]
    if not isinstance(value, Channels):
        raise Unsupported("must have one tensor as its first argument")
    return value.mapped(lambda constant: F.leaky_relu(constant, (lower + upper) / 2))


def _has_values(arguments: object) -> bool:
    if isinstance(arguments, dict):
        arguments = list(arguments.values())
    if isinstance(arguments, list | tuple):
        return any(_has_values(part) for part in arguments)
    return isinstance(arguments, Channels | Several | Size | Fixed)
