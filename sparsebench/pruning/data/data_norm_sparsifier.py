"""DataNormSparsifier: prunes the blocks of lowest norm of tensors and embeddings."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from sparsebench.errors import ConfigError, unknown_name
from sparsebench.pruning.data.base_data_sparsifier import BaseDataSparsifier, Data
from sparsebench.pruning.masks.layouts import from_matrix, matrix_shape, to_matrix
from sparsebench.pruning.masks.pattern import BlockShape, check_pattern
from sparsebench.pruning.masks.reference import (
    block_scores,
    element_scores,
    l1,
    l2,
    sparsity_mask,
)
from sparsebench.pruning.sparsifiers.groups import PATTERN_SETTINGS, check_dtype, settings
from sparsebench.pruning.state import Config

_NORMS = {"L1": l1, "L2": l2}


class DataNormSparsifier(BaseDataSparsifier):
    """Zeroes ``zeros_per_block`` elements in the ``sparsity_level`` share of blocks of lowest norm.

    As WeightNormSparsifier, but ``round(level * blocks)`` may be all blocks. 1-D data is one row;
    data of more than two dimensions becomes a matrix of (first dimension, all others).

    Args:
        data_list: (name, data) pairs.
        sparsity_level, sparse_block_shape, zeros_per_block: defaults of ``add_data``; see
            WeightNormSparsifier.
        norm: ``"L1"`` or ``"L2"``.

    Raises:
        ConfigError: another norm, or a pattern that no data could have.

    Source: ``torch.ao.pruning._experimental.data_sparsifier.DataNormSparsifier``. Deviates: a level
    of 0 or less prunes nothing, ties and edges follow ``docs/semantics.md``, and
    ``zeros_per_block=None`` is the whole block of the shape of that data.
    """

    def __init__(
        self,
        data_list: Sequence[tuple[str, Data]] | None = None,
        sparsity_level: float = 0.5,
        sparse_block_shape: BlockShape = (1, 4),
        zeros_per_block: int | None = None,
        norm: str = "L1",
    ) -> None:
        if norm not in _NORMS:
            raise ConfigError(unknown_name("norm", str(norm), _NORMS))
        self.norm = norm
        super().__init__(
            data_list,
            sparsity_level=sparsity_level,
            sparse_block_shape=sparse_block_shape,
            zeros_per_block=zeros_per_block,
        )

    def check_group(self, tensor: Tensor, group: Config) -> None:
        """Raise ConfigError if the group's pattern cannot apply to ``tensor``."""
        check_dtype(group["tensor_fqn"], tensor)
        level, block, zeros = settings(group, *PATTERN_SETTINGS)
        try:
            check_pattern(matrix_shape(tensor.shape), level, block, zeros)
        except ConfigError as error:
            raise ConfigError(f"{group['tensor_fqn']}: {error}") from None

    def update_mask(  # type: ignore[override]  # the group's own keys, spelled out
        self,
        name: str,
        data: Tensor,
        sparsity_level: float,
        sparse_block_shape: BlockShape,
        zeros_per_block: int | None,
        **kwargs: Any,
    ) -> None:
        """Rank the data and write the mask in place."""
        scores = element_scores(to_matrix(data), _NORMS[self.norm])
        blocks = block_scores(scores, sparse_block_shape).numel()
        level = 1.0 if round(min(sparsity_level, 1.0) * blocks) >= blocks else sparsity_level
        keep = sparsity_mask(scores, level, sparse_block_shape, zeros_per_block)
        self.get_mask(name).copy_(from_matrix(keep, data.shape))
