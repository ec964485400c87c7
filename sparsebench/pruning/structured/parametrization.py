"""Row masks: the parametrization that applies one, and the hook that masks the layer's bias."""

from typing import TypeVar

import torch
from torch import Tensor, nn

from sparsebench.errors import ConfigError
from sparsebench.pruning.sparsifiers.parametrization import is_tracing

Hook = TypeVar("Hook")


class FakeStructuredSparsity(nn.Module):
    """Zeroes the rows (first dimension) of a tensor wherever ``mask`` is False.

    Args:
        mask: bool, shape (rows,). A buffer: it follows ``model.to(...)``, and is not in the model's
            ``state_dict`` (the pruner's holds it). Update it in place: others hold a reference.

    Source: ``torch.ao.pruning.FakeStructuredSparsity``. Deviates: a pruned row is exactly 0 even
    where the weight is infinite or NaN, and a prepared model loads its own ``state_dict``.
    """

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x``, shape (rows, ...) and any dtype, with the pruned rows set to 0."""
        if not is_tracing() and self.mask.shape != x.shape[:1]:
            raise ConfigError(
                "FakeStructuredSparsity: the mask must have one entry per row, got "
                f"mask {tuple(self.mask.shape)} and tensor {tuple(x.shape)}"
            )
        return zero_rows(x, self.mask)


class BiasHook:
    """Forward hook that adds the bias of a masked layer, which is stored in ``module._bias``.

    The layer itself runs without a bias. So the bias entries of pruned rows do not reach the
    output, and are not overwritten either: a row that is no longer masked has its bias again.

    Args:
        parametrization: its ``mask`` says which rows are pruned.
        prune_bias: whether a pruned row loses its bias too, else its output is that bias.

    Source: ``torch.ao.pruning.BiasHook``. Deviates: the bias is not edited, gets gradients, and
    is added along the channels of any input, batched or not, of a Linear of any rank.
    """

    def __init__(self, parametrization: nn.Module, prune_bias: bool) -> None:
        self.param = parametrization
        self.prune_bias = prune_bias

    def __call__(self, module: nn.Module, input: object, output: Tensor) -> Tensor:  # noqa: A002  # upstream's name
        """Return ``output`` plus the masked bias; ``output`` itself where the layer has none."""
        bias = self.bias(module)
        if bias is None:
            return output
        spatial_dims = len(getattr(module, "kernel_size", ()))  # they come after the channels
        return output + bias.reshape(-1, *[1] * spatial_dims)

    def bias(self, module: nn.Module) -> Tensor | None:
        """Return the masked bias, shape (rows,), or None."""
        bias = getattr(module, "_bias", None)
        if bias is None or not self.prune_bias:
            return bias
        mask = self.param.mask
        assert isinstance(mask, Tensor)
        return zero_rows(bias, mask)


def zero_rows(x: Tensor, mask: Tensor) -> Tensor:
    """Return ``x`` with row i set to 0 where ``mask[i]`` is 0."""
    return x.masked_fill((mask == 0).reshape(-1, *[1] * (x.dim() - 1)), 0)


def row_mask(module: nn.Module, tensor_name: str = "weight") -> Tensor | None:
    """Return the row mask on ``module.<tensor_name>`` as bools, or None."""
    lists = dict(getattr(module, "parametrizations", {}))  # a ModuleDict has no get
    for parametrization in lists.get(tensor_name, ()):
        if isinstance(parametrization, FakeStructuredSparsity):
            return parametrization.mask != 0
    return None


def hide_bias(module: nn.Module, parametrization: nn.Module, prune_bias: bool) -> None:
    """Move the bias, the same Parameter, to ``_bias``, and add it with a :class:`BiasHook`."""
    bias = module.bias
    if isinstance(bias, nn.Parameter):
        module.register_parameter("_bias", bias)
        module.register_parameter("bias", None)
    module.register_forward_hook(BiasHook(parametrization, prune_bias))


@torch.no_grad()
def restore_bias(module: nn.Module, masked: bool) -> None:
    """Undo :func:`hide_bias`, if it was called.

    Args:
        masked: whether the entries of pruned rows become 0 (unless ``prune_bias`` is False), else
            they have their values from before.
    """
    if not hooks_of_type(module, BiasHook):
        return
    values = effective_bias(module)
    remove_hooks(module, BiasHook)
    bias = getattr(module, "_bias", None)
    if isinstance(bias, nn.Parameter):
        del module._bias
        module.register_parameter("bias", bias)
        if masked and values is not None:
            bias.copy_(values)


def effective_bias(module: nn.Module) -> Tensor | None:
    """Return the bias that a Linear or convolution adds now, masked or not, shape (rows,)."""
    for hook in hooks_of_type(module, BiasHook).values():
        return hook.bias(module)
    bias = module.bias
    assert bias is None or isinstance(bias, Tensor)
    return bias


def hooks_of_type(module: nn.Module, kind: type[Hook]) -> dict[int, Hook]:
    """Return the forward hooks of one class, by torch's key."""
    return {key: hook for key, hook in module._forward_hooks.items() if isinstance(hook, kind)}


def remove_hooks(module: nn.Module, kind: type[object]) -> None:
    """Remove the forward hooks of one class."""
    for key in hooks_of_type(module, kind):
        del module._forward_hooks[key]
