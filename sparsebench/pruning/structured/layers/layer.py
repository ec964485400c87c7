"""The interface of a layer with weights while a graph is followed and the layer shrinks."""

import abc
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from sparsebench.pruning.structured.channels import Channels, ChannelTable, Unsupported, Value
from sparsebench.pruning.structured.gates import GateBias
from sparsebench.pruning.structured.parametrization import FakeStructuredSparsity


class Layer(abc.ABC):
    """One module, however often it is called: its channels, and how to remove some.

    For each call of the module: :meth:`check_input`, an entry in ``call_inputs``, and
    :meth:`output_channels`. After the last call of all layers :meth:`finish`, and once it is
    decided which channels are removed :meth:`remove_channels`.

    Args:
        module: unchanged until :meth:`remove_channels`.
        table: where the layer notes the constraints on its channels.

    Attributes:
        call_inputs: the channels of the input of each call; None where they are fixed.
        input: after :meth:`finish` the input channels of all calls; None where all are fixed.
    """

    def __init__(self, module: nn.Module, table: ChannelTable) -> None:
        self.module = module
        self.table = table
        self.call_inputs: list[Channels | None] = []
        self.input: Channels | None = None

    @abc.abstractmethod
    def check_input(self, channels: Channels) -> None:
        """Raise Unsupported where the layer cannot have this input with fewer channels."""

    @abc.abstractmethod
    def output_channels(self, channels: Channels | None) -> Value:
        """Return the output's channels for a checked input; None: its channels are fixed."""

    def created_channels(self) -> tuple[int, ...]:
        """Return the ids of the channels that begin at this layer."""
        return ()

    def finish(self) -> None:
        """Note the constraints that the calls together put on the input channels.

        A channel is one for all calls. A call with fixed channels keeps those of the others.
        Constants that differ between calls become unknown.
        """
        inputs = [channels for channels in self.call_inputs if channels is not None]
        if not inputs:
            return
        merged = inputs[0]
        for channels in inputs[1:]:
            if len(channels.ids) != len(merged.ids):  # flattened in one call only
                self.table.keep(merged.ids + channels.ids)
                continue
            self.table.tie(merged.ids, channels.ids)
            differs = merged.constant != channels.constant
            merged = merged.with_constant(merged.constant.masked_fill(differs, torch.nan))
        if len(inputs) < len(self.call_inputs):
            self.table.keep(merged.ids)
        self.input = merged

    @abc.abstractmethod
    def remove_channels(self, removed: frozenset[int]) -> None:
        """Change the module: make its masks permanent, and remove the channels from its tensors."""


def kept_channels(removed: frozenset[int], ids: Iterable[int], device: torch.device) -> Tensor:
    """Return which of ``ids`` are not removed, bool."""
    return torch.tensor([i not in removed for i in ids], dtype=torch.bool, device=device)


def replace_tensor(module: nn.Module, name: str, values: Tensor | None) -> None:
    """Replace a parameter or buffer of ``module``, if it has one, by values of another shape."""
    old = getattr(module, name)
    if old is None or values is None:
        return
    if isinstance(old, nn.Parameter):
        setattr(module, name, nn.Parameter(values.contiguous(), requires_grad=old.requires_grad))
    else:
        setattr(module, name, values.contiguous())


def check_parametrizations(module: nn.Module) -> None:
    """Raise Unsupported where a tensor has a parametrization that is not one of our masks."""
    masks = (FakeStructuredSparsity, GateBias)
    for name, chain in getattr(module, "parametrizations", {}).items():
        if not all(isinstance(parametrization, masks) for parametrization in chain):
            kinds = ", ".join(type(parametrization).__name__ for parametrization in chain)
            raise Unsupported(f"has another parametrization on {name} ({kinds}); remove it before")


def apply_mask(module: nn.Module, tensor_name: str) -> None:
    """Make the masked values of a tensor permanent, if it is masked."""
    if parametrize.is_parametrized(module, tensor_name):
        parametrize.remove_parametrizations(module, tensor_name)
