"""Weight sparsifiers under the public names of ``torch.ao.pruning``, self-contained.

Masks are a function of the weights and the configuration alone, bit-identical on every device; see
``docs/semantics.md`` for every rule and every deviation from upstream.
"""

from typing import Any

from sparsebench.pruning.activation import ActivationSparsifier
from sparsebench.pruning.base_sparsifier import BaseSparsifier
from sparsebench.pruning.data import (
    BaseDataScheduler,
    BaseDataSparsifier,
    DataNormSparsifier,
    post_training_sparse_quantize,
)
from sparsebench.pruning.formats import SparseLinear, to_bsr, to_csr, to_semi_structured
from sparsebench.pruning.fqn import fqn_to_module, get_arg_info_from_tensor_fqn, module_to_fqn
from sparsebench.pruning.nearly_diagonal_sparsifier import NearlyDiagonalSparsifier
from sparsebench.pruning.parametrization import FakeSparsity
from sparsebench.pruning.quantized import (
    get_dynamic_sparse_quantized_mapping,
    get_static_sparse_quantized_mapping,
)
from sparsebench.pruning.schedulers import BaseScheduler, CubicSL, LambdaSL
from sparsebench.pruning.structured import (
    BaseStructuredSparsifier,
    BiasHook,
    FakeStructuredSparsity,
    FPGMPruner,
    LSTMSaliencyPruner,
    SaliencyPruner,
)
from sparsebench.pruning.wanda_sparsifier import WandaSparsifier
from sparsebench.pruning.weight_norm_sparsifier import WeightNormSparsifier

__all__ = [
    "ActivationSparsifier",
    "BaseDataScheduler",
    "BaseDataSparsifier",
    "BaseScheduler",
    "BaseSparsifier",
    "BaseStructuredSparsifier",
    "BiasHook",
    "CubicSL",
    "DataNormSparsifier",
    "FPGMPruner",
    "FakeSparsity",
    "FakeStructuredSparsity",
    "LSTMSaliencyPruner",
    "LambdaSL",
    "NearlyDiagonalSparsifier",
    "SaliencyPruner",
    "SparseLinear",
    "WandaSparsifier",
    "WeightNormSparsifier",
    "fqn_to_module",
    "get_arg_info_from_tensor_fqn",
    "get_dynamic_sparse_quantized_mapping",
    "get_static_sparse_quantized_mapping",
    "module_to_fqn",
    "post_training_sparse_quantize",
    "to_bsr",
    "to_csr",
    "to_semi_structured",
]

_CALLBACKS = ("PostTrainingDataSparsity", "TrainingAwareDataSparsity")


def __getattr__(name: str) -> Any:
    """The Lightning callbacks, on first use: Lightning is not needed for anything else."""
    if name not in _CALLBACKS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from sparsebench.pruning.data import lightning_callbacks

    return getattr(lightning_callbacks, name)
