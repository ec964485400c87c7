"""The module that prune() puts around a norm over all channels.

It is part of the pruned model: a model saved by ``torch.save`` names this class and this file.
"""

from torch import Tensor, nn


class Widened(nn.Module):
    """``inner`` on an input whose removed channels are inserted again with their constants.

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
        """Return ``inner``'s output for all channels."""
        shape = list(x.shape)
        shape[self.axis] = len(self.constant)
        along_axis = self.constant.to(x.dtype).reshape(-1, *[1] * (-1 - self.axis))
        constants = along_axis.expand(shape).contiguous()
        out: Tensor = self.inner(constants.index_copy(x.dim() + self.axis, self.index, x))
        return out
