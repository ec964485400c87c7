"""The row masks of an LSTM: four gates a hidden unit, two weight matrices a layer.

A row mask on ``weight_ih`` or ``weight_hh`` chooses rows gate by gate, so the gates of a unit may
disagree. Upstream then packs the kept rows of each gate together when it prunes, which joins rows
into units that never worked together before: its masked and its pruned model differ. Here the
masked LSTM joins them already, so that what is trained and measured is what pruning leaves.
"""

import torch
from torch import Tensor, nn

from sparsebench.pruning.structured.parametrization import FakeStructuredSparsity, zero_rows

GATES = 4  # input, forget, cell, output: torch's order
CELL, OUTPUT = 2, 3


class GateSparsity(FakeStructuredSparsity):
    """FakeStructuredSparsity for a weight matrix of an LSTM, shape (4 * hidden, cols).

    Where both matrices of the layer are masked and every gate of both keeps equally many rows, the
    k-th kept rows of all gates form the unit at the k-th kept position of ``weight_hh``'s output
    gate; with gates that agree this is plain masking. Otherwise rows are zeroed where they stand.

    Attributes:
        siblings: the parametrizations of ``weight_ih`` and ``weight_hh``, once both exist.
    """

    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask)
        self.siblings: tuple[GateSparsity, ...] = ()  # a tuple, so that none becomes a submodule

    def forward(self, x: Tensor) -> Tensor:
        """``x`` with the pruned rows 0 and the kept ones where their unit is."""
        if not self.siblings:
            return super().forward(x)
        rows = self.rows(x)
        if self is not self.siblings[1]:
            return rows
        source = self._sources()[0]  # the recurrent columns move with their gate's rows
        gates = rows.view(GATES, -1, rows.shape[1])
        return gates.gather(2, source[:, None, :].expand_as(gates)).flatten(0, 1)

    def rows(self, x: Tensor) -> Tensor:
        """``x``, shape (4 * hidden, ...), with its rows masked and moved; also for a bias."""
        if not self.siblings:
            return zero_rows(x, self.mask)
        source, keep = self._sources()
        hidden = source.shape[1]
        start = torch.arange(GATES, device=source.device)[:, None] * hidden
        return zero_rows(x[(source + start).flatten()], keep.flatten())

    def kept_rows(self) -> Tensor:
        """Which rows are not zero after :meth:`rows`, bool, shape (4, hidden)."""
        return self._sources()[1] if self.siblings else (self.mask != 0).view(GATES, -1)

    def _sources(self) -> tuple[Tensor, Tensor]:
        """For this matrix the row that each place takes, and whether it is kept: (4, hidden).

        Tensors alone decide, so that no mask is read back from a device.
        """
        masks = torch.stack([(twin.mask != 0).view(GATES, -1) for twin in self.siblings])
        counts = masks.sum(2)
        packs = (counts == counts[0, 0]).all()
        mine = masks[self.siblings.index(self)]
        target = masks[1, OUTPUT]
        kept_first = (~mine).to(torch.uint8).argsort(dim=1, stable=True)
        places = (~target).to(torch.uint8).argsort(stable=True).expand_as(kept_first)
        source = torch.empty_like(kept_first).scatter_(1, places, kept_first)
        stay = torch.arange(mine.shape[1], device=mine.device).expand_as(source)
        return torch.where(packs, source, stay), torch.where(packs, target.expand_as(mine), mine)


class GateBias(nn.Module):
    """The parametrization of an LSTM's bias: it follows the rows of its weight matrix."""

    def __init__(self, weight: FakeStructuredSparsity) -> None:
        super().__init__()
        self._weight = (weight,)  # a tuple, so that it does not become a submodule

    def forward(self, x: Tensor) -> Tensor:
        """``x``, shape (4 * hidden,), masked and moved as its weight's rows are."""
        weight = self._weight[0]
        return weight.rows(x) if isinstance(weight, GateSparsity) else zero_rows(x, weight.mask)


class FlatWeightsHook:
    """The forward hook that detaches the weights which torch's LSTM keeps between calls.

    While masked they are results of a computation: kept as they are, they would hold its graph
    alive, and the module could not be deep-copied.
    """

    def __call__(self, module: nn.LSTM, input: object, output: object) -> None:  # noqa: A002  # torch's name
        """Detach; the next call computes them anew."""
        module._flat_weights = [
            weight if weight is None else weight.detach() for weight in module._flat_weights
        ]
