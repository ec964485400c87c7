"""The graph of a model's ``forward``, in which layers and torch's modules are single nodes."""

import inspect
import operator
from collections.abc import Callable
from typing import Any

from torch import fx, nn
from torch.nn.utils import parametrize

from sparsebench.errors import ConfigError
from sparsebench.pruning.conversion import module_contains_param
from sparsebench.pruning.structured.layers import is_layer
from sparsebench.pruning.structured.parametrization import FakeStructuredSparsity

# What Python and torch raise where a forward needs a value and has fx's proxy.
_UNTRACEABLE = (fx.proxy.TraceError, AttributeError, RuntimeError, TypeError, ValueError)


class _InPlaceProxy(fx.Proxy):
    """fx's proxy, which records ``x += y`` as a change of ``x``, and not as a new tensor."""

    def __iadd__(self, other: object) -> fx.Proxy:
        return self._in_place(operator.iadd, other)

    def __isub__(self, other: object) -> fx.Proxy:
        return self._in_place(operator.isub, other)

    def __imul__(self, other: object) -> fx.Proxy:
        return self._in_place(operator.imul, other)

    def __itruediv__(self, other: object) -> fx.Proxy:
        return self._in_place(operator.itruediv, other)

    def _in_place(self, function: Callable[[Any, Any], Any], other: object) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", function, (self, other), {})


class _LayerTracer(fx.Tracer):
    """fx's tracer, which does not trace into layers and torch's modules, parametrized or not."""

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _InPlaceProxy(node, self)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        kind = parametrize.type_before_parametrizations(m)
        of_torch = kind.__module__.startswith(("torch.nn", "torch.ao.nn"))
        masked = module_contains_param(m, FakeStructuredSparsity)
        return masked or is_layer(m) or (of_torch and not isinstance(m, nn.Sequential))


def trace(model: nn.Module) -> tuple[nn.Module, fx.Graph]:
    """Return a root module and the graph of its ``forward``.

    The root is ``model``, or, where that is a single layer, a Sequential around it. Arguments of
    ``forward`` whose default is None, a bool or a string have that value in the graph; numbers are
    inputs of the graph.

    Raises:
        ConfigError: ``forward`` depends on its input in a way that torch.fx cannot follow.
    """
    root = nn.Sequential(model) if _LayerTracer().is_leaf_module(model, "") else model
    attributes_before = set(root.__dict__)
    try:
        parameters = inspect.signature(root.forward).parameters.values()
        fixed_types = (bool, str, type(None))
        fixed = {p.name: p.default for p in parameters if isinstance(p.default, fixed_types)}
        return root, _LayerTracer().trace(root, concrete_args=fixed or None)
    except _UNTRACEABLE as error:
        raise ConfigError(
            f"prune: torch.fx must be able to trace the model, got {type(error).__name__}: {error}"
        ) from error
    finally:
        for name in set(root.__dict__) - attributes_before:  # tensors that the tracer stores there
            delattr(root, name)
