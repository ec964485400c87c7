"""Layers with a parameter a channel that leave the channels as they are: norms and PReLU."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from sparsebench.pruning.structured.channels import FIXED, Channels, ChannelTable, Value
from sparsebench.pruning.structured.layers.layer import (
    Going,
    Layer,
    Unsupported,
    check_parametrizations,
    kept,
    resized,
)


class PerChannel(Layer):
    """A BatchNorm, an InstanceNorm, or a PReLU with a weight a channel, in evaluation mode."""

    def __init__(self, module: nn.Module, table: ChannelTable) -> None:
        super().__init__(module, table)
        self.value: Channels | None = None
        self.function: Callable[[Tensor], Tensor] = _prelu(module)
        self.names, self.size_name = ["weight"], "num_parameters"
        if isinstance(module, _NormBase):
            self.function = _norm(module)
            self.names = ["weight", "bias", "running_mean", "running_var"]
            self.size_name = "num_features"

    def check(self, value: Channels) -> None:
        """Raise Unsupported where the input's channels are not in dimension 1."""
        check_parametrizations(self.module)
        size = getattr(self.module, self.size_name)
        position = 1 if value.rank is None and value.axis == -1 else (value.rank or 0) + value.axis
        if value.spread or position != 1 or len(value.ids) != size:
            raise Unsupported(
                f"takes {size} channels in dimension 1, and gets {len(value.ids)} that can be "
                f"pruned in dimension {value.axis}{' (flattened)' if value.spread else ''}"
            )

    def call(self, value: Channels | None) -> Value:
        """The same channels; a constant one is scaled and shifted."""
        self.inputs.append(value)
        return FIXED if value is None else value.mapped(self.function)

    def finish(self) -> None:
        """Tie the channels of all calls."""
        self.value = self.tied_inputs()

    def cut(self, going: Going) -> None:
        """Take the entries of removed channels out of every parameter and statistic."""
        if self.value is None or not any(going(self.value.ids)):
            return
        for name in self.names:
            values = getattr(self.module, name, None)
            if values is not None:
                rows = kept(going, self.value.ids, values.device)
                resized(self.module, name, values.detach()[rows])
        setattr(self.module, self.size_name, going(self.value.ids).count(False))


def _norm(norm: _NormBase) -> Callable[[Tensor], Tensor]:
    """The norm's evaluation on channels that are constant over batch and space."""

    def normalized(x: Tensor) -> Tensor:
        out = torch.zeros_like(x)  # statistics of a constant channel: itself, and no variance
        if norm.running_mean is not None and norm.running_var is not None:
            out = (x - norm.running_mean) * torch.rsqrt(norm.running_var + norm.eps)
        return out if norm.weight is None else out * norm.weight.detach() + norm.bias.detach()

    return normalized


def _prelu(module: nn.Module) -> Callable[[Tensor], Tensor]:
    def rectified(x: Tensor) -> Tensor:
        weight = module.weight
        assert isinstance(weight, Tensor)
        return torch.where(x >= 0, x, x * weight.detach())

    return rectified
