"""Digests of masks: equal digests mean equal masks."""

from hashlib import sha256

import numpy as np
from torch import Tensor

TRACKED_BITS = 48  # a float64, asv's number type, holds integers of up to 53 bits exactly


def digest(mask: Tensor) -> str:
    """Return the SHA-256, in hexadecimal, of the mask's shape and its packed bits.

    First the shape (rows, cols) as little-endian int64; then one bit per element, 1 where it is not
    0, in row-major order, the first element in the highest bit of a byte. Dtype, device and strides
    do not matter.
    """
    bits = (mask != 0).cpu().numpy()
    content = sha256(np.asarray(bits.shape, dtype="<i8").tobytes())
    content.update(np.packbits(bits).tobytes())
    return content.hexdigest()


def tracked(mask: Tensor) -> int:
    """Return the first 48 bits of :func:`digest` as a number that asv can track."""
    return int(digest(mask)[: TRACKED_BITS // 4], 16)
