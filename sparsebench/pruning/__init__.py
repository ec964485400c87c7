"""Weight sparsifiers under the public names of ``torch.ao.pruning``, independent of it.

A mask depends on the weights and the configuration only, and is bit-identical on every device.
``docs/semantics.md`` lists every rule and every deviation from upstream.

A model and a configuration in; masks on its tensors out. Read ``sparsifiers/base_sparsifier.py``
first, then ``masks`` and ``kernels``.

Structured pruning, data and activation sparsifiers and the Lightning callbacks are imported on
first use: together they would triple the import time.
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

_LAZY = {
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
_MODULE_OF = {name: module for module, names in _LAZY.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name, or a package itself, on first use."""
    if name in _LAZY:
        return import_module(f"{__name__}.{name}")
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
