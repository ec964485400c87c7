"""StepCache: validated settings and buffers per group, so that unchanged groups skip the checks.

A step needs each group's pattern, mask and tensor. The cache stores them after a step that checked
everything. The next step only compares identities: of the settings, and of every module on the path
from the model to the mask. With 64 Linear(16, 16), constant masks and one thread a step takes
2.1 us per layer with the cache and 18 us without.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sparsebench.pruning.masks.layouts import DEFAULT_LAYOUT, matrix_shape
from sparsebench.pruning.masks.pattern import BlockShape, Pattern, is_constant, pattern_of
from sparsebench.pruning.sparsifiers.groups import PATTERN_SETTINGS
from sparsebench.pruning.sparsifiers.parametrization import (
    has_mask,
    mask_parametrization,
    parametrizations_of,
)
from sparsebench.pruning.state import Config


@dataclass(frozen=True, slots=True)
class CachedGroup:
    """A validated group, and how to tell that it is still valid.

    Attributes:
        model: the root of ``links``.
        group: the dict itself.
        links: per module on the path from the model to the mask's parametrization: the parent's
            dict of children, the module's name, the module.
        level, block, zeros, layout: the validated settings, of types that never change in place.
        shape: of mask and tensor; None if the settings give a constant mask for any shape.
        buffers: the dict that has the mask, under "mask".
        originals: the dict that has the unmasked tensor, under "original".
        pattern: the settings applied to a matrix of this shape.
        addresses: of the elements of mask and tensor, which were contiguous and had their memory.
    """

    model: nn.Module
    group: Config
    links: tuple[tuple[dict[str, nn.Module | None], str, nn.Module], ...]
    level: float
    block: BlockShape
    zeros: int | None
    layout: str
    shape: torch.Size | None
    buffers: dict[str, Tensor | None]
    originals: dict[str, Any]
    pattern: Pattern
    addresses: tuple[int, int]

    @property
    def tensor(self) -> Tensor:
        """The unmasked tensor, while the group is valid."""
        tensor: Tensor = self.originals["original"]
        return tensor

    def valid_mask(self, model: nn.Module | None, group: Config) -> Tensor | None:
        """Return the mask in force if all checks would pass as they did, else None."""
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
        mask, tensor = self.buffers.get("mask"), self.originals.get("original")
        if mask is None or tensor is None:
            return None
        if self.shape is not None and not mask.shape == tensor.shape == self.shape:
            return None
        # A storage that was freed, resized or replaced has another address.
        if (mask.data_ptr(), tensor.data_ptr()) != self.addresses:
            return None
        return mask if mask.is_contiguous() and tensor.is_contiguous() else None


class StepCache:
    """One :class:`CachedGroup` per group; None for a group whose validity is not cheap to tell."""

    def __init__(self) -> None:
        self.entries: list[CachedGroup | None] = []

    def store(self, model: nn.Module, groups: Sequence[Config]) -> None:
        """Cache groups that were just checked and whose masks exist."""
        self.entries = [_cached_group(model, group) for group in groups]

    def valid_groups(
        self, model: nn.Module | None, groups: Sequence[Config]
    ) -> list[tuple[CachedGroup, Tensor]]:
        """Return every group with its mask, or nothing unless all are cached and still valid."""
        if len(self.entries) != len(groups):
            return []
        valid = []
        for entry, group in zip(self.entries, groups):  # noqa: B905  # compared above; strict=True costs a microsecond
            mask = None if entry is None else entry.valid_mask(model, group)
            if entry is None or mask is None:
                return []
            valid.append((entry, mask))
        return valid


def _cached_group(model: nn.Module, group: Config) -> CachedGroup | None:
    """Return the cache entry of a group, or None if nothing cheap could tell that it is valid.

    That is so if its module is not in ``model`` under its name, another parametrization comes
    before the mask, or a setting can change in place.
    """
    module, name = group["module"], group["tensor_name"]
    if not has_mask(module, name):
        return None
    parametrizations = parametrizations_of(module, name)
    parametrization = mask_parametrization(module, name)
    shape: torch.Size = parametrization.mask.shape
    links, parent = [], model
    for child_name in (*group["module_fqn"].split("."), "parametrizations", name, "0"):
        if not child_name:
            continue  # the root has an empty name
        child = parent._modules.get(child_name)
        if child is None:
            return None
        links.append((parent._modules, child_name, child))
        parent = child
    level, block, zeros = (group[key] for key in PATTERN_SETTINGS)
    immutable = type(level) in (int, float) and type(block) is tuple
    if parent is not parametrization or not immutable or not parametrizations.is_tensor:
        return None
    layout = group.get("layout", DEFAULT_LAYOUT)
    parameters, buffers = parametrizations._parameters, parametrizations._buffers
    originals: dict[str, Any] = parameters if "original" in parameters else buffers
    mask: Any = parametrization.mask
    tensor: Any = originals["original"]
    if not (_has_address(mask) and _has_address(tensor)):
        return None
    return CachedGroup(
        model,
        group,
        tuple(links),
        level,
        block,
        zeros,
        layout,
        None if is_constant(level, block, zeros) else shape,
        parametrization._buffers,
        originals,
        pattern_of(matrix_shape(shape, layout), level, block, zeros),
        (mask.data_ptr(), tensor.data_ptr()),
    )


def _has_address(tensor: Tensor) -> bool:
    is_plain = type(tensor) in (Tensor, nn.Parameter) and not tensor.is_meta
    return is_plain and tensor.is_contiguous()
