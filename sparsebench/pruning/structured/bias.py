"""The bias of a masked layer: set aside while its weight is masked, given back afterwards."""

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from sparsebench.pruning.sparsifiers.parametrization import masking_of
from sparsebench.pruning.structured.gates import FlatWeightsHook, GateBias, GateSparsity
from sparsebench.pruning.structured.parametrization import BiasHook, FakeStructuredSparsity

WITH_BIAS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)

Hook = TypeVar("Hook")


def mask_bias(module: nn.Module, tensor_name: str, prune_bias: bool) -> None:
    """Have the bias that belongs to a masked weight follow its mask; others have none."""
    if isinstance(module, WITH_BIAS) and tensor_name == "weight":
        _hide(module, masking_of(module, tensor_name), prune_bias)
    elif isinstance(module, nn.LSTM):
        _mask_gates(module, tensor_name)
        _link(module, tensor_name)


def release_bias(module: nn.Module, tensor_name: str, masked: bool) -> None:
    """Undo :func:`mask_bias`; the bias keeps its masked values or gets its own back."""
    if isinstance(module, nn.LSTM):
        name = _bias_name(tensor_name)
        if parametrize.is_parametrized(module, name):
            parametrize.remove_parametrizations(module, name, leave_parametrized=masked)
        if not parametrize.is_parametrized(module):
            _remove_hooks(module, FlatWeightsHook)
    elif tensor_name == "weight" and _hooks(module, BiasHook):
        _show(module, effective_bias(module) if masked else None)


def unlink(module: nn.Module, tensor_name: str) -> None:
    """Let the other matrix of an LSTM's layer be masked by itself."""
    for name in _pair(tensor_name):
        gates = _gate_sparsity(module, name)
        if gates is not None:
            gates.siblings = ()


def effective_bias(module: nn.Module) -> Tensor | None:
    """The bias that a Linear or convolution adds now, masked or not, shape (rows,)."""
    for hook in _hooks(module, BiasHook).values():
        return hook.bias(module)
    bias = module.bias
    assert bias is None or isinstance(bias, Tensor)
    return bias


def _hide(module: nn.Module, parametrization: nn.Module, prune_bias: bool) -> None:
    """Move the bias, the same Parameter, to ``_bias`` and have a hook add it."""
    bias = module.bias
    if isinstance(bias, nn.Parameter):
        module.register_parameter("_bias", bias)
        module.register_parameter("bias", None)
    module.register_forward_hook(BiasHook(parametrization, prune_bias))


@torch.no_grad()
def _show(module: nn.Module, values: Tensor | None) -> None:
    """Move the bias back, the same Parameter, with new values if they are given."""
    _remove_hooks(module, BiasHook)
    bias = getattr(module, "_bias", None)
    if isinstance(bias, nn.Parameter):
        del module._bias
        module.register_parameter("bias", bias)
        bias.copy_(bias if values is None else values)


def _mask_gates(lstm: nn.LSTM, tensor_name: str) -> None:
    weight, name = masking_of(lstm, tensor_name), _bias_name(tensor_name)
    if lstm.bias and isinstance(weight, FakeStructuredSparsity):
        parametrize.register_parametrization(lstm, name, GateBias(weight))
    if not _hooks(lstm, FlatWeightsHook):
        lstm.register_forward_hook(FlatWeightsHook())


def _link(lstm: nn.LSTM, tensor_name: str) -> None:
    """Tell the two matrices of a layer of each other, once both are masked."""
    siblings = [_gate_sparsity(lstm, name) for name in _pair(tensor_name)]
    pair = tuple(gates for gates in siblings if gates is not None)
    if len(pair) == len(siblings) and lstm.proj_size == 0:
        for gates in pair:
            gates.siblings = pair


def _pair(tensor_name: str) -> tuple[str, str]:
    """``weight_ih_*`` and ``weight_hh_*`` of the layer and direction that one of them names."""
    suffix = tensor_name.removeprefix("weight_ih").removeprefix("weight_hh")
    return f"weight_ih{suffix}", f"weight_hh{suffix}"


def _bias_name(tensor_name: str) -> str:
    return tensor_name.replace("weight", "bias", 1)


def _gate_sparsity(module: nn.Module, tensor_name: str) -> GateSparsity | None:
    if not parametrize.is_parametrized(module, tensor_name):
        return None
    found = masking_of(module, tensor_name)
    return found if isinstance(found, GateSparsity) else None


def _hooks(module: nn.Module, kind: type[Hook]) -> dict[int, Hook]:
    return {key: hook for key, hook in module._forward_hooks.items() if isinstance(hook, kind)}


def _remove_hooks(module: nn.Module, kind: type[object]) -> None:
    for key in _hooks(module, kind):
        del module._forward_hooks[key]
