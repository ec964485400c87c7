"""Fully qualified names (FQN): from a module to its dotted name and back."""

from typing import Any

from torch import nn


def module_to_fqn(model: nn.Module, module: nn.Module, prefix: str = "") -> str | None:
    """Return the dotted name of ``module`` in ``model``: ``""`` for itself, None if absent.

    A module with several names gets the first in depth-first order.
    """
    if module is model:
        return ""
    for name, child in model.named_children():
        fqn = module_to_fqn(child, module, ".")
        if fqn is not None:
            return prefix + name + fqn
    return None


def fqn_to_module(model: nn.Module | None, path: str) -> Any:
    """Return the module, tensor or attribute at the dotted ``path``, or None if absent.

    Typed ``Any`` because, as upstream, a path may lead to a tensor as well as to a module.
    """
    attribute: Any = model
    for name in path.split(".") if path else ():
        attribute = getattr(attribute, name, None)
    return attribute


def get_arg_info_from_tensor_fqn(model: nn.Module, tensor_fqn: str) -> dict[str, Any]:
    """Return ``module_fqn``, ``module``, ``tensor_name`` and ``tensor_fqn`` of a tensor.

    ``"weight"`` and ``".weight"`` name a tensor of the model itself: ``module_fqn`` is ``""``.
    ``module`` is None where the model has no such module.
    """
    module_fqn, _, tensor_name = tensor_fqn.rpartition(".")
    return {
        "module_fqn": module_fqn,
        "module": fqn_to_module(model, module_fqn),
        "tensor_name": tensor_name,
        "tensor_fqn": tensor_fqn,
    }
