"""How masks lie on tensors: put there, taken off again, and what undoes either."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from sparsebench.errors import ConfigError
from sparsebench.pruning.masks.pattern import shown
from sparsebench.pruning.sparsifiers.parametrization import (
    FakeSparsity,
    has_mask,
    masking_of,
    parametrizations_of,
)
from sparsebench.pruning.sparsifiers.state import Config

# Truth values, in whatever type they were stored: they take the weight's dtype.
_TRUTH_VALUES = (torch.bool, torch.uint8, torch.int8)


class ElementMasks:
    """One entry an element, applied by FakeSparsity."""

    def parametrization(self, group: Config) -> type[nn.Module]:
        """The class that applies the group's mask: what its configuration says, or the usual."""
        wanted: type[nn.Module] = group.get("parametrization", FakeSparsity)
        return wanted

    def full(self, tensor: Tensor) -> Tensor:
        """The mask that prunes nothing; every mask of ``tensor`` has its shape."""
        return torch.ones_like(tensor)

    def fitted(self, mask: Tensor, tensor: Tensor) -> Tensor:
        """``mask`` in the dtype and on the device that it needs for ``tensor``."""
        return fitted(mask, tensor)

    def check_shape(self, group: Config, holder: Mapping[str, Any]) -> None:
        """ConfigError where ``holder`` has a ``mask`` of a wrong shape for the group's tensor."""
        mask = given_mask(group["tensor_fqn"], holder)
        tensor = getattr(group["module"], group["tensor_name"])
        if mask is not None and mask.shape != tensor.shape:
            raise ConfigError(
                f"{group['tensor_fqn']}: a mask must have the tensor's shape "
                f"{tuple(tensor.shape)}, got {tuple(mask.shape)}"
            )

    def attach(self, group: Config, mask: Tensor | None) -> tuple[Tensor, Callable[[], object]]:
        """Put a mask on the group's tensor, in the mask object that it has, if any.

        Args:
            group: located and checked.
            mask: what it becomes a copy of; None: the one that prunes nothing.

        Returns:
            The mask in force, and what undoes it all.
        """
        module, name = group["module"], group["tensor_name"]
        tensor = getattr(module, name).detach()
        mask = self.full(tensor) if mask is None else self.fitted(mask, tensor).clone()
        if has_mask(module, name):
            undo = _overwrite(masking_of(module, name).mask, mask)
            return masking_of(module, name).mask, undo
        parametrize.register_parametrization(module, name, self.parametrization(group)(mask))
        return mask, partial(self.detach, group)

    def detach(self, group: Config) -> None:
        """Take the mask off the tensor, leaving unmasked values and other parametrizations."""
        module, name = group["module"], group["tensor_name"]
        if len(parametrizations_of(module, name)) == 1:
            parametrize.remove_parametrizations(module, name, leave_parametrized=False)
        else:  # torch cannot remove one of several: a mask of ones changes nothing
            masking_of(module, name).mask.fill_(1)


def given_mask(where: str, holder: Mapping[str, Any]) -> Tensor | None:
    """The ``mask`` of ``holder``, if any; ConfigError where it is no tensor."""
    mask = holder.get("mask")
    if mask is not None and not isinstance(mask, Tensor):
        raise ConfigError(f"{where}: mask must be a tensor, got {shown(mask)}")
    return mask


def fitted(mask: Tensor, tensor: Tensor) -> Tensor:
    """``mask`` on the device of ``tensor`` and in its dtype; wide integers are the caller's own."""
    fits = mask.is_floating_point() or mask.dtype in _TRUTH_VALUES
    dtype = tensor.dtype if fits else mask.dtype
    return mask.detach().to(device=tensor.device, dtype=dtype)


def _overwrite(mask: Tensor, values: Tensor) -> Callable[[], object]:
    """Write ``values`` into the mask object that others hold; returns what undoes it."""
    undo = partial(setattr, mask, "data", mask.detach().clone())
    if mask.dtype == values.dtype and mask.device == values.device:
        mask.copy_(values)
    else:
        mask.data = values
    return undo
