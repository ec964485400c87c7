"""What a step found out about a group, kept so that the next step only sees that it still holds."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sparsebench.pruning.groups import Config
from sparsebench.pruning.layouts import DEFAULT_LAYOUT
from sparsebench.pruning.parametrization import has_mask, masking_of, parametrizations_of
from sparsebench.pruning.pattern import BlockShape, constant_mask

Link = tuple[nn.Module, str, nn.Module]


@dataclass(frozen=True, slots=True)
class Plan:
    """A checked group, and the way to its mask.

    Attributes:
        group: the very dict.
        links: parent, name and child, from the model down to the module that has the mask.
        settings: the objects that were checked; all of a kind that never changes.
        shape: of the mask and the tensor.
        chain: the tensor's parametrizations, the first of which has the mask.
        value: what every entry of the mask is, whatever the weights; None where they decide.
    """

    group: Config
    links: tuple[Link, ...]
    settings: tuple[float, BlockShape, int | None, str]
    shape: torch.Size
    chain: nn.Module
    value: int | None

    def holds(self, group: Config) -> bool:
        """Whether checking ``group`` and finding its mask would end as they did."""
        level, block, zeros, layout = self.settings
        if (
            group is not self.group
            or group["sparsity_level"] is not level
            or group["sparse_block_shape"] is not block
            or group["zeros_per_block"] is not zeros
            or group.get("layout", DEFAULT_LAYOUT) is not layout
        ):
            return False
        for parent, name, child in self.links:
            if parent._modules.get(name) is not child:
                return False
        mask = child._buffers.get("mask")
        return mask is not None and (self.value is not None or self._fits(mask))

    def _fits(self, mask: Tensor) -> bool:
        """Whether mask and tensor have the shape that was checked."""
        buffers, parameters = self.chain._buffers, self.chain._parameters
        original: Tensor | None = parameters.get("original", buffers.get("original"))
        return original is not None and mask.shape == original.shape == self.shape

    @property
    def mask(self) -> Tensor | None:
        """The mask in force, while the plan holds."""
        return self.links[-1][2]._buffers.get("mask")


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
    links = _links(model, [*group["module_fqn"].split("."), *_WITHIN, group["tensor_name"], "0"])
    level, block, zeros = (group[key] for key in _SETTINGS)
    layout = group.get("layout", DEFAULT_LAYOUT)
    settled = type(level) in (int, float) and type(block) is tuple and chain.is_tensor
    if not links or links[-1][2] is not masking or not settled:
        return None
    value = constant_mask(level, block, zeros)
    settings = level, block, zeros, layout
    return Plan(group, links, settings, shape, chain, value)


_SETTINGS = ("sparsity_level", "sparse_block_shape", "zeros_per_block")
_WITHIN = ("parametrizations",)


def _links(model: nn.Module, names: list[str]) -> tuple[Link, ...]:
    """The links along ``names`` (empty ones lead nowhere else), or none where there is no way."""
    links, parent = [], model
    for name in filter(None, names):
        child = parent._modules.get(name)
        if child is None:
            return ()
        links.append((parent, name, child))
        parent = child
    return tuple(links)
