"""Linear and convolutions: every output channel reads all input channels of its group."""

import torch
from torch import Tensor, nn

from sparsebench.pruning.structured.bias import effective_bias, release_bias
from sparsebench.pruning.structured.channels import Channels, ChannelTable
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

    Removed input channels that are not 0 but constant enter the bias, which is exact unless the
    convolution pads its input with zeros: then such channels are needed.
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
        """Need the input channels whose constant cannot enter the bias."""
        value = self.tied_inputs()
        if value is not None:
            absorbed = (value.constant == 0) | ~value.constant.isnan() & (
                not pads_zeros(self.module)
            )
            self.table.need(value.ids, ~absorbed)
            if self.groups > 1:
                self.table.balance(_parts(value.ids, self.groups))

    def cut(self, going: Going) -> None:
        """Take rows, columns and bias entries out; fold the removed constants into the bias."""
        module, masked = self.module, structured_mask(self.module) is not None
        strip(module, "weight")
        release_bias(module, "weight", masked=True)
        device = module.weight.device
        rows = kept(going, self.outputs, device)
        columns, constants = self._columns(going, device)
        if not (masked or constants.any()) and rows.all() and columns.all():
            return
        bias = _folded_bias(self._by_group(module.weight), constants, module.bias)
        weight = [
            group[keep_rows][:, keep_columns]
            for group, keep_rows, keep_columns in zip(
                self._by_group(module.weight),
                rows.view(self.groups, -1),
                columns.view(self.groups, -1),
                strict=True,
            )
        ]
        grad = module.weight.requires_grad
        module.weight = nn.Parameter(torch.cat(weight), requires_grad=grad)
        if bias is not None:
            grad = grad if module.bias is None else module.bias.requires_grad
            module.bias = nn.Parameter(bias[rows], requires_grad=grad)
        _note_sizes(module, int(columns.sum()), int(rows.sum()))

    def _input_size(self) -> int:
        module = self.module
        return module.in_features if isinstance(module, nn.Linear) else module.in_channels

    def _columns(self, going: Going, device: torch.device) -> tuple[Tensor, Tensor]:
        """Which input features stay, and the constants of those that go, 0 elsewhere."""
        size = self._input_size()
        value = self.tied_inputs()
        if value is None:
            return torch.ones(size, dtype=torch.bool, device=device), torch.zeros(
                size, device=device
            )
        keep = kept(going, value.ids, device)
        constants = value.constant.to(device).masked_fill(keep, 0)
        scale = size // len(keep)
        return keep.repeat_interleave(scale), constants.repeat_interleave(scale)

    def _by_group(self, weight: Tensor) -> Tensor:
        """``weight`` as (groups, rows, columns, ...)."""
        return weight.detach().view(self.groups, -1, *weight.shape[1:])


def masked_constants(module: nn.Module) -> Tensor:
    """What a masked row puts out, 0 or its bias; NaN for the other rows; shape (rows,)."""
    weight, mask = module.weight, structured_mask(module)
    assert isinstance(weight, Tensor)
    if mask is None:
        return weight.new_full((len(weight),), torch.nan)
    bias = effective_bias(module)
    constant = weight.new_zeros(len(weight)) if bias is None else bias.detach()
    return constant.masked_fill(mask, torch.nan)


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


def _folded_bias(weight: Tensor, constants: Tensor, bias: Tensor | None) -> Tensor | None:
    """The bias of all rows plus what constant inputs contribute; None where that is no bias."""
    if not constants.any():
        return None if bias is None else bias.detach()
    taps = weight.flatten(3).sum(3) if weight.dim() > 3 else weight
    added = taps.double() @ constants.double().view(len(weight), -1, 1)
    total = added.flatten() if bias is None else added.flatten() + bias.detach().double()
    return total.to(weight.dtype)


def _note_sizes(module: nn.Linear | Conv, inputs: int, outputs: int) -> None:
    if isinstance(module, nn.Linear):
        module.in_features, module.out_features = inputs, outputs
    else:
        module.in_channels, module.out_channels = inputs, outputs
