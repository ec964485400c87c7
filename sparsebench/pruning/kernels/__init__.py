"""A mask written in place by the fastest path there is; every path gives the same bits."""

from functools import cache
from types import ModuleType

import torch
from torch import Tensor

from sparsebench.pruning import masks
from sparsebench.pruning.masks import Norm
from sparsebench.pruning.pattern import BlockShape, Pattern, pattern_of


def write_mask(
    mask: Tensor,
    weight: Tensor,
    norm: Norm,
    sparsity_level: float,
    block: BlockShape,
    zeros_per_block: int | None,
) -> None:
    """Write into ``mask`` 1 where ``weight`` is kept and 0 where it is pruned.

    Args:
        mask: shape and device of ``weight``, any dtype; stays the same object.
        weight: shape (rows, cols), any strides, floating; not changed.
        norm: element-wise importance, lowest is pruned first; ``masks.l1`` and ``masks.l2`` have
            compiled loops.
        sparsity_level, block, zeros_per_block: see :func:`masks.sparsity_mask`.

    Raises:
        ConfigError: see :func:`masks.sparsity_mask` and :func:`masks.element_scores`; ``mask`` is
            as it was.
    """
    pattern = pattern_of(weight.shape, sparsity_level, block, zeros_per_block)
    if pattern.keeps_all:
        mask.fill_(1)
    elif pattern.prunes_all:
        mask.fill_(0)
    elif _is_plain_cpu(weight) and _compiled() is not None:
        _write_compiled(mask, weight, norm, pattern)
    else:
        scores = masks.element_scores(weight, norm)
        mask.copy_(masks.sparsity_mask(scores, sparsity_level, pattern.block, pattern.zeros))


def _write_compiled(mask: Tensor, weight: Tensor, norm: Norm, pattern: Pattern) -> None:
    cpu = _compiled()
    assert cpu is not None
    name = _NAMES.get(norm, "scores")
    source = masks.element_scores(weight, norm) if name == "scores" else weight
    if cpu.supports(mask, source):
        cpu.prune(mask, source, name, pattern)
        torch.autograd.graph.increment_version(mask)  # as every write of torch's own does
        return
    source = source.contiguous()
    written = torch.empty_like(source)
    cpu.prune(written, source, name, pattern)
    mask.copy_(written)


_NAMES: dict[Norm, str] = {masks.l1: "l1", masks.l2: "l2"}


def _is_plain_cpu(weight: Tensor) -> bool:
    """Whether the tensor's memory can be read at its address: a subclass may have none."""
    return (
        weight.device.type == "cpu"
        and type(weight) in (Tensor, torch.nn.Parameter)
        and not torch.compiler.is_compiling()
    )


@cache
def _compiled() -> ModuleType | None:
    """The CPU path, or None where numba is not installed; imported by the first mask."""
    try:
        from sparsebench.pruning.kernels import cpu
    except ImportError:
        return None
    return cpu
