"""A mask's digest: equal digests, equal masks."""

from hashlib import sha256

import numpy as np
from torch import Tensor

TRACKED_BITS = 48  # what a float64, asv's number type, holds exactly with room to spare


def digest(mask: Tensor) -> str:
    """SHA-256, in hexadecimal, over the mask's shape and its packed bits.

    The shape enters as ``"rows x cols"`` would, as little-endian int64s; then the elements' truth
    values in row-major order, eight a byte, first element in the highest bit. Dtype, device and
    strides do not enter.
    """
    kept = (mask != 0).cpu().numpy()
    content = sha256(np.asarray(kept.shape, dtype="<i8").tobytes())
    content.update(np.packbits(kept).tobytes())
    return content.hexdigest()


def tracked(mask: Tensor) -> int:
    """The first 48 bits of :func:`digest`, as a number that asv can track."""
    return int(digest(mask)[: TRACKED_BITS // 4], 16)
