"""What a step found out about a group, kept so that the next step only sees that it still holds."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sparsebench.pruning.masks.layouts import DEFAULT_LAYOUT, matrix_shape
from sparsebench.pruning.masks.pattern import BlockShape, Pattern, is_constant, pattern_of
from sparsebench.pruning.sparsifiers.parametrization import (
    has_mask,
    masking_of,
    parametrizations_of,
)
from sparsebench.pruning.sparsifiers.state import Config

Modules = dict[str, nn.Module | None]
Buffers = dict[str, Tensor | None]


@dataclass(frozen=True, slots=True)
class Plan:
    """A checked group, and the way to its mask.

    Attributes:
        model: the root of the way.
        group: the very dict.
        links: the children of a module, the name of one, and that one, from the model down to the
            module that has the mask.
        level, block, zeros, layout: the settings that were checked; all of a kind that never
            changes in place.
        shape: of the mask and the tensor; None where the settings make a constant mask of any.
        buffers: those of the module that has the mask.
        original: where the tensor is, under the name "original".
        pattern: what the settings are on a matrix of this shape.
    """

    model: nn.Module
    group: Config
    links: tuple[tuple[Modules, str, nn.Module], ...]
    level: float
    block: BlockShape
    zeros: int | None
    layout: str
    shape: torch.Size | None
    buffers: Buffers
    original: dict[str, Any]
    pattern: Pattern

    def mask(self, model: nn.Module | None, group: Config) -> Tensor | None:
        """The mask in force, if checking ``group`` would end as it did; else None."""
        if (
            group is not self.group
            or model is not self.model
            or group["sparsity_level"] is not self.level
            or group["sparse_block_shape"] is not self.block
            or group["zeros_per_block"] is not self.zeros
            or group.get("layout", DEFAULT_LAYOUT) is not self.layout
        ):
            return None
        for children, name, child in self.links:
            if children.get(name) is not child:
                return None
        mask = self.buffers.get("mask")
        return mask if mask is not None and (self.shape is None or self._fits(mask)) else None

    def _fits(self, mask: Tensor) -> bool:
        tensor = self.original.get("original")
        return tensor is not None and mask.shape == tensor.shape == self.shape

    @property
    def tensor(self) -> Tensor:
        """The tensor before its mask, while the plan holds."""
        tensor: Tensor = self.original["original"]
        return tensor


def plan(model: nn.Module, group: Config) -> Plan | None:
    """The plan of a group that has just been checked and whose mask is there.

    None where nothing cheap could tell that it still holds: its module is not in ``model`` under
    its name, another parametrization comes before the mask, or a setting can change in place.
    """
    if not has_mask(group["module"], group["tensor_name"]):
        return None
    chain = parametrizations_of(group["module"], group["tensor_name"])
    masking = masking_of(group["module"], group["tensor_name"])
    shape: torch.Size = masking.mask.shape
    names = [*group["module_fqn"].split("."), "parametrizations", group["tensor_name"], "0"]
    links = _links(model, names)
    level, block, zeros = (group[key] for key in _SETTINGS)
    layout = group.get("layout", DEFAULT_LAYOUT)
    settled = type(level) in (int, float) and type(block) is tuple and chain.is_tensor
    if not links or links[-1][2] is not masking or not settled:
        return None
    original = chain._parameters if "original" in chain._parameters else chain._buffers
    pattern = pattern_of(matrix_shape(shape, layout), level, block, zeros)
    settings = level, block, zeros, layout
    where = masking._buffers, original
    decides = None if is_constant(level, block, zeros) else shape
    return Plan(model, group, links, *settings, decides, *where, pattern)


_SETTINGS = ("sparsity_level", "sparse_block_shape", "zeros_per_block")


def _links(model: nn.Module, names: list[str]) -> tuple[tuple[Modules, str, nn.Module], ...]:
    """The links along ``names`` (empty ones lead nowhere else), or none where there is no way."""
    links, parent = [], model
    for name in filter(None, names):
        child = parent._modules.get(name)
        if child is None:
            return ()
        links.append((parent._modules, name, child))
        parent = child
    return tuple(links)
