"""After ``squash_mask``: storing zeros away, so that a model really runs sparse."""

from sparsebench.pruning.formats.compressed import SparseLinear, to_bsr, to_csr
from sparsebench.pruning.formats.semi_structured import to_semi_structured

__all__ = ["SparseLinear", "to_bsr", "to_csr", "to_semi_structured"]
