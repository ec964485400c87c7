"""WeightNormSparsifier: prunes the blocks of lowest norm, or the lowest elements inside them."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from sparsebench.errors import ConfigError
from sparsebench.pruning.base_sparsifier import BaseSparsifier, Config
from sparsebench.pruning.kernels import write_mask
from sparsebench.pruning.masks import l1, l2
from sparsebench.pruning.parametrization import masking_of, unmasked_tensor
from sparsebench.pruning.pattern import BlockShape, pattern_of

_NORMS: dict[int, Callable[[Tensor], Tensor]] = {1: l1, 2: l2}


class WeightNormSparsifier(BaseSparsifier):
    """Zeroes ``zeros_per_block`` elements in the ``sparsity_level`` share of blocks of lowest norm.

    Every argument is a default that ``prepare``'s configuration may override per tensor.

    Args:
        sparsity_level: fraction of blocks; <= 0 prunes nothing, >= 1 every block.
        sparse_block_shape: (rows, cols) of a block, from the tensor's zero index.
        zeros_per_block: zeros inside a selected block, the lowest elements; None: the whole block
            of the shape that is in force. N:M keeps n of m: level 1, block (1, m), m - n zeros.
        norm: 1, 2 (None is 2), or an element-wise callable; lowest is pruned first.

    Raises:
        NotImplementedError: another integer norm (as upstream).

    Source: ``torch.ao.pruning.WeightNormSparsifier``. Ranks, ties and edges: ``masks.py``.
    """

    def __init__(
        self,
        sparsity_level: float = 0.5,
        sparse_block_shape: BlockShape = (1, 4),
        zeros_per_block: int | None = None,
        norm: Callable[[Tensor], Tensor] | int | None = None,
    ) -> None:
        super().__init__(
            defaults={
                "sparsity_level": sparsity_level,
                "sparse_block_shape": sparse_block_shape,
                "zeros_per_block": zeros_per_block,
            }
        )
        self.norm_fn = _norm_function(norm)

    def check_group(self, tensor: Tensor, group: Config) -> None:
        """Raise ConfigError where the group's pattern cannot apply to ``tensor``."""
        try:
            pattern_of(
                tensor.shape,
                group["sparsity_level"],
                group["sparse_block_shape"],
                group["zeros_per_block"],
            )
        except ConfigError as error:
            raise ConfigError(f"{group['tensor_fqn']}: {error}") from None

    def update_mask(  # type: ignore[override]  # the group's own keys, spelled out
        self,
        module: nn.Module,
        tensor_name: str,
        sparsity_level: float,
        sparse_block_shape: BlockShape,
        zeros_per_block: int | None,
        **kwargs: Any,
    ) -> None:
        """Rank the unmasked tensor and write the mask in place."""
        write_mask(
            masking_of(module, tensor_name).mask,
            unmasked_tensor(module, tensor_name),
            self.norm_fn,
            sparsity_level,
            sparse_block_shape,
            zeros_per_block,
        )


def _norm_function(norm: Callable[[Tensor], Tensor] | int | None) -> Callable[[Tensor], Tensor]:
    if callable(norm):
        return norm
    if norm is None:
        return l2
    if norm not in _NORMS:
        raise NotImplementedError(f"norm: must be 1, 2 or a callable, got {norm!r}")
    return _NORMS[norm]
