"""Norms over all channels: their input gets the removed channels back, so they need no cut."""

from torch import Tensor, nn

from sparsebench.pruning.structured.channels import FIXED, Channels, ChannelTable, Value
from sparsebench.pruning.structured.layers.layer import Going, Layer, Unsupported, kept


class Widened(nn.Module):
    """``inner`` on an input whose removed channels are put back with their constants.

    Args:
        inner: takes all channels.
        keep: which of them the input has, bool, shape (channels,).
        constant: the values of the others, shape (channels,).
        axis: the dimension of the channels, from the end.
    """

    index: Tensor
    constant: Tensor

    def __init__(self, inner: nn.Module, keep: Tensor, constant: Tensor, axis: int) -> None:
        super().__init__()
        self.inner = inner
        self.axis = axis
        self.register_buffer("index", keep.nonzero().flatten())
        self.register_buffer("constant", constant)

    def forward(self, x: Tensor) -> Tensor:
        """``inner``'s output for all channels."""
        shape = list(x.shape)
        shape[self.axis] = len(self.constant)
        along_axis = self.constant.to(x.dtype).reshape(-1, *[1] * (-1 - self.axis))
        whole = along_axis.expand(shape).contiguous()
        out: Tensor = self.inner(whole.index_copy(x.dim() + self.axis, self.index, x))
        return out


class WholeNorm(Layer):
    """A LayerNorm or GroupNorm. Its output has all channels again.

    Args:
        model: where the module is replaced by a :class:`Widened` one.
    """

    def __init__(self, module: nn.Module, table: ChannelTable, model: nn.Module) -> None:
        super().__init__(module, table)
        self.model = model

    def check(self, value: Channels) -> None:
        """Raise Unsupported where the norm is not over the channels alone."""
        if not self._fits(value):
            raise Unsupported(f"normalizes over more than the {len(value.ids)} channels")

    def call(self, value: Channels | None) -> Value:
        """What comes out depends on all channels and can lose none."""
        self.inputs.append(value)
        return FIXED

    def finish(self) -> None:
        """Need the channels without a constant value."""
        value = self.tied_inputs()
        if value is not None:
            self.table.need(value.ids, value.constant.isnan())

    def cut(self, going: Going) -> None:
        """Put a :class:`Widened` module wherever the norm is."""
        value = self.tied_inputs()
        if value is None or not any(going(value.ids)):
            return
        keep = kept(going, value.ids, value.constant.device)
        constant = value.constant.masked_fill(keep, 0)
        widened = Widened(self.module, keep, constant, value.axis)
        for parent in list(self.model.modules()):
            for name, child in list(parent.named_children()):
                if child is self.module and parent is not widened:
                    setattr(parent, name, widened)

    def _fits(self, value: Channels) -> bool:
        if value.spread:
            return False
        if isinstance(self.module, nn.LayerNorm):
            return value.axis == -1 and self.module.normalized_shape == (len(value.ids),)
        return value.rank is not None and value.rank + value.axis == 1
