"""A model's graph, with the modules that are understood as a whole as its nodes."""

import inspect
from typing import Any

from torch import fx, nn
from torch.nn.utils import parametrize

from sparsebench.errors import ConfigError
from sparsebench.pruning.conversion import module_contains_param
from sparsebench.pruning.structured.layers import is_layer
from sparsebench.pruning.structured.parametrization import FakeStructuredSparsity


class _Tracer(fx.Tracer):
    """fx's tracer, which also sees parametrized modules as what they were."""

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
    except fx.proxy.TraceError as error:
        raise ConfigError(
            f"prune: torch.fx must be able to trace the model, got: {error}"
        ) from None
    finally:
        for name in set(root.__dict__) - before:  # tensors that the tracer stores as constants
            delattr(root, name)


def _left_out(model: nn.Module) -> dict[str, Any] | None:
    """None for every argument of ``forward`` that may be None: the call that has a fixed shape."""
    parameters = inspect.signature(model.forward).parameters.values()
    return {p.name: None for p in parameters if p.default is None} or None
