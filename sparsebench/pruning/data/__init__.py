"""Sparsifiers of tensors without a model, and of embeddings; their schedulers and callbacks.

Named tensors in, masks per name out, held by the sparsifier. Read `base_data_sparsifier` first.
"""

from sparsebench.pruning.data.base_data_scheduler import BaseDataScheduler
from sparsebench.pruning.data.base_data_sparsifier import BaseDataSparsifier
from sparsebench.pruning.data.data_norm_sparsifier import DataNormSparsifier
from sparsebench.pruning.data.embeddings import post_training_sparse_quantize

__all__ = [
    "BaseDataScheduler",
    "BaseDataSparsifier",
    "DataNormSparsifier",
    "post_training_sparse_quantize",
]
