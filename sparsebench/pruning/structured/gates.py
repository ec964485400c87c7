"""Row masks of an LSTM, which has four gates per hidden unit and two weight matrices per layer.

A row mask on ``weight_ih`` or ``weight_hh`` chooses rows gate by gate, so the gates of a unit may
disagree. Upstream then packs the kept rows of each gate together when it prunes. That joins rows
that did not belong to one unit before, so its masked model and its pruned model differ. Here the
masked LSTM already joins them, so the model that is trained and measured is the one that pruning
gives.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from sparsebench.pruning.sparsifiers.parametrization import mask_parametrization
from sparsebench.pruning.structured.parametrization import (
    FakeStructuredSparsity,
    hooks_of_type,
    remove_hooks,
    zero_rows,
)

GATES = 4  # input, forget, cell, output: torch's order
CELL, OUTPUT = 2, 3


class GateSparsity(FakeStructuredSparsity):
    """FakeStructuredSparsity for a weight matrix of an LSTM, shape (4 * hidden, cols).

    Where both matrices of the layer are masked and every gate of both keeps equally many rows, the
    k-th kept rows of all gates form the unit at the k-th kept position of ``weight_hh``'s output
    gate. With gates that agree this is plain masking. Otherwise pruned rows are set to 0 and no row
    moves.

    Attributes:
        siblings: the parametrizations of ``weight_ih`` and ``weight_hh``, once both exist.
    """

    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask)
        self.siblings: tuple[GateSparsity, ...] = ()  # a tuple, so that none becomes a submodule

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` with the pruned rows 0 and the kept rows at the position of their unit."""
        if not self.siblings:
            return super().forward(x)
        rows = self.rows(x)
        if self is not self.siblings[1]:
            return rows
        source, _ = self._row_sources()  # the recurrent columns move with their gate's rows
        gates = rows.view(GATES, -1, rows.shape[1])
        return gates.gather(2, source[:, None, :].expand_as(gates)).flatten(0, 1)

    def rows(self, x: Tensor) -> Tensor:
        """Return ``x``, shape (4 * hidden, ...), with rows masked and moved; also for a bias."""
        if not self.siblings:
            return zero_rows(x, self.mask)
        source, keep = self._row_sources()
        hidden = source.shape[1]
        start = torch.arange(GATES, device=source.device)[:, None] * hidden
        return zero_rows(x[(source + start).flatten()], keep.flatten())

    def kept_rows(self) -> Tensor:
        """Return which rows are not zero after :meth:`rows`, bool, shape (4, hidden)."""
        return self._row_sources()[1] if self.siblings else (self.mask != 0).view(GATES, -1)

    def _row_sources(self) -> tuple[Tensor, Tensor]:
        """Return for each row of the result which row it takes, and whether it is kept.

        Both have the shape (4, hidden). Computed with tensors alone, so that no mask is read back
        from a device.
        """
        masks = torch.stack([(gates.mask != 0).view(GATES, -1) for gates in self.siblings])
        counts = masks.sum(2)
        equal_counts = (counts == counts[0, 0]).all()
        mask = masks[self.siblings.index(self)]
        unit_mask = masks[1, OUTPUT]
        kept_first = (~mask).to(torch.uint8).argsort(dim=1, stable=True)
        positions = (~unit_mask).to(torch.uint8).argsort(stable=True).expand_as(kept_first)
        packed = torch.empty_like(kept_first).scatter_(1, positions, kept_first)
        unmoved = torch.arange(mask.shape[1], device=mask.device).expand_as(packed)
        source = torch.where(equal_counts, packed, unmoved)
        return source, torch.where(equal_counts, unit_mask.expand_as(mask), mask)


class GateBias(nn.Module):
    """Parametrization of an LSTM's bias: its rows are masked and moved as its weight's rows are."""

    def __init__(self, weight: FakeStructuredSparsity) -> None:
        super().__init__()
        self._weight = (weight,)  # a tuple, so that it does not become a submodule

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x``, shape (4 * hidden,), masked and moved."""
        weight = self._weight[0]
        return weight.rows(x) if isinstance(weight, GateSparsity) else zero_rows(x, weight.mask)


class FlatWeightsHook:
    """Forward hook that detaches the weights which torch's LSTM stores between calls.

    While masked they are results of a computation. Not detached, they would keep its graph in
    memory, and the module could not be deep-copied.
    """

    def __call__(self, module: nn.LSTM, input: object, output: object) -> None:  # noqa: A002  # torch's name
        """Detach the weights; the next call computes them again."""
        module._flat_weights = [
            weight if weight is None else weight.detach() for weight in module._flat_weights
        ]


def mask_gates(lstm: nn.LSTM, tensor_name: str) -> None:
    """Mask the bias of a masked weight, and link the two matrices of a layer once both are masked.

    Args:
        tensor_name: ``weight_ih_*`` or ``weight_hh_*``, which has its mask.
    """
    weight = mask_parametrization(lstm, tensor_name)
    if lstm.bias and isinstance(weight, FakeStructuredSparsity):
        parametrize.register_parametrization(lstm, _bias_name(tensor_name), GateBias(weight))
    if not hooks_of_type(lstm, FlatWeightsHook):
        lstm.register_forward_hook(FlatWeightsHook())
    pair = _gate_sparsities(lstm, tensor_name)
    if len(pair) == 2 and lstm.proj_size == 0:
        for gates in pair:
            gates.siblings = pair


def unlink_gates(lstm: nn.LSTM, tensor_name: str) -> None:
    """Let each of the two matrices of a layer use its own mask alone."""
    for gates in _gate_sparsities(lstm, tensor_name):
        gates.siblings = ()


def release_gates(lstm: nn.LSTM, tensor_name: str, masked: bool) -> None:
    """Undo what :func:`mask_gates` did to the bias; ``masked``: it keeps its masked values."""
    name = _bias_name(tensor_name)
    if parametrize.is_parametrized(lstm, name):
        parametrize.remove_parametrizations(lstm, name, leave_parametrized=masked)
    if not parametrize.is_parametrized(lstm):
        remove_hooks(lstm, FlatWeightsHook)


def _gate_sparsities(lstm: nn.LSTM, tensor_name: str) -> tuple[GateSparsity, ...]:
    """Return the masks of ``weight_ih_*`` and ``weight_hh_*`` of a layer, those that exist."""
    suffix = tensor_name.removeprefix("weight_ih").removeprefix("weight_hh")
    names = [f"weight_{kind}{suffix}" for kind in ("ih", "hh")]
    masks = [
        mask_parametrization(lstm, name)
        for name in names
        if parametrize.is_parametrized(lstm, name)
    ]
    return tuple(mask for mask in masks if isinstance(mask, GateSparsity))


def _bias_name(tensor_name: str) -> str:
    return tensor_name.replace("weight", "bias", 1)
