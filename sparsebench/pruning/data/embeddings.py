"""post_training_sparse_quantize: a model's embeddings pruned and quantised, with exact zeros."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sparsebench.errors import ConfigError
from sparsebench.pruning.conversion import replace_modules
from sparsebench.pruning.data.base_data_sparsifier import BaseDataSparsifier
from sparsebench.pruning.fqn import module_to_fqn

_EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)
_LEVELS = 255  # of an unsigned byte
_SCALE_BITS = 16  # a byte times such a scale is exact in float32


class Grid(NamedTuple):
    """The representable values of each row: ``(q - zero_point) * scale`` for q in 0..255."""

    scales: Tensor
    zero_points: Tensor


def post_training_sparse_quantize(
    model: nn.Module,
    data_sparsifier_class: type[BaseDataSparsifier],
    sparsify_first: bool = True,
    select_embeddings: Sequence[nn.Module] | None = None,
    **sparse_config: Any,
) -> None:
    """Replace embeddings of ``model``, in place, by pruned quantised ones.

    Each row gets 8 bits, an integer zero point and a scale of 16 significant bits, so that a pruned
    entry is exactly 0, both in ``weight()`` and in what the kernels compute.

    Args:
        model: its Embedding and EmbeddingBag modules are replaced by those of
            ``torch.ao.nn.quantized``. (Theirs, an EmbeddingBag sums, whatever its mode was.)
        data_sparsifier_class: made with ``sparse_config``; each embedding is added under its name.
        sparsify_first: choose what to prune from the float weights, else from the quantised ones,
            whose rounding makes ties.
        select_embeddings: which; None: all.

    Raises:
        ConfigError: the model has no embedding, is one itself, or does not have a selected one, or
            one is not on the CPU; nothing was changed.

    Source: ``torch.ao.pruning._experimental.data_sparsifier.quantization_utils``. Deviates:
    upstream's zero points are no integers, so nothing pruned comes out as 0; and its names
    ``a.b`` and ``a_b`` collide.
    """
    chosen = _chosen(model, select_embeddings)
    weights = {name: module.weight.detach().float() for name, module in chosen.items()}
    grids = {name: _grid(weight) for name, weight in weights.items()}
    if not sparsify_first:
        weights = {name: _quantized(w, grids[name]).dequantize() for name, w in weights.items()}
    pruned = _pruned(weights, data_sparsifier_class(**sparse_config))
    if sparsify_first:  # fewer values, tighter grids
        grids = {name: _grid(weight) for name, weight in pruned.items()}
    replacements = {
        id(module): _replacement(module, _quantized(pruned[name], grids[name]))
        for name, module in chosen.items()
    }
    replace_modules(model, replacements)


def _chosen(model: nn.Module, selected: Sequence[nn.Module] | None) -> dict[str, Any]:
    found: dict[str, Any]
    if selected is None:
        found = {n: m for n, m in model.named_modules() if isinstance(m, _EMBEDDINGS)}
    else:
        found = {_name_of(model, module): module for module in selected}
    if not found or "" in found:
        raise ConfigError(
            "post_training_sparse_quantize: model must hold Embedding or EmbeddingBag modules, "
            f"got {type(model).__name__}"
        )
    for name, module in found.items():
        if module.weight.device.type != "cpu":
            raise ConfigError(
                f"post_training_sparse_quantize: {name!r} must be on the CPU, where torch's "
                f"quantised embeddings are, got {module.weight.device}"
            )
    return found


def _name_of(model: nn.Module, module: nn.Module) -> str:
    name = module_to_fqn(model, module)
    if name is None or not isinstance(module, _EMBEDDINGS):
        raise ConfigError(f"select_embeddings: must be embeddings of the model, got {module}")
    return name


def _pruned(weights: dict[str, Tensor], sparsifier: BaseDataSparsifier) -> dict[str, Tensor]:
    """The weights with their pruned entries at 0; the given ones stay as they are."""
    for name, weight in weights.items():
        sparsifier.add_data(name, weight.clone())
    sparsifier.step()
    sparsifier.squash_mask()
    return {name: sparsifier.get_data(name, return_original=False) for name in weights}


def _grid(weight: Tensor) -> Grid:
    """The finest grid for each row that reaches its extremes and has 0 on it."""
    low, high = weight.amin(dim=1).clamp(max=0), weight.amax(dim=1).clamp(min=0)
    span = high - low
    mantissa, exponent = torch.frexp(torch.where(span > 0, span / _LEVELS, 1.0))
    step = 2.0**-_SCALE_BITS
    scales = torch.ldexp((mantissa / step).ceil() * step, exponent)
    return Grid(scales, (-low / scales).round().clamp(0, _LEVELS))


def _quantized(weight: Tensor, grid: Grid) -> Tensor:
    return torch.quantize_per_channel(
        weight, grid.scales, grid.zero_points, axis=0, dtype=torch.quint8
    )


def _replacement(module: Any, weight: Tensor) -> nn.Module:
    """Torch's quantised module for ``module``; imported here, as nothing else needs it."""
    from torch.ao.nn import quantized

    count, width = module.num_embeddings, module.embedding_dim
    if isinstance(module, nn.EmbeddingBag):
        last = module.include_last_offset
        return quantized.EmbeddingBag(
            count, width, mode=module.mode, _weight=weight, include_last_offset=last
        )
    return quantized.Embedding(count, width, module.padding_idx, _weight=weight)
