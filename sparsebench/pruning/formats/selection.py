"""Selection of the layers that are stored sparse."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.utils import parametrize

from sparsebench.errors import ConfigError

LayerFilter = Callable[[nn.Module, str], bool]


def selected_linears(model: nn.Module, filter_fn: LayerFilter | None) -> dict[str, nn.Linear]:
    """Return the layers to convert, by name.

    Args:
        filter_fn: of a module and its name; must select Linear modules only. None: every Linear
            whose weight has a zero.

    Raises:
        ConfigError: a selected layer is still masked, is no Linear, or is a subclass, which may use
            its weight in another way (only ``filter_fn`` selects those); it is in a layer of a
            Transformer whose fast path is on; or none is selected.
    """
    is_selected = filter_fn or _has_zeros
    layers = {}
    for name, module in model.named_modules():
        if is_selected(module, name):
            layers[name] = _checked_linear(name, module, any_subclass=filter_fn is not None)
    if not layers:
        raise ConfigError(
            "formats: a Linear with zeros must be in the model, got none; prune and squash it first"
        )
    _check_fast_path(model, set(layers.values()))
    return layers


def _has_zeros(module: nn.Module, _name: str) -> bool:
    return isinstance(module, nn.Linear) and (
        parametrize.is_parametrized(module, "weight") or bool((module.weight == 0).any())
    )


def _checked_linear(name: str, module: nn.Module, any_subclass: bool) -> nn.Linear:
    """Return ``module``; ConfigError if it is not a Linear that can be converted."""
    if not isinstance(module, nn.Linear):
        raise ConfigError(f"formats: {name!r} must be a Linear, got {type(module).__name__}")
    if parametrize.is_parametrized(module, "weight"):
        raise ConfigError(f"formats: {name!r} must not be masked; squash_mask() first")
    if type(module) is not nn.Linear and not any_subclass:
        raise ConfigError(
            f"formats: {name!r} must be a plain Linear, got {type(module).__name__}, which may use "
            "its weight in another way; select layers with filter_fn"
        )
    return module


def _check_fast_path(model: nn.Module, layers: set[nn.Linear]) -> None:
    """Raise ConfigError if a Transformer's fast path would read the weights as dense ones.

    In evaluation mode that path passes the weights to one kernel, without calling their Linear.
    """
    if not torch.backends.mha.get_fastpath_enabled():
        return
    for name, module in model.named_modules():
        if isinstance(module, nn.TransformerEncoderLayer) and not layers.isdisjoint(
            module.modules()
        ):
            raise ConfigError(
                f"formats: {name!r}, a TransformerEncoderLayer, must not take its fast path, which "
                "needs dense weights; torch.backends.mha.set_fastpath_enabled(False) first"
            )
