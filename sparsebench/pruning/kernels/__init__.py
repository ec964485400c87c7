"""Masks written in place by the fastest path of a device, with the same bits by every path.

A weight, a mask tensor and a `Pattern` in; the mask's values out. Read `dispatch` first: it
chooses the path. `cpu` and `loops` compute on the CPU, the `triton_*` modules on CUDA.
"""

from sparsebench.pruning.kernels.dispatch import CPU_PATHS, PATHS, is_interpreted, only, write_mask

__all__ = ["CPU_PATHS", "PATHS", "is_interpreted", "only", "write_mask"]
