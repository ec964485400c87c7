"""Mappings from float modules to torch's sparse quantised ones.

This module and ``data/embeddings.py`` import ``torch.ao``, inside functions: their results are its
modules.
"""

import torch
from torch import nn

from sparsebench.errors import ConfigError

ModuleMapping = dict[type[nn.Module], type[nn.Module]]


def get_static_sparse_quantized_mapping() -> ModuleMapping:
    """Map Linear to ``torch.ao.nn.sparse.quantized.Linear``, for ``torch.ao.quantization.convert``.

    The kernels are fbgemm's, for blocks of (1, 4). First call
    ``squash_mask(params_to_keep=("sparse_block_shape",))``.

    Raises:
        ConfigError: ``torch.backends.quantized.engine`` is not fbgemm.
    """
    check_engine("fbgemm", "static")
    from torch.ao.nn.sparse import quantized

    return {nn.Linear: quantized.Linear}


def get_dynamic_sparse_quantized_mapping() -> ModuleMapping:
    """Map Linear to ``torch.ao.nn.sparse.quantized.dynamic.Linear``; otherwise as above.

    The kernels are qnnpack's, for blocks of (1, 4).

    Raises:
        ConfigError: ``torch.backends.quantized.engine`` is not qnnpack.
    """
    check_engine("qnnpack", "dynamic")
    from torch.ao.nn.sparse import quantized

    return {nn.Linear: quantized.dynamic.Linear}


def check_engine(needed: str, kind: str) -> None:
    """Raise ConfigError unless torch has the engine ``needed`` and uses it."""
    backend = torch.backends.quantized
    if needed not in backend.supported_engines:
        raise ConfigError(
            f"{kind} sparse quantisation: torch must be built with {needed}, which has the "
            f"kernels, got {', '.join(backend.supported_engines)}"
        )
    if backend.engine != needed:
        raise ConfigError(
            f"{kind} sparse quantisation: torch.backends.quantized.engine must be {needed!r}, "
            f"which has the kernels, got {backend.engine!r}; set it first"
        )
