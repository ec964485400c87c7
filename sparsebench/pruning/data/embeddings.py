"""post_training_sparse_quantize: prunes and quantises embeddings; pruned entries are exactly 0."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sparsebench.errors import ConfigError
from sparsebench.pruning.conversion import replace_modules
from sparsebench.pruning.data.base_data_sparsifier import BaseDataSparsifier
from sparsebench.pruning.fqn import module_to_fqn

_EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)
_LARGEST_BYTE = 255
_SCALE_BITS = 16  # a byte times such a scale is exact in float32


class RowQuantization(NamedTuple):
    """Scale and zero point per row; the row's values are ``(q - zero_point) * scale``, q 0..255."""

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
            ``torch.ao.nn.quantized``, whose EmbeddingBag always sums, whatever its mode is.
        data_sparsifier_class: made with ``sparse_config``; each embedding is added under its name.
        sparsify_first: rank the float weights, else the quantised ones, in which rounding makes
            ties.
        select_embeddings: the embeddings to replace; None: all.

    Raises:
        ConfigError: the model has no embedding, is one itself, or does not have a selected one, or
            one is not on the CPU; nothing was changed.

    Source: ``torch.ao.pruning._experimental.data_sparsifier.quantization_utils``. Deviates:
    upstream's zero points are no integers, so that no pruned entry is exactly 0; and its names
    ``a.b`` and ``a_b`` collide.
    """
    embeddings = _selected_embeddings(model, select_embeddings)
    weights = {name: module.weight.detach().float() for name, module in embeddings.items()}
    rows = {name: _row_quantization(weight) for name, weight in weights.items()}
    if not sparsify_first:
        weights = {name: _quantize(w, rows[name]).dequantize() for name, w in weights.items()}
    sparsifier = data_sparsifier_class(**sparse_config)
    for name, weight in weights.items():
        sparsifier.add_data(name, weight.clone())
    sparsifier.step()
    sparsifier.squash_mask()
    pruned = {name: sparsifier.get_data(name, return_original=False) for name in weights}
    if sparsify_first:  # pruned rows have a smaller range
        rows = {name: _row_quantization(weight) for name, weight in pruned.items()}
    replacements = {
        id(module): _quantized_module(module, _quantize(pruned[name], rows[name]))
        for name, module in embeddings.items()
    }
    replace_modules(model, replacements)


def _selected_embeddings(model: nn.Module, selected: Sequence[nn.Module] | None) -> dict[str, Any]:
    """Return the embeddings to replace, by name."""
    embeddings: dict[str, Any]
    if selected is None:
        embeddings = {n: m for n, m in model.named_modules() if isinstance(m, _EMBEDDINGS)}
    else:
        embeddings = {_name_of(model, module): module for module in selected}
    if not embeddings or "" in embeddings:
        raise ConfigError(
            "post_training_sparse_quantize: model must hold Embedding or EmbeddingBag modules, "
            f"got {type(model).__name__}"
        )
    for name, module in embeddings.items():
        if module.weight.device.type != "cpu":
            raise ConfigError(
                f"post_training_sparse_quantize: {name!r} must be on the CPU, where torch's "
                f"quantised embeddings are, got {module.weight.device}"
            )
    return embeddings


def _name_of(model: nn.Module, module: nn.Module) -> str:
    name = module_to_fqn(model, module)
    if name is None or not isinstance(module, _EMBEDDINGS):
        raise ConfigError(f"select_embeddings: must be embeddings of the model, got {module}")
    return name


def _row_quantization(weight: Tensor) -> RowQuantization:
    """Return the smallest scale per row that covers the row's values, and has 0 as a value."""
    low, high = weight.amin(dim=1).clamp(max=0), weight.amax(dim=1).clamp(min=0)
    span = high - low
    mantissa, exponent = torch.frexp(torch.where(span > 0, span / _LARGEST_BYTE, 1.0))
    step = 2.0**-_SCALE_BITS
    scales = torch.ldexp((mantissa / step).ceil() * step, exponent)
    return RowQuantization(scales, (-low / scales).round().clamp(0, _LARGEST_BYTE))


def _quantize(weight: Tensor, rows: RowQuantization) -> Tensor:
    return torch.quantize_per_channel(
        weight, rows.scales, rows.zero_points, axis=0, dtype=torch.quint8
    )


def _quantized_module(module: Any, weight: Tensor) -> nn.Module:
    """Return torch's quantised module for ``module``; imported here, nothing else needs it."""
    from torch.ao.nn import quantized

    count, width = module.num_embeddings, module.embedding_dim
    if isinstance(module, nn.EmbeddingBag):
        last = module.include_last_offset
        return quantized.EmbeddingBag(
            count, width, mode=module.mode, _weight=weight, include_last_offset=last
        )
    return quantized.Embedding(count, width, module.padding_idx, _weight=weight)
