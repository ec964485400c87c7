"""What removed constant inputs contribute, put elsewhere: into the bias, or into one of them.

A constant channel adds the same to every output of a Linear or an unpadded convolution, so its
part goes into the bias. Zeros around the input change that at the border. But constant channels
differ by a factor only: one of them can stand in for all the others of its group.
"""

import torch
from torch import Tensor


def stand_ins(constant: Tensor, groups: int) -> Tensor:
    """Which channels stay for the others: of each group the largest constant that is not 0.

    Args:
        constant: shape (channels,), NaN where a channel is not constant.
        groups: divides the channels into equal parts.
    """
    sizes = constant.nan_to_num(0.0).abs().view(groups, -1)
    largest = torch.zeros_like(sizes, dtype=torch.bool)
    largest.scatter_(1, sizes.argmax(1, keepdim=True), value=True)
    return (largest & (sizes > 0)).flatten()


def into_stand_ins(weight: Tensor, gone: Tensor, constant: Tensor) -> Tensor:
    """``weight`` with the part of removed channels added to their stand-in's.

    Args:
        weight: shape (groups, rows, channels, ...).
        gone: shape (groups, channels): the constants of removed channels, else 0.
        constant: shape (groups, channels): the constants of all, NaN where there is none.
    """
    out = weight.clone()
    places = stand_ins(constant.flatten(), len(constant)).view_as(constant)
    for group, place in enumerate(places):
        if gone[group].any():
            factor = gone[group].double() / constant[group, place].double()
            added = torch.tensordot(weight[group].double(), factor, dims=([1], [0]))
            out[group, :, place] += added.unsqueeze(1).to(weight.dtype)
    return out


def into_bias(weight: Tensor, gone: Tensor, bias: Tensor | None) -> Tensor | None:
    """The bias of all rows plus the part of removed channels; None where that is no bias."""
    if not gone.any():
        return bias
    taps = weight.flatten(3).sum(3) if weight.dim() > 3 else weight
    added = (taps.double() @ gone.double().unsqueeze(2)).flatten()
    return (added if bias is None else added + bias.double()).to(weight.dtype)
