"""Depthwise convolutions: every input channel has output channels of its own."""

import torch
from torch import Tensor

from sparsebench.pruning.structured.bias import effective_bias, release_bias
from sparsebench.pruning.structured.channels import Channels, ChannelTable
from sparsebench.pruning.structured.layers.layer import (
    Going,
    Layer,
    Unsupported,
    check_parametrizations,
    kept,
    resized,
    strip,
)
from sparsebench.pruning.structured.layers.projection import Conv, masked_constants, pads_zeros


class Depthwise(Layer):
    """A convolution with as many groups as input channels; a channel goes with all its outputs."""

    module: Conv

    def __init__(self, module: Conv, table: ChannelTable) -> None:
        super().__init__(module, table)
        self.channels = table.new(module.groups)
        self.multiplier = module.out_channels // module.groups
        self.outputs = tuple(i for i in self.channels for _ in range(self.multiplier))
        self.masked = masked_constants(module)
        table.mask(self.outputs, ~self.masked.isnan())
        table.balance([self.channels])

    def own_channels(self) -> tuple[int, ...]:
        """One a group."""
        return self.channels

    def check(self, value: Channels) -> None:
        """Raise Unsupported where the input's channels are not the layer's."""
        check_parametrizations(self.module)
        axis = -1 - len(self.module.kernel_size)
        if value.axis != axis or value.spread or len(value.ids) != len(self.channels):
            raise Unsupported(f"takes {len(self.channels)} channels in dimension {axis}")

    def call(self, value: Channels | None) -> Channels:
        """Channels of the output; constant where the row is masked or its input constant."""
        size = len(self.module.kernel_size)
        self.inputs.append(value)
        constant = self.masked if value is None else self._constants(value)
        return Channels(self.table, self.outputs, constant, -1 - size, size + 2)

    def finish(self) -> None:
        """Tie the input channels to the layer's own; inputs of fixed channels keep all."""
        value = self.tied_inputs()
        if value is None:
            self.table.need(self.channels)
        else:
            self.table.tie(value.ids, self.channels)

    def cut(self, going: Going) -> None:
        """Take whole groups out."""
        module = self.module
        strip(module, "weight")
        release_bias(module, "weight", masked=True)
        rows = kept(going, self.outputs, module.weight.device)
        resized(module, "weight", module.weight.detach()[rows])
        resized(module, "bias", None if module.bias is None else module.bias.detach()[rows])
        module.out_channels = int(rows.sum())
        module.in_channels = module.groups = module.out_channels // self.multiplier

    def _constants(self, value: Channels) -> Tensor:
        constant = value.constant.repeat_interleave(self.multiplier)
        if pads_zeros(self.module):
            constant = constant.masked_fill(constant != 0, torch.nan)
        out = constant * self.module.weight.detach().flatten(1).sum(1)
        bias = effective_bias(self.module)
        out = out if bias is None else out + bias.detach()
        return torch.where(self.masked.isnan(), out, self.masked)
