"""Which layers of a model are stored sparse."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.utils import parametrize

from sparsebench.errors import ConfigError

Filter = Callable[[nn.Module, str], bool]


def chosen_linears(model: nn.Module, filter_fn: Filter | None) -> dict[str, nn.Linear]:
    """The layers to convert, by name.

    Args:
        filter_fn: of a module and its name; must choose Linear modules only. None: every Linear
            whose weight has a zero.

    Raises:
        ConfigError: a chosen layer is masked still, is no Linear, or is a subclass, which may use
            its weight otherwise (``filter_fn`` decides on those); it is in a layer of a Transformer
            whose fast path is on; or none is chosen.
    """
    choose = filter_fn or _has_zeros
    chosen = {name: module for name, module in model.named_modules() if choose(module, name)}
    for name, module in chosen.items():
        _check_linear(name, module, any_subclass=filter_fn is not None)
    if not chosen:
        raise ConfigError(
            "formats: a Linear with zeros must be in the model, got none; prune and squash it first"
        )
    _check_fast_path(model, set(chosen.values()))
    return {name: module for name, module in chosen.items() if isinstance(module, nn.Linear)}


def _has_zeros(module: nn.Module, _name: str) -> bool:
    return isinstance(module, nn.Linear) and (
        parametrize.is_parametrized(module, "weight") or bool((module.weight == 0).any())
    )


def _check_linear(name: str, module: nn.Module, any_subclass: bool) -> None:
    if not isinstance(module, nn.Linear):
        raise ConfigError(f"formats: {name!r} must be a Linear, got {type(module).__name__}")
    if parametrize.is_parametrized(module, "weight"):
        raise ConfigError(f"formats: {name!r} must not be masked any more; squash_mask() first")
    if type(module) is not nn.Linear and not any_subclass:
        raise ConfigError(
            f"formats: {name!r} must be a plain Linear, got {type(module).__name__}, which may use "
            "its weight otherwise; choose layers with filter_fn"
        )


def _check_fast_path(model: nn.Module, chosen: set[nn.Module]) -> None:
    """In evaluation that path hands the dense weights to one kernel, past their Linear."""
    if not torch.backends.mha.get_fastpath_enabled():
        return
    for name, module in model.named_modules():
        if isinstance(module, nn.TransformerEncoderLayer) and chosen & set(module.modules()):
            raise ConfigError(
                f"formats: {name!r}, a TransformerEncoderLayer, must not take its fast path, which "
                "knows dense weights only; torch.backends.mha.set_fastpath_enabled(False) first"
            )
