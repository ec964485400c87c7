"""Layers with weights, as nodes that channels pass: one file a kind."""

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.utils import parametrize

from sparsebench.pruning.structured.channels import ChannelTable
from sparsebench.pruning.structured.layers.depthwise import Depthwise
from sparsebench.pruning.structured.layers.layer import Going, Layer, Unsupported
from sparsebench.pruning.structured.layers.lstm import Lstm
from sparsebench.pruning.structured.layers.per_channel import PerChannel
from sparsebench.pruning.structured.layers.projection import Projection
from sparsebench.pruning.structured.layers.widened import WholeNorm

__all__ = ["Going", "Layer", "Unsupported", "is_layer", "make_layer"]

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_LAYERS = (nn.Linear, *_CONVOLUTIONS, nn.LSTM, nn.PReLU, nn.LayerNorm, nn.GroupNorm, _NormBase)


def is_layer(module: nn.Module | None) -> bool:
    """Whether ``module`` is of a kind known here and computes what that kind computes.

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
    """The node for a module for which :func:`is_layer` holds."""
    if isinstance(module, nn.LSTM):
        return Lstm(module, table)
    if isinstance(module, _CONVOLUTIONS) and module.groups == module.in_channels > 1:
        return Depthwise(module, table)
    if isinstance(module, (nn.Linear, *_CONVOLUTIONS)):
        return Projection(module, table)
    if isinstance(module, nn.LayerNorm | nn.GroupNorm):
        return WholeNorm(module, table, model)
    return PerChannel(module, table)
