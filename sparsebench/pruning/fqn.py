"""Fully qualified names: from a module to its dotted name and back."""

from typing import Any

from torch import nn


def module_to_fqn(model: nn.Module, module: nn.Module, prefix: str = "") -> str | None:
    """The dotted name of ``module`` inside ``model``; ``""`` for the model itself, None if absent.

    A module that is reachable under several names gets the first in depth-first order.
    """
    if module is model:
        return ""
    for name, child in model.named_children():
        fqn = module_to_fqn(child, module, ".")
        if fqn is not None:
            return prefix + name + fqn
    return None


def fqn_to_module(model: nn.Module | None, path: str) -> Any:
    """The module, tensor or attribute under the dotted ``path``, or None where there is none.

    Typed ``Any`` because, as upstream, a path may lead to a tensor as well as to a module.
    """
    found: Any = model
    for name in path.split(".") if path else ():
        found = getattr(found, name, None)
    return found


def get_arg_info_from_tensor_fqn(model: nn.Module, tensor_fqn: str) -> dict[str, Any]:
    """``module_fqn``, ``module``, ``tensor_name`` and ``tensor_fqn`` of a tensor in ``model``.

    ``"weight"`` names a tensor of the model itself (``module_fqn`` is then ``""``), and so does
    ``".weight"``. ``module`` is None where nothing has that name.
    """
    module_fqn, _, tensor_name = tensor_fqn.rpartition(".")
    return {
        "module_fqn": module_fqn,
        "module": fqn_to_module(model, module_fqn),
        "tensor_name": tensor_name,
        "tensor_fqn": tensor_fqn,
    }
