"""LSTM: its channels are the hidden units of every layer and direction."""

import torch
from torch import Tensor, nn

from sparsebench.pruning.sparsifiers.parametrization import has_mask, mask_parametrization
from sparsebench.pruning.structured.channels import (
    Channels,
    ChannelTable,
    TupleValue,
    Unsupported,
)
from sparsebench.pruning.structured.gates import CELL, GATES, GateSparsity, release_gates
from sparsebench.pruning.structured.layers.layer import (
    Layer,
    apply_mask,
    check_parametrizations,
    kept_channels,
    replace_tensor,
)
from sparsebench.pruning.structured.parametrization import row_mask


class LstmLayer(Layer):
    """A (stacked, bidirectional) LSTM that starts from zero states.

    A unit whose cell gate is masked in both matrices is 0 at every step, whatever its other gates
    are, so it can be removed. torch has one ``hidden_size``: every layer and direction loses as
    many units as the one that can lose fewest.
    """

    module: nn.LSTM

    def __init__(self, module: nn.LSTM, table: ChannelTable) -> None:
        super().__init__(module, table)
        directions = ("", "_reverse") if module.bidirectional else ("",)
        self.directions = len(directions)
        self.suffixes = [  # of the tensors' names: one layer and direction each
            f"_l{i}{direction}" for i in range(module.num_layers) for direction in directions
        ]
        self.units = {suffix: table.new(module.hidden_size) for suffix in self.suffixes}
        self.constants: dict[str, Tensor] = {}  # 0 for units that are 0 at every step, else NaN
        for suffix, ids in self.units.items():
            cell_gates = [self._kept_rows(f"weight_{kind}{suffix}")[CELL] for kind in ("ih", "hh")]
            live = cell_gates[0] | cell_gates[1]
            table.mask(ids, ~live)
            table.keep(ids, live)
            zeros = self._tensor(f"weight_ih{suffix}").new_zeros(len(live))
            self.constants[suffix] = zeros.masked_fill(live, torch.nan)
        table.balance(list(self.units.values()))

    def created_channels(self) -> tuple[int, ...]:
        """Return the hidden units."""
        return tuple(i for ids in self.units.values() for i in ids)

    def check_input(self, channels: Channels) -> None:
        """Raise Unsupported where the input's channels are not the layer's."""
        check_parametrizations(self.module)
        size = self.module.input_size
        if channels.axis != -1 or channels.flattened or len(channels.ids) != size:
            raise Unsupported(f"must get {size} channels in dimension -1, got {channels.layout}")

    def output_channels(self, channels: Channels | None) -> TupleValue:
        """Return ``(output, (h_n, c_n))``."""
        states = TupleValue(
            tuple(
                Channels(self.table, self.units[suffix], self.constants[suffix], -1, 2)
                for suffix in self.suffixes
            )
        )
        last = self.suffixes[-self.directions :]
        ids = tuple(i for suffix in last for i in self.units[suffix])
        constant = torch.cat([self.constants[suffix] for suffix in last])
        output = Channels(self.table, ids, constant, -1, 3)
        return TupleValue((output, TupleValue((states, states))))

    def finish(self) -> None:
        """Keep the input channels whose constant cannot be added to the bias."""
        super().finish()
        if self.input is not None:
            constant = self.input.constant
            absorbed = (constant == 0) | ~constant.isnan() & self.module.bias
            self.table.keep(self.input.ids, ~absorbed)

    def remove_channels(self, removed: frozenset[int]) -> None:
        """Remove units from every gate, and the columns of removed input channels."""
        module, device = self.module, self._tensor("weight_ih_l0").device
        columns = torch.ones(module.input_size, dtype=torch.bool, device=device)
        constants = torch.zeros(module.input_size, device=device)
        if self.input is not None:
            columns = kept_channels(removed, self.input.ids, device)
            constants = self.input.constant.to(device).masked_fill(columns, 0)
        for suffix in self.suffixes:
            for name in (f"weight_ih{suffix}", f"weight_hh{suffix}"):
                apply_mask(module, name)
                release_gates(module, name, masked=True)
        for layer in range(module.num_layers):
            suffixes = self.suffixes[layer * self.directions : (layer + 1) * self.directions]
            units = [kept_channels(removed, self.units[suffix], device) for suffix in suffixes]
            for suffix, keep in zip(suffixes, units, strict=True):
                self._shrink(suffix, columns, constants, keep)
            columns = torch.cat(units)  # of the next layer
            constants = torch.zeros(len(columns), device=device)
        module.hidden_size = len(self._tensor("weight_hh_l0")) // GATES
        module.input_size = self._tensor("weight_ih_l0").shape[1]
        module.flatten_parameters()

    def _shrink(self, suffix: str, columns: Tensor, constants: Tensor, units: Tensor) -> None:
        """Replace the tensors of one layer and direction.

        Args:
            suffix: of the tensors' names.
            columns: which inputs are kept, bool.
            constants: the constants of the other inputs, else 0.
            units: which units are kept, bool, shape (hidden,).
        """
        module, rows = self.module, units.repeat(GATES)
        if rows.all() and columns.all():
            return
        weight_ih = self._tensor(f"weight_ih{suffix}")
        weight_hh = self._tensor(f"weight_hh{suffix}")
        replace_tensor(module, f"weight_ih{suffix}", weight_ih[rows][:, columns])
        replace_tensor(module, f"weight_hh{suffix}", weight_hh[rows][:, units])
        if module.bias:
            bias_ih = self._tensor(f"bias_ih{suffix}")
            added = (weight_ih.double() @ constants.double()).to(weight_ih.dtype)
            replace_tensor(module, f"bias_ih{suffix}", (bias_ih + added)[rows])
            replace_tensor(module, f"bias_hh{suffix}", self._tensor(f"bias_hh{suffix}")[rows])

    def _kept_rows(self, name: str) -> Tensor:
        """Return which rows of a weight are not zero, bool, shape (4, hidden)."""
        masking = mask_parametrization(self.module, name) if has_mask(self.module, name) else None
        if isinstance(masking, GateSparsity):
            return masking.kept_rows()
        mask = row_mask(self.module, name)
        if mask is None:
            mask = torch.ones_like(self._tensor(name)[:, 0], dtype=torch.bool)
        return mask.view(GATES, -1)

    def _tensor(self, name: str) -> Tensor:
        tensor = getattr(self.module, name)
        assert isinstance(tensor, Tensor)
        return tensor.detach()
