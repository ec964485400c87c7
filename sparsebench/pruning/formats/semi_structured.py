"""2:4 semi-structured: two of each four weights in a row are zero, and the GPU skips them."""

import torch
from torch import Tensor, nn

from sparsebench.errors import ConfigError
from sparsebench.pruning.formats.selection import LayerFilter, selected_linears


def to_semi_structured(model: nn.Module, filter_fn: LayerFilter | None = None) -> nn.Module:
    """Return ``model`` with the weights of its pruned Linear layers as 2:4, in place.

    For inference. First prune with ``WeightNormSparsifier(1.0, (1, 4), 2)``, squash, and move to
    CUDA in float16 or bfloat16.

    Args:
        filter_fn: selects layers, see :func:`selection.selected_linears`.

    Raises:
        ConfigError: a layer is not on CUDA, keeps three of four weights, or has a dtype or shape
            that torch's kernels do not support; nothing was changed.
    """
    layers = selected_linears(model, filter_fn)
    for name, layer in layers.items():
        if layer.weight.device.type != "cuda":
            raise ConfigError(
                f"to_semi_structured: {name!r} must be on CUDA, got {layer.weight.device.type}: "
                "2:4 needs the sparse tensor cores of an NVIDIA GPU (compute capability 8.0 or "
                "above); on the CPU use to_csr or to_bsr"
            )
        check_two_of_four(name, layer.weight.detach())
    compressed = {name: _compress(name, layer.weight.detach()) for name, layer in layers.items()}
    for name, layer in layers.items():
        layer.weight = nn.Parameter(compressed[name], requires_grad=False)
    return model


def check_two_of_four(name: str, weight: Tensor) -> None:
    """Raise ConfigError if four weights in a row, from its start, have more than two values."""
    if weight.shape[1] % 4:
        raise ConfigError(f"to_semi_structured: {name!r} must have 4n columns, got {weight.shape}")
    violations = ((weight.reshape(-1, 4) != 0).sum(1) > 2).nonzero()
    if len(violations):
        row, group = divmod(int(violations[0]), weight.shape[1] // 4)
        raise ConfigError(
            f"to_semi_structured: {name!r} must have 2 zeros in each 4, got fewer at row "
            f"{row}, columns from {4 * group}; prune with level 1, block (1, 4) and 2 zeros"
        )


def _compress(name: str, weight: Tensor) -> Tensor:
    try:
        return torch.sparse.to_sparse_semi_structured(weight)
    except (RuntimeError, NotImplementedError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"to_semi_structured: {name!r}, {weight.dtype} of shape {tuple(weight.shape)}, must be "
            f"supported by torch's kernels, got their error: {reason}"
        ) from error
