"""Weights that are bit-identical on every machine."""

import numpy as np
import torch
from torch import Tensor

from benchmarks.workloads.grid import Shape

SEED = 20240801
KINDS = ["random", "ones"]
_BITS = 24  # the width of float32's significand: every integer below 2**24 is exact


def weights(shape: Shape, kind: str, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return a weight of the given shape and dtype on the CPU.

    ``ones``: all 1, as in PyTorch's own benchmark: all scores are equal. ``random``: uniform
    multiples of 2**-23 in [-1, 1), exact in float32; half precisions round to nearest even.

    ``torch.randn`` is not used, because its vector code differs between processors. PCG64's raw
    stream is guaranteed by NumPy (NEP 19), and every operation on it here is exact.
    """
    if kind == "ones":
        return torch.ones(shape, dtype=dtype)
    if kind != "random":
        raise ValueError(f"weights: kind must be one of {', '.join(KINDS)}, got {kind!r}")
    raw = np.random.PCG64(SEED).random_raw(shape[0] * shape[1])
    integers = (raw >> np.uint64(64 - _BITS)).astype(np.int32) - (1 << (_BITS - 1))
    exact = integers.astype(np.float32) * np.float32(2.0 ** (1 - _BITS))
    return torch.from_numpy(exact).view(shape).to(dtype)
