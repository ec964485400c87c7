"""A model's graph, with the modules that are understood as a whole as its nodes."""

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


class _Proxy(fx.Proxy):
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


class _Tracer(fx.Tracer):
    """fx's tracer, which also sees parametrized modules as what they were."""

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Proxy(node, self)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        kind = parametrize.type_before_parametrizations(m)
        of_torch = kind.__module__.startswith(("torch.nn", "torch.ao.nn"))
        masked = module_contains_param(m, FakeStructuredSparsity)
        return masked or is_layer(m) or (of_torch and not isinstance(m, nn.Sequential))


def trace(model: nn.Module) -> tuple[nn.Module, fx.Graph]:
    """A root module and the graph of its ``forward``, optional arguments left out.

    The root is ``model``, or, where that is a single layer, a Sequential around it.

    Raises:
        ConfigError: ``forward`` depends on its input in a way that torch.fx cannot follow.
    """
    root = nn.Sequential(model) if _Tracer().is_leaf_module(model, "") else model
    before = set(root.__dict__)
    try:
        return root, _Tracer().trace(root, concrete_args=_left_out(root))
    except _UNTRACEABLE as error:
        raise ConfigError(
            f"prune: torch.fx must be able to trace the model, got {type(error).__name__}: {error}"
        ) from error
    finally:
        for name in set(root.__dict__) - before:  # tensors that the tracer stores as constants
            delattr(root, name)


def _left_out(model: nn.Module) -> dict[str, Any] | None:
    """The defaults of ``forward`` that decide what it does: None and flags; numbers stay open."""
    parameters = inspect.signature(model.forward).parameters.values()
    decided = (bool, str, type(None))
    return {p.name: p.default for p in parameters if isinstance(p.default, decided)} or None
