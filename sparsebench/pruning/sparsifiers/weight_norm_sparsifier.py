"""WeightNormSparsifier: prunes the blocks of lowest norm, or the lowest elements inside them."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sparsebench.errors import ConfigError, unknown_name
from sparsebench.pruning.float_environment import in_default_environment
from sparsebench.pruning.kernels.dispatch import check_memory, write_checked
from sparsebench.pruning.masks.global_level import Ranked, global_masks
from sparsebench.pruning.masks.layouts import DEFAULT_LAYOUT, from_matrix, matrix_shape, to_matrix
from sparsebench.pruning.masks.pattern import BlockShape, Pattern, pattern_of
from sparsebench.pruning.masks.reference import element_scores, l1, l2
from sparsebench.pruning.sparsifiers.base_sparsifier import BaseSparsifier
from sparsebench.pruning.sparsifiers.groups import PATTERN_SETTINGS, settings
from sparsebench.pruning.sparsifiers.parametrization import mask_parametrization, unmasked_tensor
from sparsebench.pruning.sparsifiers.step_cache import StepCache
from sparsebench.pruning.state import Config

_SCOPES = ("tensor", "global")
_NORMS: dict[int, Callable[[Tensor], Tensor]] = {1: l1, 2: l2}


class WeightNormSparsifier(BaseSparsifier):
    """Zeroes ``zeros_per_block`` elements in the ``sparsity_level`` share of blocks of lowest norm.

    Every argument is a default that ``prepare``'s configuration may override per tensor.

    Args:
        sparsity_level: fraction of blocks; <= 0 prunes nothing, >= 1 every block.
        sparse_block_shape: (rows, cols) of a block, from the tensor's zero index.
        zeros_per_block: zeros inside a selected block, the lowest elements; None: the whole block
            of the group's shape. N:M keeps n of m: level 1, block (1, m), m - n zeros.
        norm: 1, 2 (None is 2), or an element-wise callable; lowest is pruned first. A callable gets
            a copy of the weight, of its size, in float32 or float64.
        layout: how a tensor of more than two dimensions becomes a matrix, see
            :func:`masks.layouts.to_matrix`; 1-D is one row.
        level_scope: ``"tensor"``: each tensor gets the level of its group; ``"global"``: the blocks
            of all tensors are ranked together, and all groups must have the same level.

    Raises:
        NotImplementedError: another integer norm (as upstream).
        ConfigError: another ``level_scope``.

    Source: ``torch.ao.pruning.WeightNormSparsifier``. Ranks, ties and edges: ``docs/semantics.md``.
    """

    def __init__(
        self,
        sparsity_level: float = 0.5,
        sparse_block_shape: BlockShape = (1, 4),
        zeros_per_block: int | None = None,
        norm: Callable[[Tensor], Tensor] | int | None = None,
        layout: str = DEFAULT_LAYOUT,
        level_scope: str = "tensor",
    ) -> None:
        if level_scope not in _SCOPES:
            raise ConfigError(unknown_name("level_scope", str(level_scope), _SCOPES))
        super().__init__(
            defaults={
                "sparsity_level": sparsity_level,
                "sparse_block_shape": sparse_block_shape,
                "zeros_per_block": zeros_per_block,
                "layout": layout,
            }
        )
        self.level_scope = level_scope
        self.norm_fn = _norm_function(norm)
        self._step_cache = StepCache()

    def check_group(self, tensor: Tensor, group: Config) -> None:
        """Raise ConfigError if the group's pattern cannot apply to ``tensor``."""
        try:
            shape = matrix_shape(tensor.shape, group.get("layout", DEFAULT_LAYOUT))
            pattern_of(shape, *settings(group, *PATTERN_SETTINGS))
        except ConfigError as error:
            raise ConfigError(f"{group['tensor_fqn']}: {error}") from None

    @in_default_environment
    def step(self, use_path: bool = True) -> None:
        """Update every mask from the current weights; see :meth:`BaseSparsifier.step`.

        Fast path: all groups are cached and unchanged, so their masks are written at once. Slow
        path: check all groups, compute scores and write masks, then cache the groups.
        """
        if self.enable_mask_update:
            cached_groups = self._step_cache.valid_groups(self.model, self.groups)
            for cached, mask in cached_groups:
                if cached.group.get("mask_update_due", True):
                    self._write_mask(mask, cached.tensor, cached.layout, cached.pattern)
            if not cached_groups:
                due = self._checked_groups()
                with torch.no_grad():
                    if self.level_scope == "global":
                        self._write_global_masks(due)
                    else:
                        for group in due:
                            self.update_mask(**group)
                # A subclass may define update_mask, which every step must then call.
                if type(self) is WeightNormSparsifier and self.level_scope == "tensor":
                    assert self.model is not None
                    self._step_cache.store(self.model, self.groups)
        self._step_count += 1

    def update_mask(  # type: ignore[override]  # the group's own keys, spelled out
        self,
        module: nn.Module,
        tensor_name: str,
        sparsity_level: float,
        sparse_block_shape: BlockShape,
        zeros_per_block: int | None,
        layout: str = DEFAULT_LAYOUT,
        **kwargs: Any,
    ) -> None:
        """Rank the unmasked tensor and write the mask in place."""
        mask = mask_parametrization(module, tensor_name).mask
        tensor = unmasked_tensor(module, tensor_name)
        check_memory(mask, tensor)
        shape = matrix_shape(tensor.shape, layout)
        pattern = pattern_of(shape, sparsity_level, sparse_block_shape, zeros_per_block)
        self._write_mask(mask, tensor, layout, pattern)

    def _write_mask(self, mask: Tensor, tensor: Tensor, layout: str, pattern: Pattern) -> None:
        """Write the mask of ``tensor``, of any dimensions, in place."""
        if mask.dim() == 2:
            write_checked(mask, tensor, self.norm_fn, pattern)
            return
        if pattern.value is not None:
            mask.fill_(pattern.value)
            return
        matrix = to_matrix(tensor, layout)
        matrix_mask = torch.empty_like(matrix)
        write_checked(matrix_mask, matrix, self.norm_fn, pattern)
        mask.copy_(from_matrix(matrix_mask, mask.shape, layout))

    def _write_global_masks(self, due: Sequence[Config]) -> None:
        """Rank the blocks of all groups together, and write the masks of those that are due."""
        levels = {float(group["sparsity_level"]) for group in self.groups}
        if len(levels) != 1:
            raise ConfigError(
                "sparsity_level: must be the same in all groups where level_scope='global', "
                f"got {sorted(levels)}"
            )
        ranked = []
        for group in self.groups:
            tensor = unmasked_tensor(group["module"], group["tensor_name"])
            matrix = to_matrix(tensor, group.get("layout", DEFAULT_LAYOUT))
            block, zeros = group["sparse_block_shape"], group["zeros_per_block"]
            ranked.append(Ranked(element_scores(matrix, self.norm_fn), block, zeros))
        names = {group["tensor_fqn"] for group in due}
        for group, matrix in zip(self.groups, global_masks(ranked, levels.pop()), strict=True):
            if group["tensor_fqn"] in names:
                mask = mask_parametrization(group["module"], group["tensor_name"]).mask
                mask.copy_(from_matrix(matrix, mask.shape, group.get("layout", DEFAULT_LAYOUT)))

    def __getstate__(self) -> dict[str, Any]:
        """As in BaseSparsifier; the step cache is left out, because it belongs to a model."""
        return {**super().__getstate__(), "_step_cache": StepCache()}


def _norm_function(norm: Callable[[Tensor], Tensor] | int | None) -> Callable[[Tensor], Tensor]:
    if callable(norm):
        return norm
    if norm is None:
        return l2
    if norm not in _NORMS:
        raise NotImplementedError(f"norm: must be 1, 2 or a callable, got {norm!r}")
    return _NORMS[norm]
