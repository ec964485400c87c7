"""Masks written in place by the fastest path of a device; every path gives the same bits.

A weight, a mask and a `Pattern` in, the mask's values out. Read `dispatch` first; `cpu` and
`loops` are the path on the CPU, `triton_*` the one on CUDA.
"""

from sparsebench.pruning.kernels.dispatch import CPU_PATHS, PATHS, is_interpreted, only, write_mask

__all__ = ["CPU_PATHS", "PATHS", "is_interpreted", "only", "write_mask"]
