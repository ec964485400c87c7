"""Linear and convolutions: every output channel reads all input channels of its group."""

import torch
from torch import Tensor, nn

from sparsebench.pruning.structured.bias import effective_bias, release_bias
from sparsebench.pruning.structured.channels import Channels, ChannelTable
from sparsebench.pruning.structured.layers.fold import into_bias, into_stand_ins, stand_ins
from sparsebench.pruning.structured.layers.layer import (
    Going,
    Layer,
    Unsupported,
    check_parametrizations,
    kept,
    strip,
)
from sparsebench.pruning.structured.parametrization import structured_mask

Conv = nn.Conv1d | nn.Conv2d | nn.Conv3d


class Projection(Layer):
    """A Linear, or a convolution that is not depthwise.

    Removed input channels that are not 0 but constant enter the bias; where the convolution pads
    its input with zeros, one of them stays and stands in for the others.
    """

    module: nn.Linear | Conv

    def __init__(self, module: nn.Linear | Conv, table: ChannelTable) -> None:
        super().__init__(module, table)
        self.groups = 1 if isinstance(module, nn.Linear) else module.groups
        self.outputs = table.new(len(module.weight))
        self.constant = masked_constants(module)
        table.mask(self.outputs, ~self.constant.isnan())
        table.balance(_parts(self.outputs, self.groups))

    def check(self, value: Channels) -> None:
        """Raise Unsupported where the input's channels are not the layer's, in their order."""
        check_parametrizations(self.module)
        size = self._input_size()
        axis = -1 if isinstance(self.module, nn.Linear) else -1 - len(self.module.kernel_size)
        fits = size % len(value.ids) == 0 if value.spread else size == len(value.ids)
        if value.axis != axis or not fits or (value.spread and axis != -1):
            raise Unsupported(
                f"takes {size} channels in dimension {axis}, and gets {len(value.ids)} that can be "
                f"pruned in dimension {value.axis}{' (flattened)' if value.spread else ''}"
            )

    def call(self, value: Channels | None) -> Channels:
        """Channels of the output: the layer's own."""
        self.inputs.append(value)
        if isinstance(self.module, nn.Linear):
            return Channels(
                self.table, self.outputs, self.constant, -1, None if value is None else value.rank
            )
        size = len(self.module.kernel_size)
        return Channels(self.table, self.outputs, self.constant, -1 - size, size + 2)

    def own_channels(self) -> tuple[int, ...]:
        """One a row of the weight."""
        return self.outputs

    def finish(self) -> None:
        """Need the input channels that vary, and those that stand in for removed constants."""
        value = self.tied_inputs()
        if value is not None:
            self.table.need(value.ids, value.constant.isnan())
            if pads_zeros(self.module):
                self.table.need(value.ids, stand_ins(value.constant, self.groups))
            self.table.balance(_parts(value.ids, self.groups))

    def cut(self, going: Going) -> None:
        """Take rows, columns and bias entries out; fold the removed constants."""
        module = self.module
        strip(module, "weight")
        release_bias(module, "weight", masked=True)
        rows = kept(going, self.outputs, module.weight.device)
        columns, constant = self._columns(going)
        if rows.all() and columns.all():
            return
        weight, bias = self._folded(constant, constant.masked_fill(columns, 0))
        rows_by_group = rows.view(self.groups, -1)
        parts = [w[r][:, c] for w, r, c in zip(weight, rows_by_group, columns, strict=True)]
        _replace(module, torch.cat(parts), None if bias is None else bias[rows])
        _note_sizes(module, int(columns.sum()), int(rows.sum()))

    def _folded(self, constant: Tensor, gone: Tensor) -> tuple[Tensor, Tensor | None]:
        """Weight by group and bias, with the part of the constants that go."""
        weight = self.module.weight.detach()
        weight = weight.view(self.groups, -1, *weight.shape[1:])
        bias = None if self.module.bias is None else self.module.bias.detach()
        if pads_zeros(self.module):
            return into_stand_ins(weight, gone, constant), bias
        return weight, into_bias(weight, gone, bias)

    def _input_size(self) -> int:
        module = self.module
        return module.in_features if isinstance(module, nn.Linear) else module.in_channels

    def _columns(self, going: Going) -> tuple[Tensor, Tensor]:
        """Which input features stay, and what is constant of them: shape (groups, features)."""
        device, size = self.module.weight.device, self._input_size()
        value = self.tied_inputs()
        if value is None:
            shape = (self.groups, size // self.groups)
            return torch.ones(shape, dtype=torch.bool, device=device), torch.full(
                shape, torch.nan, device=device
            )
        keep, constant = kept(going, value.ids, device), value.constant.to(device)
        scale = size // len(keep)
        return (
            keep.repeat_interleave(scale).view(self.groups, -1),
            constant.repeat_interleave(scale).view(self.groups, -1),
        )


def masked_constants(module: nn.Module) -> Tensor:
    """What a masked row puts out, 0 or its bias; NaN for the other rows; shape (rows,)."""
    weight, mask = module.weight, structured_mask(module)
    assert isinstance(weight, Tensor)
    if mask is None:
        return weight.new_full((len(weight),), torch.nan)
    bias = effective_bias(module)
    constant = weight.new_zeros(len(weight)) if bias is None else bias.detach()
    return constant.masked_fill(mask | ~constant.isfinite(), torch.nan)


def pads_zeros(module: nn.Module) -> bool:
    """Whether a convolution adds zeros around its input, so that its border sees others."""
    padding = getattr(module, "padding", "valid")
    if padding == "valid" or getattr(module, "padding_mode", "zeros") != "zeros":
        return False
    sizes = module.kernel_size if padding == "same" else padding
    assert isinstance(sizes, tuple)
    return any(size > (1 if padding == "same" else 0) for size in sizes)


def _parts(ids: tuple[int, ...], groups: int) -> list[tuple[int, ...]]:
    size = len(ids) // groups
    return [ids[start : start + size] for start in range(0, len(ids), size)]


def _replace(module: nn.Linear | Conv, weight: Tensor, bias: Tensor | None) -> None:
    grad = module.weight.requires_grad
    module.weight = nn.Parameter(weight, requires_grad=grad)
    if bias is not None:
        grad = grad if module.bias is None else module.bias.requires_grad
        module.bias = nn.Parameter(bias, requires_grad=grad)


def _note_sizes(module: nn.Linear | Conv, inputs: int, outputs: int) -> None:
    if isinstance(module, nn.Linear):
        module.in_features, module.out_features = inputs, outputs
    else:
        module.in_channels, module.out_channels = inputs, outputs
