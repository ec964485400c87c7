"""Sparse formats: Linear layers that store and compute without their zeros, for inference.

A squashed model in, the same model with its pruned layers as CSR, BSR or 2:4 out; and mappings to
torch's sparse quantised modules. Read `compressed` first.
"""

from sparsebench.pruning.formats.compressed import SparseLinear, to_bsr, to_csr
from sparsebench.pruning.formats.semi_structured import to_semi_structured

__all__ = ["SparseLinear", "to_bsr", "to_csr", "to_semi_structured"]
