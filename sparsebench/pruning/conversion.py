"""Conversion: masked modules are replaced by others, such as sparse quantized ones."""

import copy
from collections.abc import Mapping
from itertools import chain

from torch import nn
from torch.nn.utils import parametrize

from sparsebench.errors import ConfigError

TypeMap = Mapping[type[nn.Module], type[nn.Module]]


def convert(
    module: nn.Module,
    mapping: TypeMap | None,
    inplace: bool,
    parametrization: type[nn.Module],
) -> nn.Module:
    """Replace each masked descendant whose type is in ``mapping``; return the model.

    Args:
        module: its descendants are replaced, not itself.
        mapping: from a module type (before parametrization) to the new type, which must have a
            ``from_dense(module)``; upstream calls it ``from_float``.
        inplace: change ``module`` itself, otherwise a deep copy.
        parametrization: only modules with such a parametrization are replaced.

    Raises:
        ConfigError: ``mapping`` is None; see also :func:`swap_module`.
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
        and parametrize.type_before_parametrizations(child) in mapping
    }
    replace_modules(module, replacements)
    return module


def module_contains_param(module: nn.Module, parametrization: type[nn.Module]) -> bool:
    """Return whether any tensor of ``module`` has a parametrization of the given type."""
    if not parametrize.is_parametrized(module):
        return False
    lists = module.parametrizations.values()  # type: ignore[operator]  # torch types it as Tensor | Module
    return any(isinstance(p, parametrization) for chained in lists for p in chained)


def swap_module(module: nn.Module, mapping: TypeMap) -> nn.Module:
    """Return the replacement of ``module``, with its hooks and on its device.

    A module whose type is not in ``mapping`` is returned unchanged.

    Raises:
        ConfigError: the tensors of ``module`` are on several devices, or the new type has no
            ``from_dense``.
    """
    target = mapping.get(parametrize.type_before_parametrizations(module))
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


def replace_modules(model: nn.Module, replacements: Mapping[int, nn.Module]) -> None:
    """Replace, in place and under every name, the descendants whose ``id`` is a key."""
    for parent in list(model.modules()):
        for name, child in parent._modules.items():  # named_children omits second names
            if id(child) in replacements:
                setattr(parent, name, replacements[id(child)])
