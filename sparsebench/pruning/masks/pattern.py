"""Pruning patterns: checked settings on a shape, and how many blocks they select."""

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, isfinite
from numbers import Real

from sparsebench.errors import ConfigError

BlockShape = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Pattern:
    """The settings of a mask on one shape, checked, and what follows from them.

    Attributes:
        shape: (rows, cols) of the tensor.
        block: (rows, cols) of a block, from the tensor's zero index.
        zeros: zeros inside a selected block, at most its size.
        grid: (rows, cols) of blocks, edge blocks included.
        blocks: number of blocks.
        selected: number of blocks that get zeros, those of lowest score.
        value: 1 or 0 where the whole mask is constant; None where it depends on the weights.
    """

    shape: tuple[int, int]
    block: BlockShape
    zeros: int
    grid: tuple[int, int]
    blocks: int
    selected: int
    value: int | None


def pattern_of(
    shape: tuple[int, ...], sparsity_level: float, block: BlockShape, zeros_per_block: int | None
) -> Pattern:
    """Return the checked pattern of a configuration on a tensor of ``shape``; cached.

    Raises:
        ConfigError: see :func:`check_pattern`.
    """
    try:
        return _pattern_of(shape, sparsity_level, block, zeros_per_block)
    except TypeError:  # not hashable: a list as block, or an invalid setting
        check_pattern(shape, sparsity_level, block, zeros_per_block)
        return _pattern_of(shape, sparsity_level, (block[0], block[1]), zeros_per_block)


@lru_cache(maxsize=1024, typed=True)
def _pattern_of(
    shape: tuple[int, ...], sparsity_level: float, block: BlockShape, zeros_per_block: int | None
) -> Pattern:
    zeros = check_pattern(shape, sparsity_level, block, zeros_per_block)
    rows, cols = shape
    height, width = block
    grid = ceil(rows / height), ceil(cols / width)
    blocks = grid[0] * grid[1]
    selected = selected_blocks(blocks, sparsity_level)
    keeps_all = selected == 0 or zeros == 0
    prunes_all = selected == blocks and zeros == height * width
    value = 1 if keeps_all else 0 if prunes_all else None
    return Pattern((rows, cols), (height, width), zeros, grid, blocks, selected, value)


def is_constant(level: float, block: BlockShape, zeros_per_block: int | None) -> bool:
    """Return whether valid settings keep all or prune all elements of a tensor of any shape."""
    all_zeros = zeros_per_block is None or zeros_per_block == block[0] * block[1]
    return level <= 0 or zeros_per_block == 0 or (level >= 1 and all_zeros)


def selected_blocks(blocks: int, sparsity_level: float) -> int:
    """Return how many of ``blocks`` a level selects: none at <= 0, all at >= 1.

    In between: ``clamp(round(level * blocks), 0, blocks - 1)``, halves to even.
    """
    if sparsity_level >= 1:
        return blocks
    return max(0, min(round(sparsity_level * blocks), blocks - 1))


def check_pattern(
    shape: tuple[int, ...], sparsity_level: float, block: BlockShape, zeros_per_block: int | None
) -> int:
    """Check the settings and return the effective ``zeros_per_block`` (None: the block size).

    Raises:
        ConfigError: ``shape`` is not 2-D, a block side is not a positive integer,
            ``zeros_per_block`` is outside [0, block size], or the level is not a finite number.
    """
    if len(shape) != 2:
        raise ConfigError(f"tensor: must be 2-D, got shape={tuple(shape)}")
    check_block("sparse_block_shape", block)
    check_level(sparsity_level)
    size = block[0] * block[1]
    if zeros_per_block is None:
        return size
    if not _is_int(zeros_per_block) or not 0 <= zeros_per_block <= size:
        raise ConfigError(
            f"zeros_per_block: must be an integer in [0, {size}] for blocks of {tuple(block)}, "
            f"got {shown(zeros_per_block)}"
        )
    return zeros_per_block


def check_level(sparsity_level: object) -> None:
    """Raise ConfigError unless the level is a finite number (no text, no tensor)."""
    if not isinstance(sparsity_level, Real) or not isfinite(sparsity_level):
        raise ConfigError(f"sparsity_level: must be a finite number, got {shown(sparsity_level)}")


def shown(value: object) -> str:
    """Return ``value`` for a one-line message: its repr, or its type where that is long."""
    text = repr(value)
    return text if len(text) <= 60 and "\n" not in text else f"a {type(value).__name__}"


def check_block(name: str, block: object) -> None:
    """Raise ConfigError unless ``block`` is two positive integers; the message says ``name``."""
    is_pair = isinstance(block, (tuple, list)) and len(block) == 2
    if not is_pair or not all(_is_int(side) and side > 0 for side in block):  # type: ignore[attr-defined]  # is_pair implies it
        raise ConfigError(f"{name}: must be two positive integers, got {shown(block)}")


def check_nearliness(shape: tuple[int, ...], nearliness: int) -> None:
    """Check that a band of ``nearliness`` diagonals fits ``shape``.

    Raises:
        ConfigError: ``shape`` is not 2-D, or ``nearliness`` is positive and even, or its outermost
            diagonal is outside the tensor.
    """
    if len(shape) != 2:
        raise ConfigError(f"tensor: must be 2-D, got shape={tuple(shape)}")
    if not _is_int(nearliness) or (nearliness > 0 and nearliness % 2 == 0):
        raise ConfigError(f"nearliness: must be an odd integer, got {shown(nearliness)}")
    if nearliness > 0 and nearliness // 2 >= min(shape):
        raise ConfigError(
            f"nearliness: its outermost diagonal must be inside the tensor, got {nearliness} for "
            f"shape={tuple(shape)}"
        )


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
