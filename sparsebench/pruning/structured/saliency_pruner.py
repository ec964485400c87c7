"""SaliencyPruner: prunes the rows with the smallest L1 norm."""

from typing import Any

from torch import nn

from sparsebench.pruning.sparsifiers.parametrization import masking_of, unmasked_tensor
from sparsebench.pruning.structured.base_structured_sparsifier import BaseStructuredSparsifier
from sparsebench.pruning.structured.rows import lowest_rows, saliency


class SaliencyPruner(BaseStructuredSparsifier):
    """Prunes the ``int(sparsity_level * rows)`` rows with the smallest L1 norm.

    A row is everything at one index of the first dimension. Equal rows: the lower index first.
    A level of 0 or less prunes none, 1 or more all. Needs ``sparsity_level`` in its defaults or in
    every group.

    Source: ``torch.ao.pruning._experimental.pruner.SaliencyPruner``. Deviates: the mask is a
    function of the unmasked weights and the level alone, so a lower level brings rows back.
    """

    requires_level = True

    def update_mask(  # type: ignore[override]  # the group's own keys, spelled out
        self, module: nn.Module, tensor_name: str, sparsity_level: float, **kwargs: Any
    ) -> None:
        """Rank the rows of the unmasked tensor and write the mask in place."""
        scores = saliency(unmasked_tensor(module, tensor_name))
        count = int(len(scores) * min(max(sparsity_level, 0), 1))
        masking_of(module, tensor_name).mask.copy_(~lowest_rows(scores, count))
