"""The choice of a path: every mask is written by the fastest one, with the same bits by all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from shutil import which
from types import ModuleType

import torch
from torch import Tensor

from sparsebench.errors import ConfigError, unknown_name
from sparsebench.pruning import masks
from sparsebench.pruning.float_environment import in_default_environment
from sparsebench.pruning.masks.pattern import BlockShape, Pattern, pattern_of
from sparsebench.pruning.masks.reference import Norm

CPU_PATHS = ("compiled", "torch")
PATHS = (*CPU_PATHS, "triton")

_KERNEL_NORMS: dict[Norm, str] = {masks.l1: "l1", masks.l2: "l2"}
_REQUIREMENTS = {
    "compiled": "compiled needs numba, which is not installed; pip install numba",
    "triton": "triton needs the package triton, a C compiler and no ROCm; pip install triton",
}
_OLDEST_GPU = 8, 0  # lowest compute capability that Triton compiles for
_requested: ContextVar[str | None] = ContextVar("requested", default=None)


@in_default_environment
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
        mask: shape and device of ``weight``, any dtype and strides; written in place.
        weight: shape (rows, cols), any strides, floating; not changed.
        norm: element-wise importance, lowest is pruned first; ``masks.l1`` and ``masks.l2`` are
            part of the compiled loops and kernels.
        sparsity_level, block, zeros_per_block: see :func:`masks.sparsity_mask`.

    Raises:
        ConfigError: see :func:`masks.sparsity_mask`, :func:`masks.element_scores` and
            `check_memory`; ``mask`` is then unchanged.
    """
    pattern = pattern_of(weight.shape, sparsity_level, block, zeros_per_block)
    write_pattern(mask, weight, norm, pattern)


def write_pattern(mask: Tensor, weight: Tensor, norm: Norm, pattern: Pattern) -> None:
    """Write the mask of a checked pattern that has the shape of ``weight``; see `write_mask`.

    Raises:
        ConfigError: see `check_memory`.
    """
    check_memory(mask, weight)
    if weight.shape != pattern.shape:
        raise ConfigError(f"pattern: must be of {tuple(weight.shape)}, got {pattern.shape}")
    write_checked(mask, weight, norm, pattern)


def write_checked(mask: Tensor, weight: Tensor, norm: Norm, pattern: Pattern) -> None:
    """As `write_pattern`, after `check_memory`; a step checks all tensors before the first mask."""
    if pattern.value is not None:
        if pattern.value:
            mask.fill_(1)
        else:
            mask.zero_()  # half a microsecond less than fill_(0)
        return
    kernels = _kernels_for(mask, weight, pattern)
    if kernels is None:
        mask.copy_(masks.pattern_mask(masks.element_scores(weight, norm), pattern))
        return
    kernel_norm = _KERNEL_NORMS.get(norm, "scores")
    source = masks.element_scores(weight, norm) if kernel_norm == "scores" else weight
    source = source.contiguous()
    if kernels.writes(mask, source):
        kernels.prune(mask, source, kernel_norm, pattern)
        torch.autograd.graph.increment_version(mask)  # as torch's own in-place operators do
    else:
        buffer = torch.empty_like(source)
        kernels.prune(buffer, source, kernel_norm, pattern)
        mask.copy_(buffer)


def check_memory(mask: Tensor, weight: Tensor) -> None:
    """Raise ConfigError unless a mask of ``weight`` can be written into ``mask``.

    Compiled loops and kernels get addresses, and torch's own operators do not look at a storage
    that was freed or resized. So this is checked before each mask: equal shapes, one device, memory
    for each element, and no element of the mask that is another one's or the weight's.
    """
    if mask.shape != weight.shape:
        raise ConfigError(
            f"mask must have the tensor's shape {tuple(weight.shape)}, got {tuple(mask.shape)}"
        )
    if mask.device != weight.device:
        raise ConfigError(f"mask must be on the tensor's device {weight.device}, got {mask.device}")
    if not (_has_memory(mask) and _has_memory(weight)) or weight.is_meta:
        return
    own, source = _byte_range("mask", mask), _byte_range("tensor", weight)
    if own[0] < source[1] and source[0] < own[1]:
        raise ConfigError("mask must have memory of its own, got that of the tensor")
    if not mask.is_contiguous() and _may_overlap(mask):
        raise ConfigError(
            f"mask must have memory for each element, got shape {tuple(mask.shape)} with strides "
            f"{mask.stride()}"
        )


def _may_overlap(tensor: Tensor) -> bool:
    """Return whether two elements may lie in one place: a dimension steps into a smaller one."""
    extent = 0
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size > 1 and stride <= extent:
            return True
        extent += (size - 1) * stride
    return False


def _byte_range(name: str, tensor: Tensor) -> tuple[int, int]:
    """Return the addresses that the tensor's elements lie in; ConfigError if not in its storage."""
    start = tensor.data_ptr()
    if tensor.numel() == 0:
        return start, start
    elements = (
        tensor.numel()
        if tensor.is_contiguous()
        else 1 + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True))
    )
    size, storage = tensor.element_size(), tensor.untyped_storage()
    needed = (tensor.storage_offset() + elements) * size
    if storage.nbytes() < needed:
        raise ConfigError(
            f"{name} must have memory for its shape {tuple(tensor.shape)}, got a storage of "
            f"{storage.nbytes():,} bytes where {needed:,} are needed; was it freed or resized?"
        )
    return start, start + elements * size


def _kernels_for(mask: Tensor, weight: Tensor, pattern: Pattern) -> ModuleType | None:
    """Return the module that writes this mask, `cpu` or `triton_path`; None: torch's operators."""
    requested = _requested.get()
    if requested == "torch" or not _has_memory(mask) or not _has_memory(weight):
        return None
    kernels = None
    if weight.is_cuda:
        kernels = triton_kernels() if _is_supported_gpu(weight.device) else None
    elif weight.device.type == "cpu":
        by_triton = requested == "triton" and is_interpreted()
        kernels = triton_kernels() if by_triton else compiled_loops()
    return kernels if kernels is not None and kernels.supports(weight, pattern) else None


def _has_memory(tensor: Tensor) -> bool:
    """Return whether the tensor has memory at an address; a subclass or a traced one may not."""
    return type(tensor) in (Tensor, torch.nn.Parameter) and not torch.compiler.is_compiling()


@cache
def _is_supported_gpu(device: torch.device) -> bool:
    return torch.cuda.get_device_capability(device) >= _OLDEST_GPU


@cache
def compiled_loops() -> ModuleType | None:
    """Return the module `cpu`, or None where numba cannot be imported; loaded by the first mask."""
    try:
        from sparsebench.pruning.kernels import cpu
    except ImportError:
        return None
    return cpu


@cache
def triton_kernels() -> ModuleType | None:
    """Return the module `triton_path`, or None where it cannot run; loaded by the first CUDA mask.

    Triton needs a C compiler to reach the driver. ROCm is excluded although its devices are named
    cuda too: whether divisions are exact there has not been checked.
    """
    try:
        from sparsebench.pruning.kernels import triton_path
    except ImportError:
        return None
    has_compiler = os.environ.get("CC") or which("gcc") or which("clang")
    compiles = torch.version.hip is None and has_compiler
    return triton_path if compiles or triton_path.INTERPRETED else None


def is_interpreted() -> bool:
    """Return whether Triton's kernels run in its interpreter, and so can serve CPU tensors."""
    triton = triton_kernels()
    return triton is not None and bool(triton.INTERPRETED)


@contextmanager
def only(path: str) -> Iterator[None]:
    """Compute masks inside the block by one path, where that path serves the tensor.

    Used to compare paths. A tensor that the path does not serve (for example one on CUDA with
    ``compiled``) takes its usual path. Other threads are not affected.

    Args:
        path: ``"compiled"``, ``"torch"`` or ``"triton"``; with ``TRITON_INTERPRET=1``, triton
            serves CPU tensors too.

    Raises:
        ConfigError: the path is unknown or not available here: ``compiled`` without numba,
            ``triton`` without Triton or without a C compiler.
    """
    if path not in PATHS:
        raise ConfigError(unknown_name("path", path, PATHS))
    load = {"compiled": compiled_loops, "triton": triton_kernels}.get(path)
    if load is not None and load() is None:
        raise ConfigError(f"path: {_REQUIREMENTS[path]}")
    token = _requested.set(path)
    try:
        yield
    finally:
        _requested.reset(token)
