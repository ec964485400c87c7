"""Weight sparsifiers under the public names of ``torch.ao.pruning``, self-contained.

Masks are a function of the weights and the configuration alone, bit-identical on every device; see
``docs/semantics.md`` for every rule and every deviation from upstream.

Structured pruning and what works on data and activations are imported on first use, and Lightning
with its callbacks: together they would triple the time that importing the weight sparsifiers takes.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sparsebench.pruning.formats import SparseLinear, to_bsr, to_csr, to_semi_structured
from sparsebench.pruning.formats.quantized import (
    get_dynamic_sparse_quantized_mapping,
    get_static_sparse_quantized_mapping,
)
from sparsebench.pruning.fqn import fqn_to_module, get_arg_info_from_tensor_fqn, module_to_fqn
from sparsebench.pruning.schedulers import BaseScheduler, CubicSL, LambdaSL
from sparsebench.pruning.sparsifiers.base_sparsifier import BaseSparsifier
from sparsebench.pruning.sparsifiers.nearly_diagonal_sparsifier import NearlyDiagonalSparsifier
from sparsebench.pruning.sparsifiers.parametrization import FakeSparsity
from sparsebench.pruning.sparsifiers.wanda_sparsifier import WandaSparsifier
from sparsebench.pruning.sparsifiers.weight_norm_sparsifier import WeightNormSparsifier

if TYPE_CHECKING:
    from sparsebench.pruning.activation import ActivationSparsifier
    from sparsebench.pruning.data import (
        BaseDataScheduler,
        BaseDataSparsifier,
        DataNormSparsifier,
        post_training_sparse_quantize,
    )
    from sparsebench.pruning.structured import (
        BaseStructuredSparsifier,
        BiasHook,
        FakeStructuredSparsity,
        FPGMPruner,
        LSTMSaliencyPruner,
        SaliencyPruner,
    )

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

_LATE = {
    "activation": ("ActivationSparsifier",),
    "data": (
        "BaseDataScheduler",
        "BaseDataSparsifier",
        "DataNormSparsifier",
        "post_training_sparse_quantize",
    ),
    "data.lightning_callbacks": ("PostTrainingDataSparsity", "TrainingAwareDataSparsity"),
    "structured": (
        "BaseStructuredSparsifier",
        "BiasHook",
        "FPGMPruner",
        "FakeStructuredSparsity",
        "LSTMSaliencyPruner",
        "SaliencyPruner",
    ),
}
_MODULE_OF = {name: module for module, names in _LATE.items() for name in names}


def __getattr__(name: str) -> Any:
    """A late name, or a late package by its own name."""
    if name in _LATE:
        return import_module(f"{__name__}.{name}")
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
