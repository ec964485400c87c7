"""Pooling, padding and resizing: space changes, channels stay; which constants survive."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from sparsebench.pruning.structured.channels import Channels, Value
from sparsebench.pruning.structured.layers import Unsupported

MODULES: dict[type[nn.Module], int] = {
    nn.MaxPool1d: 1, nn.MaxPool2d: 2, nn.MaxPool3d: 3,
    nn.AvgPool1d: 1, nn.AvgPool2d: 2, nn.AvgPool3d: 3,
    nn.AdaptiveAvgPool1d: 1, nn.AdaptiveAvgPool2d: 2, nn.AdaptiveAvgPool3d: 3,
    nn.AdaptiveMaxPool1d: 1, nn.AdaptiveMaxPool2d: 2, nn.AdaptiveMaxPool3d: 3,
    nn.ZeroPad1d: 1, nn.ZeroPad2d: 2, nn.ZeroPad3d: 3,
    nn.Upsample: 0, nn.UpsamplingNearest2d: 2, nn.UpsamplingBilinear2d: 2,
}  # fmt: skip

FUNCTIONS: dict[Callable[..., Any], int] = {
    F.max_pool1d: 1, F.max_pool2d: 2, F.max_pool3d: 3,
    torch.max_pool1d: 1, torch.max_pool2d: 2, torch.max_pool3d: 3,
    F.adaptive_avg_pool1d: 1, F.adaptive_avg_pool2d: 2, F.adaptive_avg_pool3d: 3,
    F.adaptive_max_pool1d: 1, F.adaptive_max_pool2d: 2, F.adaptive_max_pool3d: 3,
    F.interpolate: 0,
}  # fmt: skip

AVERAGES: dict[Callable[..., Any], int] = {F.avg_pool1d: 1, F.avg_pool2d: 2, F.avg_pool3d: 3}


_AVERAGE_ARGUMENTS = (
    "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override",
)  # fmt: skip


def module_rule(module: nn.Module) -> Callable[[Channels], Channels]:
    """The rule for a module of ``MODULES``."""
    space = next(MODULES[kind] for kind in type(module).__mro__ if kind in MODULES)
    averages = isinstance(module, nn.AvgPool1d | nn.AvgPool2d | nn.AvgPool3d)
    mixes = isinstance(module, nn.ZeroPad1d | nn.ZeroPad2d | nn.ZeroPad3d) or (
        averages
        and _mixes_zeros(
            module.padding, module.count_include_pad, getattr(module, "divisor_override", None)
        )
    )

    def rule(value: Channels) -> Channels:
        if getattr(module, "return_indices", False):
            raise Unsupported("returns indices")
        return _over_space(value, space, mixes)

    return rule


def function_rule(space: int) -> Callable[..., Channels]:
    """The rule for a function of ``FUNCTIONS`` over ``space`` dimensions (0: any)."""

    def rule(value: Value, *_args: Any, **kwargs: Any) -> Channels:
        if kwargs.get("return_indices"):
            raise Unsupported("returns indices")
        return _over_space(value, space, mixes_zeros=False)

    return rule


def average_rule(space: int) -> Callable[..., Channels]:
    """The rule for ``avg_pool`` over ``space`` dimensions."""

    def rule(value: Value, *args: Any, **kwargs: Any) -> Channels:
        given = {**dict(zip(_AVERAGE_ARGUMENTS, args, strict=False)), **kwargs}
        mixes = _mixes_zeros(
            given.get("padding", 0),
            given.get("count_include_pad", True),
            given.get("divisor_override"),
        )
        return _over_space(value, space, mixes)

    return rule


def pad(
    tensor: Value,
    pad: Sequence[int],
    mode: str = "constant",
    value: float | None = None,
) -> Channels:
    """``torch.nn.functional.pad``: a constant stays one if the border has the same."""
    if not isinstance(tensor, Channels) or tensor.spread or len(pad) // 2 >= -tensor.axis:
        raise Unsupported("pads the channels' dimension")
    if mode != "constant":
        return tensor
    other = tensor.constant != (value or 0.0)
    return replace(tensor, constant=tensor.constant.masked_fill(other, torch.nan))


def _over_space(value: Value, space: int, mixes_zeros: bool) -> Channels:
    if not isinstance(value, Channels) or value.spread:
        raise Unsupported("must have one tensor, not flattened, as its first argument")
    axis = -1 - space if space else value.axis
    if value.axis != axis or axis == -1:
        raise Unsupported(f"takes channels in dimension {axis}, and gets them in {value.axis}")
    return value.zeros_only() if mixes_zeros else value


def _mixes_zeros(padding: Any, count_include_pad: Any, divisor_override: Any) -> bool:
    """Whether an average is also over padding, or not an average: then only 0 stays constant."""
    padded = any(padding) if isinstance(padding, tuple | list) else bool(padding)
    return (padded and count_include_pad) or divisor_override is not None
