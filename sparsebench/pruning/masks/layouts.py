"""Layouts: a tensor of any number of dimensions as a matrix of blocks, and back."""

from math import prod

import torch
from torch import Tensor

from sparsebench.errors import ConfigError, unknown_name

LAYOUTS = ("out_in_kernel", "out_kernel_in")
DEFAULT_LAYOUT = LAYOUTS[0]


def to_matrix(tensor: Tensor, layout: str = DEFAULT_LAYOUT) -> Tensor:
    """Return ``tensor`` as a matrix (rows, cols), a view where possible.

    A 2-D tensor is returned as it is; a 1-D tensor becomes one row. More dimensions are a
    convolution's weight (out, in, kernel...):

    - ``"out_in_kernel"``, the default: (out, in * kernel...), so a row of a block runs along the
      kernel first; this is the matrix that im2col convolution multiplies with.
    - ``"out_kernel_in"``: (out, kernel... * in), so a row of a block runs along the input
      channels at one kernel position, as 2:4 kernels for channels-last convolutions need.
    """
    if tensor.ndim == 1:
        return tensor[None]
    if tensor.ndim == 2:
        return tensor
    return (tensor.movedim(1, -1) if layout == "out_kernel_in" else tensor).flatten(1)


def from_matrix(matrix: Tensor, shape: tuple[int, ...], layout: str = DEFAULT_LAYOUT) -> Tensor:
    """Return ``matrix`` in the tensor's own ``shape``: the inverse of :func:`to_matrix`."""
    if len(shape) <= 2 or layout != "out_kernel_in":
        return matrix.view(shape)
    return matrix.view(shape[0], *shape[2:], shape[1]).movedim(-1, 1)


def matrix_shape(shape: tuple[int, ...], layout: str = DEFAULT_LAYOUT) -> torch.Size:
    """Return the shape of :func:`to_matrix` for a tensor of the given shape.

    Raises:
        ConfigError: an unknown layout, or a tensor without dimensions.
    """
    if layout not in LAYOUTS:
        raise ConfigError(unknown_name("layout", str(layout), LAYOUTS))
    if not shape:
        raise ConfigError("tensor: must have at least one dimension, got shape=()")
    return torch.Size((1, *shape) if len(shape) == 1 else (shape[0], prod(shape[1:])))
