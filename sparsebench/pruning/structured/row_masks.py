"""How row masks lie on tensors."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sparsebench.errors import ConfigError
from sparsebench.pruning.sparsifiers.element_masks import ElementMasks, given_mask
from sparsebench.pruning.sparsifiers.parametrization import has_mask
from sparsebench.pruning.sparsifiers.state import Config
from sparsebench.pruning.structured.bias import mask_bias, release_bias, unlink
from sparsebench.pruning.structured.gates import GateSparsity
from sparsebench.pruning.structured.parametrization import FakeStructuredSparsity


class RowMasks(ElementMasks):
    """One bool a row, applied by FakeStructuredSparsity, or on an LSTM by GateSparsity."""

    def parametrization(self, group: Config) -> type[nn.Module]:
        """What the group's configuration says, or the usual for its module."""
        lstm = isinstance(group["module"], nn.LSTM)
        wanted: type[nn.Module] = GateSparsity if lstm else FakeStructuredSparsity
        return group.get("parametrization", wanted)  # type: ignore[no-any-return]  # a loose dict

    def full(self, tensor: Tensor) -> Tensor:
        """True for every row, shape (rows,)."""
        return torch.ones(len(tensor), dtype=torch.bool, device=tensor.device)

    def fitted(self, mask: Tensor, tensor: Tensor) -> Tensor:
        """``mask`` as bools, on the device of ``tensor``."""
        return (mask.detach() != 0).to(tensor.device)

    def check_shape(self, group: Config, holder: Mapping[str, Any]) -> None:
        """ConfigError where a mask has not one entry a row."""
        mask = given_mask(group["tensor_fqn"], holder)
        tensor = getattr(group["module"], group["tensor_name"])
        if mask is not None and mask.shape != tensor.shape[:1]:
            raise ConfigError(
                f"{group['tensor_fqn']}: a mask must have one entry a row, shape "
                f"{tuple(tensor.shape[:1])}, got {tuple(mask.shape)}"
            )

    def attach(self, group: Config, mask: Tensor | None) -> tuple[Tensor, Callable[[], object]]:
        """As of any mask; the bias loses the rows of the weight, unless ``prune_bias`` is False."""
        module, name = group["module"], group["tensor_name"]
        shared = has_mask(module, name)
        in_force, undo = super().attach(group, mask)
        if not shared:
            mask_bias(module, name, group.get("prune_bias", True))
        return in_force, undo

    def detach(self, group: Config) -> None:
        """As of any mask; an LSTM's gates and the bias are set free first."""
        module, name = group["module"], group["tensor_name"]
        if isinstance(module, nn.LSTM):
            unlink(module, name)
        release_bias(module, name, masked=False)
        super().detach(group)
