"""Norms, and PReLU with a weight per channel, in evaluation mode."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from sparsebench.pruning.structured.channels import (
    FIXED,
    Channels,
    ChannelTable,
    Unsupported,
    Value,
)
from sparsebench.pruning.structured.layers.layer import (
    Layer,
    check_parametrizations,
    kept_channels,
    replace_tensor,
)
from sparsebench.pruning.structured.layers.widened import Widened


class PerChannelLayer(Layer):
    """A BatchNorm, an InstanceNorm, or a PReLU: each channel is computed from itself alone."""

    def __init__(self, module: nn.Module, table: ChannelTable) -> None:
        super().__init__(module, table)
        self.function: Callable[[Tensor], Tensor] = _prelu(module)
        self.names, self.size_name = ["weight"], "num_parameters"
        if isinstance(module, _NormBase):
            self.function = _norm(module)
            self.names = ["weight", "bias", "running_mean", "running_var"]
            self.size_name = "num_features"

    def check_input(self, channels: Channels) -> None:
        """Raise Unsupported where the input's channels are not in dimension 1."""
        check_parametrizations(self.module)
        size = getattr(self.module, self.size_name)
        position = (channels.rank or 0) + channels.axis
        if channels.rank is None and channels.axis == -1:
            position = 1  # a Linear's output, taken to be (batch, channels)
        if channels.flattened or position != 1 or len(channels.ids) != size:
            raise Unsupported(f"must get {size} channels in dimension 1, got {channels.layout}")

    def output_channels(self, channels: Channels | None) -> Value:
        """Return the same channels; a constant one is scaled and shifted."""
        return FIXED if channels is None else channels.map_constant(self.function)

    def remove_channels(self, removed: frozenset[int]) -> None:
        """Remove the channels' entries from every parameter and statistic."""
        if self.input is None or removed.isdisjoint(self.input.ids):
            return
        for name in self.names:
            values = getattr(self.module, name, None)
            if values is not None:
                keep = kept_channels(removed, self.input.ids, values.device)
                replace_tensor(self.module, name, values.detach()[keep])
        setattr(self.module, self.size_name, sum(i not in removed for i in self.input.ids))


class NormOverChannels(Layer):
    """A LayerNorm or GroupNorm, which needs all channels to compute one.

    The module does not change. A :class:`.Widened` module around it inserts the removed channels.

    Args:
        model: where the module is replaced by the module around it.
    """

    def __init__(self, module: nn.Module, table: ChannelTable, model: nn.Module) -> None:
        super().__init__(module, table)
        self.model = model

    def check_input(self, channels: Channels) -> None:
        """Raise Unsupported where the norm is not over the channels alone."""
        over_channels = channels.rank is not None and channels.rank + channels.axis == 1
        if isinstance(self.module, nn.LayerNorm):
            shape = (len(channels.ids),)
            over_channels = channels.axis == -1 and self.module.normalized_shape == shape
        if channels.flattened or not over_channels:
            raise Unsupported(f"normalizes over more than the {len(channels.ids)} channels")

    def output_channels(self, channels: Channels | None) -> Value:
        """Return a fixed value: the output has all channels."""
        return FIXED

    def finish(self) -> None:
        """Keep the channels that are not constant."""
        super().finish()
        if self.input is not None:
            self.table.keep(self.input.ids, self.input.constant.isnan())

    def remove_channels(self, removed: frozenset[int]) -> None:
        """Put a :class:`.Widened` module wherever the norm is."""
        if self.input is None or removed.isdisjoint(self.input.ids):
            return
        keep = kept_channels(removed, self.input.ids, self.input.constant.device)
        constant = self.input.constant.masked_fill(keep, 0)
        widened = Widened(self.module, keep, constant, self.input.axis)
        for parent in list(self.model.modules()):
            for name, child in list(parent.named_children()):
                if child is self.module and parent is not widened:
                    setattr(parent, name, widened)


def _norm(norm: _NormBase) -> Callable[[Tensor], Tensor]:
    """Return the norm's evaluation on channels that are constant over batch and space."""

    def normalize(x: Tensor) -> Tensor:
        out = torch.zeros_like(x)  # statistics of a constant channel: itself, and no variance
        if norm.running_mean is not None and norm.running_var is not None:
            out = (x - norm.running_mean) * torch.rsqrt(norm.running_var + norm.eps)
        return out if norm.weight is None else out * norm.weight.detach() + norm.bias.detach()

    return normalize


def _prelu(module: nn.Module) -> Callable[[Tensor], Tensor]:
    """Return the PReLU's evaluation on constant channels."""

    def rectify(x: Tensor) -> Tensor:
        weight = module.weight
        assert isinstance(weight, Tensor)
        return torch.where(x >= 0, x, x * weight.detach())

    return rectify
