"""LSTM: hidden units of every layer and direction, which all must stay equally many."""

import torch
from torch import Tensor, nn

from sparsebench.pruning.sparsifiers.parametrization import has_mask, masking_of
from sparsebench.pruning.structured.bias import release_bias
from sparsebench.pruning.structured.channels import Channels, ChannelTable, Several
from sparsebench.pruning.structured.gates import CELL, GATES, GateSparsity
from sparsebench.pruning.structured.layers.layer import (
    Going,
    Layer,
    Unsupported,
    check_parametrizations,
    kept,
    resized,
    strip,
)
from sparsebench.pruning.structured.parametrization import structured_mask


class Lstm(Layer):
    """A (stacked, bidirectional) LSTM that starts from zero states.

    A unit whose cell gate is masked in both matrices stays at 0 from beginning to end, whatever
    its other gates are, so it can go. torch has one ``hidden_size``: every layer and direction
    loses as many units as the one that can spare fewest.
    """

    module: nn.LSTM

    def __init__(self, module: nn.LSTM, table: ChannelTable) -> None:
        super().__init__(module, table)
        directions = ("", "_reverse") if module.bidirectional else ("",)
        self.directions = len(directions)
        self.suffixes = [f"_l{i}{way}" for i in range(module.num_layers) for way in directions]
        self.units = {suffix: table.new(module.hidden_size) for suffix in self.suffixes}
        self.dead = {suffix: self._dead_units(suffix) for suffix in self.suffixes}
        for suffix, ids in self.units.items():
            table.mask(ids, self.dead[suffix])
            table.need(ids, ~self.dead[suffix])
        table.balance(list(self.units.values()))

    def own_channels(self) -> tuple[int, ...]:
        """The hidden units."""
        return tuple(i for ids in self.units.values() for i in ids)

    def check(self, value: Channels) -> None:
        """Raise Unsupported where the input's channels are not the layer's."""
        check_parametrizations(self.module)
        if value.axis != -1 or value.spread or len(value.ids) != self.module.input_size:
            raise Unsupported(f"takes {self.module.input_size} channels in the last dimension")

    def call(self, value: Channels | None) -> Several:
        """``(output, (h_n, c_n))``."""
        self.inputs.append(value)
        last = self.suffixes[-self.directions :]
        ids = tuple(i for suffix in last for i in self.units[suffix])
        output = Channels(
            self.table, ids, torch.cat([self._constant(suffix) for suffix in last]), -1, 3
        )
        states = Several(
            tuple(
                Channels(self.table, self.units[s], self._constant(s), -1, 2) for s in self.suffixes
            )
        )
        return Several((output, Several((states, states))))

    def finish(self) -> None:
        """Need the input channels whose constant cannot enter the bias."""
        value = self.tied_inputs()
        if value is not None:
            absorbed = (value.constant == 0) | ~value.constant.isnan() & self.module.bias
            self.table.need(value.ids, ~absorbed)

    def cut(self, going: Going) -> None:
        """Take units out of every gate, and the columns of what came before."""
        device = self._tensor("weight_ih_l0").device
        value = self.tied_inputs()
        before = torch.ones(self.module.input_size, dtype=torch.bool, device=device)
        constants = torch.zeros(self.module.input_size, device=device)
        if value is not None:
            before = kept(going, value.ids, device)
            constants = value.constant.to(device).masked_fill(before, 0)
        self._strip()
        for layer in range(self.module.num_layers):
            suffixes = self.suffixes[layer * self.directions : (layer + 1) * self.directions]
            units = [kept(going, self.units[suffix], device) for suffix in suffixes]
            for suffix, keep in zip(suffixes, units, strict=True):
                self._cut_one(suffix, before, constants, keep)
            before = torch.cat(units)
            constants = torch.zeros(len(before), device=device)
        self.module.hidden_size = len(self._tensor("weight_hh_l0")) // GATES
        self.module.input_size = self._tensor("weight_ih_l0").shape[1]
        self.module.flatten_parameters()

    def _strip(self) -> None:
        for suffix in self.suffixes:
            for name in (f"weight_ih{suffix}", f"weight_hh{suffix}"):
                strip(self.module, name)
                release_bias(self.module, name, masked=True)

    def _cut_one(self, suffix: str, before: Tensor, constants: Tensor, keep: Tensor) -> None:
        module, rows = self.module, keep.repeat(GATES)
        incoming = self._tensor(f"weight_ih{suffix}")
        recurrent = self._tensor(f"weight_hh{suffix}")
        if rows.all() and before.all():
            return
        resized(module, f"weight_ih{suffix}", incoming[rows][:, before])
        resized(module, f"weight_hh{suffix}", recurrent[rows][:, keep])
        if module.bias:
            bias, other = f"bias_ih{suffix}", f"bias_hh{suffix}"
            added = (incoming.double() @ constants.double()).to(incoming.dtype)
            resized(module, bias, (self._tensor(bias) + added)[rows])
            resized(module, other, self._tensor(other)[rows])

    def _dead_units(self, suffix: str) -> Tensor:
        """Units that are 0 at every step: nothing reaches their cell."""
        gates = [self._kept_rows(f"weight_{kind}{suffix}")[CELL] for kind in ("ih", "hh")]
        return ~gates[0] & ~gates[1]

    def _kept_rows(self, name: str) -> Tensor:
        masking = masking_of(self.module, name) if has_mask(self.module, name) else None
        if isinstance(masking, GateSparsity):
            return masking.kept_rows()
        mask = structured_mask(self.module, name)
        if mask is None:
            mask = torch.ones_like(self._tensor(name)[:, 0], dtype=torch.bool)
        return mask.view(GATES, -1)

    def _tensor(self, name: str) -> Tensor:
        tensor = getattr(self.module, name)
        assert isinstance(tensor, Tensor)
        return tensor.detach()

    def _constant(self, suffix: str) -> Tensor:
        dead = self.dead[suffix]
        return self._tensor(f"weight_ih{suffix}").new_zeros(len(dead)).masked_fill(~dead, torch.nan)
