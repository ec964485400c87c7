"""2:4 semi-structured: half of each four weights is zero, and the GPU skips them."""

import torch
from torch import Tensor, nn

from sparsebench.errors import ConfigError
from sparsebench.pruning.formats.selection import Filter, chosen_linears


def to_semi_structured(model: nn.Module, filter_fn: Filter | None = None) -> nn.Module:
    """``model`` with the weights of its pruned Linear layers as 2:4, in place; for inference.

    Prune with ``WeightNormSparsifier(1.0, (1, 4), 2)``, squash, and move to CUDA in float16 or
    bfloat16 before.

    Args:
        filter_fn: which layers, see :func:`selection.chosen_linears`.

    Raises:
        ConfigError: a layer is not on CUDA, has three kept weights among four, or a dtype or shape
            that torch's kernels do not take, which it says; nothing was changed.
    """
    chosen = chosen_linears(model, filter_fn)
    for name, layer in chosen.items():
        _check(name, layer.weight.detach())
    compressed = {name: _compressed(name, layer.weight.detach()) for name, layer in chosen.items()}
    for name, layer in chosen.items():
        layer.weight = nn.Parameter(compressed[name], requires_grad=False)
    return model


def _check(name: str, weight: Tensor) -> None:
    if weight.device.type != "cuda":
        raise ConfigError(
            f"to_semi_structured: {name!r} must be on CUDA, got {weight.device.type}: 2:4 needs "
            "the sparse tensor cores of an NVIDIA GPU (compute capability 8.0 or above); on the "
            "CPU use to_csr or to_bsr"
        )
    check_two_of_four(name, weight)


def check_two_of_four(name: str, weight: Tensor) -> None:
    """ConfigError where four neighbours in a row, from its start, hold more than two values."""
    if weight.shape[1] % 4:
        raise ConfigError(f"to_semi_structured: {name!r} must have 4n columns, got {weight.shape}")
    crowded = (weight.reshape(-1, 4) != 0).sum(1) > 2
    if bool(crowded.any()):
        first = int(crowded.nonzero()[0])
        per_row = weight.shape[1] // 4
        raise ConfigError(
            f"to_semi_structured: {name!r} must have 2 zeros in each 4, got fewer at row "
            f"{first // per_row}, columns from {4 * (first % per_row)}; prune with level 1, block "
            "(1, 4) and 2 zeros"
        )


def _compressed(name: str, weight: Tensor) -> Tensor:
    try:
        return torch.sparse.to_sparse_semi_structured(weight)
    except (RuntimeError, NotImplementedError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"to_semi_structured: {name!r}, {weight.dtype} of shape {tuple(weight.shape)}, must be "
            f"what torch's kernels take, but it says: {reason}"
        ) from error
