"""Layers with weights, as nodes that channels pass: what each does to channels, how it shrinks.

:mod:`.layer` has the interface; each of the other modules has the layers of one kind.
"""

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.utils import parametrize

from sparsebench.pruning.structured.channels import ChannelTable
from sparsebench.pruning.structured.layers.convolution import (
    DepthwiseConvolution,
    LinearOrConvolution,
)
from sparsebench.pruning.structured.layers.layer import Layer
from sparsebench.pruning.structured.layers.lstm import LstmLayer
from sparsebench.pruning.structured.layers.normalization import NormOverChannels, PerChannelLayer

__all__ = ["Layer", "is_layer", "make_layer"]

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_LAYERS = (nn.Linear, *_CONVOLUTIONS, nn.LSTM, nn.PReLU, nn.LayerNorm, nn.GroupNorm, _NormBase)


def is_layer(module: nn.Module) -> bool:
    """Return whether ``module`` is of a kind known here and computes what that kind computes.

    A subclass does if it keeps the ``forward`` that it inherits from torch. A PReLU with one
    weight is an activation like others, and no layer.
    """
    if not isinstance(module, _LAYERS) or getattr(module, "num_parameters", 2) == 1:
        return False
    kind = parametrize.type_before_parametrizations(module)
    base = next(parent for parent in kind.__mro__ if parent.__module__.startswith("torch.nn."))
    methods = ("forward", "_conv_forward")
    return all(getattr(kind, name, None) is getattr(base, name, None) for name in methods)


def make_layer(module: nn.Module, table: ChannelTable, model: nn.Module) -> Layer:
    """Return the layer for a module of ``model`` for which :func:`is_layer` holds."""
    if isinstance(module, nn.LSTM):
        return LstmLayer(module, table)
    if isinstance(module, _CONVOLUTIONS) and module.groups == module.in_channels > 1:
        return DepthwiseConvolution(module, table)
    if isinstance(module, (nn.Linear, *_CONVOLUTIONS)):
        return LinearOrConvolution(module, table)
    if isinstance(module, nn.LayerNorm | nn.GroupNorm):
        return NormOverChannels(module, table, model)
    return PerChannelLayer(module, table)
