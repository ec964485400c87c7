"""Masks of one entry per element: their shape and dtype, and how they get on and off a tensor."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from sparsebench.errors import ConfigError
from sparsebench.pruning.masks.pattern import shown
from sparsebench.pruning.sparsifiers.parametrization import (
    FakeSparsity,
    add_parametrization,
    has_mask,
    mask_parametrization,
    parametrizations_of,
    remove_parametrizations,
)
from sparsebench.pruning.state import Config

# Dtypes that store 0 and 1 as truth values: such a mask is converted to the weight's dtype.
_TRUTH_VALUES = (torch.bool, torch.uint8, torch.int8)


class ElementMasks:
    """Masks of one entry per element, applied by FakeSparsity; subclasses have other shapes."""

    def parametrization(self, group: Config) -> type[nn.Module]:
        """Return the class that applies the group's mask: as configured, else FakeSparsity."""
        parametrization: type[nn.Module] = group.get("parametrization", FakeSparsity)
        return parametrization

    def full(self, tensor: Tensor) -> Tensor:
        """Return the mask of ``tensor`` that prunes nothing."""
        return torch.ones_like(tensor)

    def cast(self, mask: Tensor, tensor: Tensor) -> Tensor:
        """Return ``mask`` in the dtype and on the device that a mask of ``tensor`` has."""
        return cast_mask(mask, tensor)

    def check_shape(self, group: Config, holder: Mapping[str, Any]) -> None:
        """Raise ConfigError if the ``mask`` in ``holder`` does not have the tensor's shape."""
        mask = given_mask(group["tensor_fqn"], holder)
        tensor = getattr(group["module"], group["tensor_name"])
        if mask is not None and mask.shape != tensor.shape:
            raise ConfigError(
                f"{group['tensor_fqn']}: a mask must have the tensor's shape "
                f"{tuple(tensor.shape)}, got {tuple(mask.shape)}"
            )

    def attach(self, group: Config, mask: Tensor | None) -> tuple[Tensor, Callable[[], object]]:
        """Put a mask on the group's tensor; a mask that it has already is overwritten in place.

        Args:
            group: located and checked.
            mask: values, which are copied; None: prune nothing.

        Returns:
            The mask in force, and a function that undoes the change.
        """
        module, name = group["module"], group["tensor_name"]
        tensor = getattr(module, name).detach()
        mask = self.full(tensor) if mask is None else self.cast(mask, tensor).clone()
        if not has_mask(module, name):
            parametrization = self.parametrization(group)(mask)
            sharing = [(module, name), *group.get("shared_with", ())]
            if any(getattr(holder, "sparse", False) is True for holder, _ in sharing):
                vars(parametrization)["sparse_gradient"] = True
            with ExitStack() as undo:
                for holder, own_name in sharing:
                    add_parametrization(holder, own_name, parametrization)
                    undo.callback(remove_parametrizations, holder, own_name, masked=False)
                undo.pop_all()
            return mask, partial(self.detach, group)
        in_force: Tensor = mask_parametrization(module, name).mask
        restore = partial(setattr, in_force, "data", in_force.detach().clone())
        if in_force.dtype == mask.dtype and in_force.device == mask.device:
            in_force.copy_(mask)
        else:
            in_force.data = mask
        return in_force, restore

    def detach(self, group: Config) -> None:
        """Take the mask off the tensor; unmasked values and other parametrizations remain."""
        module, name = group["module"], group["tensor_name"]
        if len(parametrizations_of(module, name)) == 1:
            for holder, own_name in [(module, name), *group.get("shared_with", ())]:
                remove_parametrizations(holder, own_name, masked=False)
        else:  # torch cannot remove one of several: a mask of ones changes nothing
            mask_parametrization(module, name).mask.fill_(1)


def given_mask(where: str, holder: Mapping[str, Any]) -> Tensor | None:
    """Return the ``mask`` of ``holder``, or None; ConfigError if it is no tensor of 0 and 1."""
    mask = holder.get("mask")
    if mask is not None and not isinstance(mask, Tensor):
        raise ConfigError(f"{where}: mask must be a tensor, got {shown(mask)}")
    if mask is not None and not mask.is_meta:
        wrong = mask[(mask != 0) & (mask != 1)]
        if mask.is_complex() or wrong.numel():
            value = f", such as {wrong[0].item()}" if wrong.numel() else ""
            raise ConfigError(f"{where}: a mask must be of zeros and ones, got {mask.dtype}{value}")
    return mask


def cast_mask(mask: Tensor, tensor: Tensor) -> Tensor:
    """Return ``mask`` on the device and in the dtype of ``tensor``; wide integers keep theirs."""
    converts = mask.is_floating_point() or mask.dtype in _TRUTH_VALUES
    dtype = tensor.dtype if converts else mask.dtype
    return mask.detach().to(device=tensor.device, dtype=dtype)
