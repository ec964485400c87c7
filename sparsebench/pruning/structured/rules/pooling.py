"""Pooling, padding and resizing: they change spatial dimensions, and maybe constants."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from sparsebench.pruning.structured.channels import (
    Channels,
    Unsupported,
    Value,
    require_channels,
)

# Values of the tables: how many spatial dimensions come after the channels; 0: any number.
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


def module_rule(module: nn.Module) -> Callable[[Value], Channels]:
    """Return the rule for a module of ``MODULES``."""
    spatial_dims = next(MODULES[kind] for kind in type(module).__mro__ if kind in MODULES)
    zeros_only = isinstance(module, nn.ZeroPad1d | nn.ZeroPad2d | nn.ZeroPad3d)
    if isinstance(module, nn.AvgPool1d | nn.AvgPool2d | nn.AvgPool3d):
        divisor = getattr(module, "divisor_override", None)
        zeros_only = _changes_constants(module.padding, module.count_include_pad, divisor)

    def rule(value: Value) -> Channels:
        if getattr(module, "return_indices", False):
            raise Unsupported("returns indices")
        return _over_space(value, spatial_dims, zeros_only)

    return rule


def function_rule(spatial_dims: int) -> Callable[..., Channels]:
    """Return the rule for a function of ``FUNCTIONS``."""

    def rule(value: Value, *_args: Any, **kwargs: Any) -> Channels:
        if kwargs.get("return_indices"):
            raise Unsupported("returns indices")
        return _over_space(value, spatial_dims, zeros_only=False)

    return rule


def average_rule(spatial_dims: int) -> Callable[..., Channels]:
    """Return the rule for a function of ``AVERAGES``."""

    def rule(value: Value, *args: Any, **kwargs: Any) -> Channels:
        given = {**dict(zip(_AVERAGE_ARGUMENTS, args, strict=False)), **kwargs}
        zeros_only = _changes_constants(
            given.get("padding", 0),
            given.get("count_include_pad", True),
            given.get("divisor_override"),
        )
        return _over_space(value, spatial_dims, zeros_only)

    return rule


def pad(
    tensor: Value,
    pad: Sequence[int],
    mode: str = "constant",
    value: float | None = None,
) -> Channels:
    """Apply ``torch.nn.functional.pad``: a constant remains one if the border has the same."""
    if not isinstance(tensor, Channels) or tensor.flattened or len(pad) // 2 >= -tensor.axis:
        raise Unsupported("pads the channels' dimension")
    if mode != "constant":
        return tensor
    differs = tensor.constant != (value or 0.0)
    return replace(tensor, constant=tensor.constant.masked_fill(differs, torch.nan))


def _over_space(value: Value, spatial_dims: int, zeros_only: bool) -> Channels:
    """Return the channels after an operation over the dimensions after them.

    Args:
        spatial_dims: number of these dimensions; 0: any.
        zeros_only: whether the operation changes constants other than 0.
    """
    channels = require_channels(value)
    axis = -1 - spatial_dims if spatial_dims else channels.axis
    if channels.flattened or channels.axis != axis or axis == -1:
        dims = spatial_dims or "some"
        raise Unsupported(f"must have {dims} dimensions after the channels, got {channels.layout}")
    return channels.keep_zeros_only() if zeros_only else channels


def _changes_constants(padding: Any, count_include_pad: Any, divisor_override: Any) -> bool:
    """Return whether an average includes padding, or divides by another number."""
    padded = any(padding) if isinstance(padding, tuple | list) else bool(padding)
    return (padded and count_include_pad) or divisor_override is not None
