"""Linear and convolutions.

A removed input channel is 0 or another constant. A constant adds the same to every output of a
Linear or an unpadded convolution, so its contribution is added to the bias. Zeros around the input
change that at the border. But the contributions of two constant channels differ only by a factor
per weight: one of the channels, the representative of its group, is kept, and the weights of the
others are added to its weights.
"""

import torch
from torch import Tensor, nn

from sparsebench.pruning.structured.channels import Channels, ChannelTable, Unsupported
from sparsebench.pruning.structured.layers.layer import (
    Layer,
    apply_mask,
    check_parametrizations,
    kept_channels,
    replace_tensor,
)
from sparsebench.pruning.structured.parametrization import effective_bias, restore_bias, row_mask

Conv = nn.Conv1d | nn.Conv2d | nn.Conv3d


class LinearOrConvolution(Layer):
    """A Linear, or a convolution in which an output channel reads all inputs of its group."""

    module: nn.Linear | Conv

    def __init__(self, module: nn.Linear | Conv, table: ChannelTable) -> None:
        super().__init__(module, table)
        if isinstance(module, nn.Linear):
            self.groups, self.input_size, self.axis = 1, module.in_features, -1
        else:
            self.groups, self.input_size = module.groups, module.in_channels
            self.axis = -1 - len(module.kernel_size)
        self.outputs = table.new(len(module.weight))
        self.constant = masked_constants(module)
        table.mask(self.outputs, ~self.constant.isnan())
        table.balance(_split(self.outputs, self.groups))

    def check_input(self, channels: Channels) -> None:
        """Raise Unsupported where the input's channels are not the layer's, in their order."""
        check_parametrizations(self.module)
        count, size = len(channels.ids), self.input_size
        fits = size == count
        if channels.flattened:
            fits = size % count == 0 and self.axis == -1
        if channels.axis != self.axis or not fits:
            raise Unsupported(
                f"must get {size} channels in dimension {self.axis}, got {channels.layout}"
            )

    def output_channels(self, channels: Channels | None) -> Channels:
        """Return the layer's own channels."""
        rank: int | None = 1 - self.axis
        if isinstance(self.module, nn.Linear):
            rank = None if channels is None else channels.rank
        return Channels(self.table, self.outputs, self.constant, self.axis, rank)

    def created_channels(self) -> tuple[int, ...]:
        """Return one channel per row of the weight."""
        return self.outputs

    def finish(self) -> None:
        """Keep the input channels that are not constant, and the representatives."""
        super().finish()
        if self.input is not None:
            ids, constant = self.input.ids, self.input.constant
            self.table.keep(ids, constant.isnan())
            if pads_zeros(self.module):
                self.table.keep(ids, representatives(constant.view(self.groups, -1)).flatten())
            self.table.balance(_split(ids, self.groups))

    def remove_channels(self, removed: frozenset[int]) -> None:
        """Remove rows, columns and bias entries; add what removed constants contribute."""
        module, groups, device = self.module, self.groups, self.module.weight.device
        apply_mask(module, "weight")
        restore_bias(module, masked=True)
        rows = kept_channels(removed, self.outputs, device)
        columns = torch.ones((groups, self.input_size // groups), dtype=torch.bool, device=device)
        constant = torch.full(columns.shape, torch.nan, device=device)
        if self.input is not None:
            columns = kept_channels(removed, self.input.ids, device)
            repeats = self.input_size // len(columns)  # of a flattened channel
            columns = columns.repeat_interleave(repeats).view(groups, -1)
            constant = self.input.constant.to(device).repeat_interleave(repeats).view(groups, -1)
        if rows.all() and columns.all():
            return

        weight = module.weight.detach().view(groups, -1, *module.weight.shape[1:])
        bias = None if module.bias is None else module.bias.detach()
        removed_constant = constant.masked_fill(columns, 0)
        if pads_zeros(module):
            weight = add_to_representatives(weight, removed_constant, constant)
        else:
            bias = add_to_bias(weight, removed_constant, bias)

        rows_by_group = rows.view(groups, -1)
        parts = [w[r][:, c] for w, r, c in zip(weight, rows_by_group, columns, strict=True)]
        weight_grad = module.weight.requires_grad
        module.weight = nn.Parameter(torch.cat(parts), requires_grad=weight_grad)
        if bias is not None:
            bias_grad = weight_grad if module.bias is None else module.bias.requires_grad
            module.bias = nn.Parameter(bias[rows], requires_grad=bias_grad)
        if isinstance(module, nn.Linear):
            module.in_features, module.out_features = int(columns.sum()), int(rows.sum())
        else:
            module.in_channels, module.out_channels = int(columns.sum()), int(rows.sum())


class DepthwiseConvolution(Layer):
    """A convolution with as many groups as input channels.

    An input channel is removed together with all outputs of its group.
    """

    module: Conv

    def __init__(self, module: Conv, table: ChannelTable) -> None:
        super().__init__(module, table)
        self.axis = -1 - len(module.kernel_size)
        self.channels = table.new(module.groups)
        self.multiplier = module.out_channels // module.groups
        self.outputs = tuple(i for i in self.channels for _ in range(self.multiplier))
        self.masked = masked_constants(module)
        table.mask(self.outputs, ~self.masked.isnan())
        table.balance([self.channels])

    def created_channels(self) -> tuple[int, ...]:
        """Return one channel per group."""
        return self.channels

    def check_input(self, channels: Channels) -> None:
        """Raise Unsupported where the input's channels are not the layer's."""
        check_parametrizations(self.module)
        count = len(self.channels)
        if channels.axis != self.axis or channels.flattened or len(channels.ids) != count:
            raise Unsupported(
                f"must get {count} channels in dimension {self.axis}, got {channels.layout}"
            )

    def output_channels(self, channels: Channels | None) -> Channels:
        """Return the layer's own channels, constant where the row is masked or the input is."""
        constant = self.masked
        if channels is not None:
            inputs = channels.constant.repeat_interleave(self.multiplier)
            if pads_zeros(self.module):
                inputs = inputs.masked_fill(inputs != 0, torch.nan)
            constant = inputs * self.module.weight.detach().flatten(1).sum(1)
            bias = effective_bias(self.module)
            constant = constant if bias is None else constant + bias.detach()
            constant = torch.where(self.masked.isnan(), constant, self.masked)
        return Channels(self.table, self.outputs, constant, self.axis, 1 - self.axis)

    def finish(self) -> None:
        """Tie the input channels to the layer's own; an input of fixed channels keeps all."""
        super().finish()
        if self.input is None:
            self.table.keep(self.channels)
        else:
            self.table.tie(self.input.ids, self.channels)

    def remove_channels(self, removed: frozenset[int]) -> None:
        """Remove groups."""
        module = self.module
        apply_mask(module, "weight")
        restore_bias(module, masked=True)
        rows = kept_channels(removed, self.outputs, module.weight.device)
        replace_tensor(module, "weight", module.weight.detach()[rows])
        replace_tensor(module, "bias", None if module.bias is None else module.bias.detach()[rows])
        module.out_channels = int(rows.sum())
        module.in_channels = module.groups = module.out_channels // self.multiplier


def masked_constants(module: nn.Module) -> Tensor:
    """Return the output of a masked row, 0 or its bias; NaN for the other rows; shape (rows,)."""
    weight, mask = module.weight, row_mask(module)
    assert isinstance(weight, Tensor)
    if mask is None:
        return weight.new_full((len(weight),), torch.nan)
    bias = effective_bias(module)
    constant = weight.new_zeros(len(weight)) if bias is None else bias.detach()
    return constant.masked_fill(mask | ~constant.isfinite(), torch.nan)


def pads_zeros(module: nn.Module) -> bool:
    """Return whether a convolution adds zeros around its input."""
    padding = getattr(module, "padding", "valid")
    if padding == "valid" or getattr(module, "padding_mode", "zeros") != "zeros":
        return False
    sizes = module.kernel_size if padding == "same" else padding
    assert isinstance(sizes, tuple)
    return any(size > (1 if padding == "same" else 0) for size in sizes)


def representatives(constant: Tensor) -> Tensor:
    """Return which channels are kept for the others: per group the largest constant but 0.

    Args:
        constant: shape (groups, channels), NaN where a channel is not constant.

    Returns:
        bool, shape (groups, channels); no channel of a group without a constant other than 0.
    """
    sizes = constant.nan_to_num(0.0).abs()
    largest = torch.zeros_like(sizes, dtype=torch.bool)
    largest.scatter_(1, sizes.argmax(1, keepdim=True), value=True)
    return largest & (sizes > 0)


def add_to_representatives(weight: Tensor, removed: Tensor, constant: Tensor) -> Tensor:
    """Return ``weight`` with those of removed channels added to their representative's.

    Args:
        weight: shape (groups, rows, channels, ...).
        removed: shape (groups, channels): the constants of removed channels, else 0.
        constant: shape (groups, channels): the constants of all, NaN where there is none.
    """
    out = weight.clone()
    for group, representative in enumerate(representatives(constant)):
        if removed[group].any():
            factor = removed[group].double() / constant[group, representative].double()
            added = torch.tensordot(weight[group].double(), factor, dims=([1], [0]))
            out[group, :, representative] += added.unsqueeze(1).to(weight.dtype)
    return out


def add_to_bias(weight: Tensor, removed: Tensor, bias: Tensor | None) -> Tensor | None:
    """Return the bias of all rows plus the contribution of removed channels; None for no bias.

    Args:
        weight: shape (groups, rows, channels, ...).
        removed: shape (groups, channels): the constants of removed channels, else 0.
        bias: shape (groups * rows,).
    """
    if not removed.any():
        return bias
    kernel_sums = weight.flatten(3).sum(3) if weight.dim() > 3 else weight
    added = (kernel_sums.double() @ removed.double().unsqueeze(2)).flatten()
    return (added if bias is None else added + bias.double()).to(weight.dtype)


def _split(ids: tuple[int, ...], groups: int) -> list[tuple[int, ...]]:
    size = len(ids) // groups
    return [ids[start : start + size] for start in range(0, len(ids), size)]
