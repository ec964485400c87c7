"""Replacing masked modules by others, such as sparse quantised ones."""

import copy
from collections.abc import Mapping
from itertools import chain

from torch import nn
from torch.nn.utils import parametrize

from sparsebench.errors import ConfigError
from sparsebench.pruning.replacement import replace_modules

Mapped = Mapping[type[nn.Module], type[nn.Module]]


def convert(
    module: nn.Module, mapping: Mapped | None, inplace: bool, parametrization: type[nn.Module]
) -> nn.Module:
    """``module`` with each masked child whose type ``mapping`` knows replaced by ``from_dense``.

    Args:
        module: its descendants are looked at, not itself.
        mapping: from module type, as it was before parametrization, to the type to put there,
            which must have a ``from_dense(module)``; upstream's other name is ``from_float``.
        inplace: change ``module`` itself, else a deep copy.
        parametrization: only modules with such a parametrization are replaced.

    Raises:
        ConfigError: no ``mapping``.
    """
    if mapping is None:
        raise ConfigError("convert: mapping must be given, got None")
    if not inplace:
        module = copy.deepcopy(module)
    replacements = {
        id(child): swap_module(child, mapping)
        for child in module.modules()
        if child is not module
        and module_contains_param(child, parametrization)
        and _plain_type(child) in mapping
    }
    replace_modules(module, replacements)
    return module


def module_contains_param(module: nn.Module, parametrization: type[nn.Module]) -> bool:
    """Whether any tensor of ``module`` has a parametrization of the given type."""
    if not parametrize.is_parametrized(module):
        return False
    lists = module.parametrizations.values()  # type: ignore[operator]  # torch types it as Tensor | Module
    return any(isinstance(p, parametrization) for chained in lists for p in chained)


def swap_module(module: nn.Module, mapping: Mapped) -> nn.Module:
    """The replacement that ``mapping`` gives, with the hooks and the device of ``module``.

    A type that ``mapping`` does not know comes back as it is.

    Raises:
        ConfigError: the tensors of ``module`` lie on several devices, or the replacement has no
            ``from_dense``.
    """
    target = mapping.get(_plain_type(module))
    if target is None:
        return module
    devices = {tensor.device for tensor in chain(module.parameters(), module.buffers())}
    if len(devices) > 1:
        raise ConfigError(
            f"convert: a module must be on one device, got {sorted(map(str, devices))}"
        )
    from_dense = getattr(target, "from_dense", None)
    if from_dense is None:
        raise ConfigError(f"convert: {target.__name__} must have a from_dense(module)")
    new: nn.Module = from_dense(module)
    for pre_hook in module._forward_pre_hooks.values():
        new.register_forward_pre_hook(pre_hook)
    for hook in module._forward_hooks.values():
        new.register_forward_hook(hook)
    return new.to(devices.pop()) if devices else new


def _plain_type(module: nn.Module) -> type[nn.Module]:
    """The type that ``module`` had before it was parametrized."""
    return parametrize.type_before_parametrizations(module)
