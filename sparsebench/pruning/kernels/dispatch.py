"""A mask written in place by the fastest path there is; every path gives the same bits."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from shutil import which
from types import ModuleType

import torch
from torch import Tensor

from sparsebench.errors import ConfigError, unknown_name
from sparsebench.pruning import masks
from sparsebench.pruning.kernels import arrays
from sparsebench.pruning.masks.pattern import BlockShape, Pattern, pattern_of
from sparsebench.pruning.masks.reference import Norm

CPU_PATHS = ("compiled", "numpy", "torch")
PATHS = (*CPU_PATHS, "triton")
Write = Callable[[Tensor, Tensor, Norm, Pattern], None]

_NAMES: dict[Norm, str] = {masks.l1: "l1", masks.l2: "l2"}
_NEEDS = {
    "compiled": "compiled needs numba, which is not installed; pip install numba",
    "triton": "triton needs the package triton, a C compiler and no ROCm; pip install triton",
}
_OLDEST_GPU = 8, 0  # compute capability: what Triton compiles for
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
    write_pattern(mask, weight, norm, pattern)


def write_pattern(mask: Tensor, weight: Tensor, norm: Norm, pattern: Pattern) -> None:
    """The same for a checked pattern of the shape of ``weight``."""
    if pattern.value is None:
        _path(mask, weight)(mask, weight, norm, pattern)
    elif pattern.value:
        mask.fill_(1)
    else:
        mask.zero_()  # half a microsecond less than fill_(0)


@contextmanager
def only(path: str) -> Iterator[None]:
    """Inside, every mask that can be is computed by one path, to hold the paths side by side.

    A tensor that the path does not serve (one on CUDA by ``numpy``, say) goes its usual way. Other
    threads are not affected.

    Args:
        path: ``"compiled"``, ``"numpy"``, ``"torch"`` or ``"triton"``, which serves tensors on the
            CPU too where ``TRITON_INTERPRET=1`` is set.

    Raises:
        ConfigError: there is no such path here: ``compiled`` without numba, ``triton`` without
            Triton or a C compiler, which it needs to reach the driver.
    """
    if path not in PATHS:
        raise ConfigError(unknown_name("path", path, PATHS))
    needed = {"compiled": _compiled, "triton": _triton}.get(path)
    if needed is not None and needed() is None:
        raise ConfigError(f"path: {_NEEDS[path]}")
    token = _only.set(path)
    try:
        yield
    finally:
        _only.reset(token)


def _path(mask: Tensor, weight: Tensor) -> Write:
    """How to write this mask: by a compiled path of its device, else by NumPy or by torch."""
    wanted = _only.get()
    if wanted == "torch" or not _is_plain(mask) or not _is_plain(weight):
        return _write_by_torch
    if weight.is_cuda:
        return _write_by_triton if _runs_triton(weight.device) else _write_by_torch
    if weight.device.type != "cpu":
        return _write_by_torch
    if wanted == "triton" and is_interpreted():
        return _write_by_triton
    if wanted != "numpy" and _compiled() is not None:
        return _write_compiled
    return arrays.prune


def is_interpreted() -> bool:
    """Whether Triton's kernels are run by its interpreter, and so serve tensors on the CPU."""
    triton = _triton()
    return triton is not None and bool(triton.INTERPRETED)


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


def _write_by_triton(mask: Tensor, weight: Tensor, norm: Norm, pattern: Pattern) -> None:
    triton = _triton()
    assert triton is not None
    if not triton.supports(weight, pattern):
        _write_by_torch(mask, weight, norm, pattern)
        return
    name = _NAMES.get(norm, "scores")
    source = masks.element_scores(weight, norm) if name == "scores" else weight
    written = mask if triton.writes(mask) else source.new_empty(source.shape)
    triton.prune(written, source.contiguous(), name, pattern)
    if written is mask:
        torch.autograd.graph.increment_version(mask)  # as every write of torch's own does
    else:
        mask.copy_(written)


def _is_plain(tensor: Tensor) -> bool:
    """Whether the tensor's memory can be read at its address: a subclass may have none."""
    return type(tensor) in (Tensor, torch.nn.Parameter) and not torch.compiler.is_compiling()


@cache
def _compiled() -> ModuleType | None:
    """The compiled loops, or None where numba is not installed; imported by the first mask."""
    try:
        from sparsebench.pruning.kernels import cpu
    except ImportError:
        return None
    return cpu


@cache
def _triton() -> ModuleType | None:
    """The Triton path, or None where it cannot run; imported by the first mask on CUDA.

    On ROCm, devices are named cuda too, but nobody has looked whether its divisions are exact.
    """
    try:
        from sparsebench.pruning.kernels import triton_path
    except ImportError:
        return None
    has_compiler = os.environ.get("CC") or which("gcc") or which("clang")
    compiles = torch.version.hip is None and has_compiler
    return triton_path if compiles or triton_path.INTERPRETED else None


@cache
def _runs_triton(device: torch.device) -> bool:
    return _triton() is not None and torch.cuda.get_device_capability(device) >= _OLDEST_GPU
