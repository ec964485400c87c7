"""LSTMSaliencyPruner: prunes equally many rows in each gate of an LSTM."""

from typing import Any

import torch
from torch import Tensor, nn

from sparsebench.errors import ConfigError
from sparsebench.pruning.sparsifiers.parametrization import masking_of, unmasked_tensor
from sparsebench.pruning.sparsifiers.state import Config
from sparsebench.pruning.structured.base_structured_sparsifier import BaseStructuredSparsifier
from sparsebench.pruning.structured.gates import GATES
from sparsebench.pruning.structured.rows import lowest_rows, saliency


class LSTMSaliencyPruner(BaseStructuredSparsifier):
    """Prunes the ``int(sparsity_level * hidden)`` rows with the smallest L1 norm of every gate.

    For ``weight_ih_l*`` and ``weight_hh_l*`` of an LSTM, shape (4 * hidden, cols): each gate is
    ranked by itself, as upstream, so the gates may keep different rows; the rows kept at the same
    rank then make up one unit, see :class:`~sparsebench.pruning.structured.gates.GateSparsity`.

    Source: ``torch.ao.pruning._experimental.pruner.LSTMSaliencyPruner``. Deviates: the mask is a
    function of the unmasked weights and the level alone; the masked model computes what the pruned
    one will.
    """

    requires_level = True
    supported_modules = (nn.LSTM,)

    def check_group(self, tensor: Tensor, group: Config) -> None:
        """Raise ConfigError where the tensor does not consist of four gates."""
        super().check_group(tensor, group)
        if len(tensor) % GATES:
            raise ConfigError(
                f"{group['tensor_fqn']}: rows must be divisible by {GATES}, one block a gate, "
                f"got shape={tuple(tensor.shape)}"
            )

    def update_mask(  # type: ignore[override]  # the group's own keys, spelled out
        self, module: nn.Module, tensor_name: str, sparsity_level: float, **kwargs: Any
    ) -> None:
        """Rank the rows of each gate of the unmasked tensor and write the mask in place."""
        gates = saliency(unmasked_tensor(module, tensor_name)).chunk(GATES)
        count = int(len(gates[0]) * min(max(sparsity_level, 0), 1))
        pruned = torch.cat([lowest_rows(scores, count) for scores in gates])
        masking_of(module, tensor_name).mask.copy_(~pruned)
