"""What every layer with weights has in common while a graph is followed and cut."""

import abc
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from sparsebench.pruning.structured.channels import Channels, ChannelTable, Value
from sparsebench.pruning.structured.gates import GateBias
from sparsebench.pruning.structured.parametrization import FakeStructuredSparsity

Going = Callable[[Iterable[int]], list[bool]]


class Unsupported(Exception):  # noqa: N818  # not an error yet: matters if a channel would go
    """Why a node of the graph cannot lose channels; its text completes "<node> ..."."""


class Layer(abc.ABC):
    """One module, however often it is called: its channels, and how to cut them.

    Args:
        module: left untouched until :meth:`cut`.
        table: where the layer notes what it knows of its channels.
    """

    def __init__(self, module: nn.Module, table: ChannelTable) -> None:
        self.module = module
        self.table = table
        self.inputs: list[Channels | None] = []

    @abc.abstractmethod
    def check(self, value: Channels) -> None:
        """Raise Unsupported where the layer cannot have this input with fewer channels."""

    @abc.abstractmethod
    def call(self, value: Channels | None) -> Value:
        """The channels of the output, for a checked input, or one of fixed channels (None)."""

    def own_channels(self) -> tuple[int, ...]:
        """The channels that this layer makes."""
        return ()

    @abc.abstractmethod
    def finish(self) -> None:
        """Note what the calls together demand of the input channels."""

    @abc.abstractmethod
    def cut(self, going: Going) -> None:
        """Change the module: masks become permanent, and channels that go are taken out."""

    def tied_inputs(self) -> Channels | None:
        """The input channels, which all calls share; None where no call has any.

        A call with an input of fixed channels keeps those of all. Constants that differ between
        calls become unknown.
        """
        known = [value for value in self.inputs if value is not None]
        if not known:
            return None
        first = known[0]
        for other in known[1:]:
            if len(other.ids) != len(first.ids):  # flattened in one call only
                self.table.need(first.ids + other.ids)
                continue
            self.table.tie(first.ids, other.ids)
            same = first.constant == other.constant
            first = first.with_constant(first.constant.masked_fill(~same, torch.nan))
        if len(known) < len(self.inputs):
            self.table.need(first.ids)
        return first


def kept(going: Going, ids: Iterable[int], device: torch.device) -> Tensor:
    """Which of ``ids`` stay, bool."""
    return ~torch.tensor(going(ids), dtype=torch.bool, device=device)


def resized(module: nn.Module, name: str, values: Tensor | None) -> None:
    """Put new values of another shape in place of a parameter or buffer of ``module``."""
    old = getattr(module, name)
    if old is None or values is None:
        return
    if isinstance(old, nn.Parameter):
        setattr(module, name, nn.Parameter(values.contiguous(), requires_grad=old.requires_grad))
    else:
        setattr(module, name, values.contiguous())


def check_parametrizations(module: nn.Module) -> None:
    """Raise Unsupported where a tensor has a parametrization other than our masks alone."""
    ours = (FakeStructuredSparsity, GateBias)
    for name, chain in getattr(module, "parametrizations", {}).items():
        if not all(isinstance(parametrization, ours) for parametrization in chain):
            kinds = ", ".join(type(parametrization).__name__ for parametrization in chain)
            raise Unsupported(f"has another parametrization on {name} ({kinds}); remove it before")


def strip(module: nn.Module, tensor_name: str) -> None:
    """Make the masked values of a tensor permanent, if it is masked."""
    if parametrize.is_parametrized(module, tensor_name):
        parametrize.remove_parametrizations(module, tensor_name)
