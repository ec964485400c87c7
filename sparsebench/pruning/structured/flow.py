"""Follow channels through a model's graph, from the layers that make them to their readers."""

from collections.abc import Sequence
from typing import Any

from torch import fx, nn
from torch.fx.node import map_arg
from torch.nn.utils.parametrize import ParametrizationList

from sparsebench.errors import ConfigError
from sparsebench.pruning.structured.channels import (
    FIXED,
    Channels,
    ChannelTable,
    Unsupported,
    Value,
    channels_in,
)
from sparsebench.pruning.structured.layers import Layer, is_layer, make_layer
from sparsebench.pruning.structured.rules import is_in_place, rule_of


class ChannelFlow:
    """The layers of a model, and the constraints that its graph puts on their channels.

    Making one follows the whole graph and changes no module. Each node is given the values of the
    nodes that it reads, and has a value itself: channels, or ``FIXED``. Where a node cannot lose
    channels, the reason is noted. It matters only if such a channel is to be removed in the end.

    Args:
        root: the module whose ``forward`` the graph is.
        graph: see :func:`.trace.trace`.

    Attributes:
        layers: every layer that the graph calls, by ``id(module)``.
    """

    def __init__(self, root: nn.Module, graph: fx.Graph) -> None:
        self.layers: dict[int, Layer] = {}
        self._root = root
        self._table = ChannelTable()
        self._refusals: list[tuple[Sequence[int], str]] = []  # channel ids and a message
        self._values: dict[fx.Node, Value] = {}
        self._direct_reads: list[str] = []  # parameters that the graph reads without their module
        for node in graph.nodes:
            self._values[node] = self._follow(node)
        for layer in self.layers.values():
            layer.finish()
        for tensor_fqn in self._direct_reads:
            module = root.get_submodule(tensor_fqn.rpartition(".")[0])
            if id(module) in self.layers:  # neither its rows nor its columns can be removed
                layer = self.layers[id(module)]
                inputs = [i for channels in layer.call_inputs if channels for i in channels.ids]
                reason = "is read by the model's forward directly, besides the call of its layer"
                self._refuse((*layer.created_channels(), *inputs), tensor_fqn, reason)

    def removed_channels(self) -> frozenset[int]:
        """Return the ids of the channels to remove.

        Raises:
            ConfigError: one of them is read by something that cannot lose it.
        """
        removed = self._table.removed_channels()
        for ids, message in self._refusals:
            if not removed.isdisjoint(ids):
                raise ConfigError(message)
        return removed

    def _follow(self, node: fx.Node) -> Value:
        """Return the value of a node, whose arguments have theirs."""
        args, kwargs = self._arguments(node)
        module = self._module(node)
        inputs = channels_in([args, kwargs])
        if node.op == "output":
            for channels in inputs:
                self._table.keep(channels.ids, channels.constant.isnan())
            return FIXED
        if node.op == "get_attr" or isinstance(module, ParametrizationList):
            self._direct_reads.append(str(node.target).replace(".parametrizations.", "."))
        elif module is not None and is_layer(module):
            return self._call_layer(node, module, [*args, *kwargs.values()])
        if not inputs:
            return FIXED
        try:
            value = rule_of(node, module)(*args, **kwargs)
        except Unsupported as error:
            self._refuse_channels(inputs, node, str(error))
        except TypeError:  # arguments that the rule does not have
            self._refuse_channels(inputs, node, "is called with arguments that are not supported")
        else:
            if is_in_place(node, module):
                self._overwrite(args[0], value)
            return value
        return FIXED

    def _call_layer(self, node: fx.Node, module: nn.Module, args: list[Any]) -> Value:
        """Return the channels of a layer's output."""
        if id(module) not in self.layers:
            self.layers[id(module)] = make_layer(module, self._table, self._root)
        layer = self.layers[id(module)]
        value, *states = args
        name, created = _node_name(node, module), layer.created_channels()
        if getattr(module, "proj_size", 0):
            self._refuse(created, name, "has projections (proj_size), which are not supported")
        if any(state is not None for state in states):
            reason = "is called with an initial state, which has one entry per unit"
            self._refuse(created, name, reason)
            self._refuse_channels(channels_in(states), node, reason)
        channels = None
        try:
            if isinstance(value, Channels):
                layer.check_input(value)
                channels = value
            elif channels_in(value):
                raise Unsupported("must have one tensor as its input")
        except Unsupported as error:
            self._refuse_channels(channels_in(value), node, str(error))
        layer.call_inputs.append(channels)
        return layer.output_channels(channels)

    def _overwrite(self, old: Value, new: Value) -> None:
        """Replace ``old``, the value of a tensor that is written in place, at all its nodes."""
        for node, value in self._values.items():
            if value is old and isinstance(old, Channels):
                self._values[node] = new

    def _refuse(self, ids: Sequence[int], where: str, reason: str) -> None:
        """Note that channels cannot be removed."""
        self._refusals.append((ids, f"prune: {where} {reason}"))

    def _refuse_channels(self, values: Sequence[Channels], node: fx.Node, reason: str) -> None:
        for channels in values:
            self._refuse(channels.ids, _node_name(node, self._module(node)), reason)

    def _arguments(self, node: fx.Node) -> tuple[list[Any], dict[str, Any]]:
        """Return a node's arguments with values in place of nodes, its tensor first."""
        args, kwargs = map_arg((node.args, dict(node.kwargs)), lambda read: self._values[read])  # type: ignore[arg-type, return-value]  # typed for nodes to nodes
        kwargs = dict(kwargs)
        if not args and "input" in kwargs:
            args = (kwargs.pop("input"),)
        return list(args), kwargs

    def _module(self, node: fx.Node) -> nn.Module | None:
        """Return the module that a node calls, if it calls one."""
        if node.op != "call_module":
            return None
        return self._root.get_submodule(str(node.target))


def _node_name(node: fx.Node, module: nn.Module | None) -> str:
    if module is not None:
        return f"{node.target} ({type(module).__name__})"
    kind = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "?")
    return f"{node.name} ({kind})"
