"""A mask written in place by the fastest path there is; every path gives the same bits."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from types import ModuleType

import torch
from torch import Tensor

from sparsebench.errors import ConfigError, unknown_name
from sparsebench.pruning import masks
from sparsebench.pruning.kernels import arrays
from sparsebench.pruning.masks import Norm
from sparsebench.pruning.pattern import BlockShape, Pattern, pattern_of

PATHS = ("compiled", "numpy", "torch")
Write = Callable[[Tensor, Tensor, Norm, Pattern], None]

_NAMES: dict[Norm, str] = {masks.l1: "l1", masks.l2: "l2"}
_only: ContextVar[str | None] = ContextVar("only", default=None)


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
    else:
        _path(mask, weight)(mask, weight, norm, pattern)


@contextmanager
def only(path: str) -> Iterator[None]:
    """Inside, every mask that can be is computed by one path, to hold the paths side by side.

    A tensor that the path does not serve (one on CUDA by ``numpy``, say) goes its usual way. Other
    threads are not affected.

    Args:
        path: ``"compiled"``, ``"numpy"`` or ``"torch"``.

    Raises:
        ConfigError: there is no such path here: ``compiled`` without numba.
    """
    if path not in PATHS:
        raise ConfigError(unknown_name("path", path, PATHS))
    if path == "compiled" and _compiled() is None:
        raise ConfigError("path: compiled needs numba, which is not installed; pip install numba")
    token = _only.set(path)
    try:
        yield
    finally:
        _only.reset(token)


def _path(mask: Tensor, weight: Tensor) -> Write:
    """How to write this mask: compiled, else by NumPy, else by torch's operators."""
    if not _is_plain_cpu(mask) or not _is_plain_cpu(weight):
        return _write_by_torch
    wanted = _only.get()
    if wanted == "torch":
        return _write_by_torch
    if wanted != "numpy" and _compiled() is not None:
        return _write_compiled
    return arrays.prune


def _write_by_torch(mask: Tensor, weight: Tensor, norm: Norm, pattern: Pattern) -> None:
    scores = masks.element_scores(weight, norm)
    mask.copy_(masks.pattern_mask(scores, pattern))


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


def _is_plain_cpu(tensor: Tensor) -> bool:
    """Whether the tensor's memory can be read at its address: a subclass may have none."""
    return (
        tensor.device.type == "cpu"
        and type(tensor) in (Tensor, torch.nn.Parameter)
        and not torch.compiler.is_compiling()
    )


@cache
def _compiled() -> ModuleType | None:
    """The compiled loops, or None where numba is not installed; imported by the first mask."""
    try:
        from sparsebench.pruning.kernels import cpu
    except ImportError:
        return None
    return cpu
