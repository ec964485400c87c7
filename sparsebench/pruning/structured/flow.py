"""Following channels through a model's graph, from the layers that make them to their readers."""

from collections.abc import Sequence
from typing import Any

from torch import fx, nn
from torch.fx.node import map_arg
from torch.nn.utils.parametrize import ParametrizationList

from sparsebench.errors import ConfigError
from sparsebench.pruning.structured import rules
from sparsebench.pruning.structured.channels import (
    FIXED,
    Channels,
    ChannelTable,
    Value,
    channels_in,
)
from sparsebench.pruning.structured.layers import (
    Going,
    Layer,
    Unsupported,
    is_layer,
    make_layer,
)


class Flow:
    """What following the graph found.

    Args:
        root: the module whose ``forward`` the graph is.
        graph: see :func:`.trace.trace`.

    Attributes:
        layers: by ``id(module)``, every layer that the graph calls.
        table: what all nodes noted of their channels.
        refusals: channels that must not go, each with the reason.
    """

    def __init__(self, root: nn.Module, graph: fx.Graph) -> None:
        self.root = root
        self.table = ChannelTable()
        self.layers: dict[int, Layer] = {}
        self.refusals: list[tuple[Sequence[int], str]] = []
        self._values: dict[fx.Node, Value] = {}
        self._weights_read: list[tuple[nn.Module, str]] = []
        for node in graph.nodes:
            self._values[node] = self._visit(node)
        for layer in self.layers.values():
            layer.finish()
        for owner, name in self._weights_read:
            self._refuse_layer(owner, name)

    def going(self) -> Going:
        """Which channels go.

        Raises:
            ConfigError: one that would go is read by something that cannot lose it.
        """
        going = self.table.removable()
        for ids, reason in self.refusals:
            if any(going(ids)):
                raise ConfigError(reason)
        return going

    def refuse(self, ids: Sequence[int], where: str, reason: str) -> None:
        """Note that channels must not go."""
        self.refusals.append((ids, f"prune: {where} {reason}"))

    def _visit(self, node: fx.Node) -> Value:
        args, kwargs = self._arguments(node)
        read = channels_in([args, kwargs])
        if node.op == "output":
            for channels in read:
                self.table.need(channels.ids, channels.constant.isnan())
            return FIXED
        if node.op == "get_attr" or isinstance(self._module(node), ParametrizationList):
            self._note_weight(str(node.target))
        elif is_layer(self._module(node)):
            return self._call_layer(node, [*args, *kwargs.values()])
        if not read:
            return FIXED
        try:
            value = self._rule(node)(*args, **kwargs)
            if rules.is_in_place(node, self._module(node)):
                self._overwrite(args[0], value)
            return value
        except Unsupported as problem:
            self._refuse_all(read, node, str(problem))
        except TypeError:  # arguments that the rule does not have
            self._refuse_all(read, node, "is called with arguments that are not understood")
        return FIXED

    def _call_layer(self, node: fx.Node, args: list[Any]) -> Value:
        module = self._module(node)
        assert module is not None
        if id(module) not in self.layers:
            self.layers[id(module)] = make_layer(module, self.table, self.root)
        layer = self.layers[id(module)]
        first, *others = args
        if getattr(module, "proj_size", 0):
            self.refuse(layer.own_channels(), _name(node, module), "has projections (proj_size)")
        if any(other is not None for other in others):
            reason = "is called with an initial state, which has an entry a unit"
            self.refuse(layer.own_channels(), _name(node, module), reason)
            self._refuse_all(channels_in(others), node, reason)
        return layer.call(self._checked(layer, first, node))

    def _checked(self, layer: Layer, value: Value, node: fx.Node) -> Channels | None:
        """The channels of a layer's input, or None where it is fixed, or has to stay so."""
        try:
            if isinstance(value, Channels):
                layer.check(value)
                return value
            if channels_in(value):
                raise Unsupported("must have one tensor as its input")
        except Unsupported as problem:
            self._refuse_all(channels_in(value), node, str(problem))
        return None

    def _overwrite(self, old: Value, new: Value) -> None:
        """Let every node that had the tensor ``old`` have ``new``, which was written over it."""
        for node, value in self._values.items():
            if value is old and isinstance(old, Channels):
                self._values[node] = new

    def _note_weight(self, target: str) -> None:
        """Note that the graph reads a tensor of a module without calling the module."""
        owner, _, name = target.replace(".parametrizations.", ".").rpartition(".")
        self._weights_read.append((self.root.get_submodule(owner), f"{owner}.{name}"))

    def _refuse_layer(self, module: nn.Module, name: str) -> None:
        """Refuse whatever would change the shape of a layer's weight."""
        layer = self.layers.get(id(module))
        if layer is not None:
            inputs = [i for value in layer.inputs if value is not None for i in value.ids]
            reason = "is read by the model's forward directly, besides the call of its layer"
            self.refuse((*layer.own_channels(), *inputs), name, reason)

    def _refuse_all(self, values: Sequence[Channels], node: fx.Node, reason: str) -> None:
        for value in values:
            self.refuse(value.ids, _name(node, self._module(node)), reason)

    def _rule(self, node: fx.Node) -> rules.Rule:
        module = self._module(node)
        if module is not None:
            return rules.of_module(module)
        if node.op == "call_method":
            return rules.of_method(str(node.target))
        assert callable(node.target)
        return rules.of_function(node.target)

    def _arguments(self, node: fx.Node) -> tuple[list[Any], dict[str, Any]]:
        """A node's arguments with values in place of nodes, its tensor first."""
        args, kwargs = map_arg((node.args, dict(node.kwargs)), lambda read: self._values[read])  # type: ignore[arg-type, return-value]  # typed for nodes to nodes
        first = [] if args or "input" not in kwargs else [kwargs["input"]]
        rest = {name: value for name, value in kwargs.items() if not (first and name == "input")}
        return [*first, *args], rest

    def _module(self, node: fx.Node) -> nn.Module | None:
        """The module that a node calls, if it calls one."""
        if node.op != "call_module":
            return None
        return self.root.get_submodule(str(node.target))


def _name(node: fx.Node, module: nn.Module | None) -> str:
    if module is not None:
        return f"{node.target} ({type(module).__name__})"
    kind = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "?")
    return f"{node.name} ({kind})"
