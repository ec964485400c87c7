"""The parametrization that zeroes whole rows, and the hook that gives a masked layer its bias."""

from torch import Tensor, nn

from sparsebench.errors import ConfigError
from sparsebench.pruning.sparsifiers.parametrization import is_tracing


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
        """``x``, shape (rows, ...) and any dtype, with the pruned rows set to 0."""
        if not is_tracing() and self.mask.shape != x.shape[:1]:
            raise ConfigError(
                "FakeStructuredSparsity: the mask must have an entry a row, got "
                f"mask {tuple(self.mask.shape)} and tensor {tuple(x.shape)}"
            )
        return zero_rows(x, self.mask)


class BiasHook:
    """The forward hook that adds a masked layer's bias, kept whole in ``module._bias``.

    The layer itself runs without a bias, so that the entries of pruned rows stay out of the
    output without being destroyed: a row that comes back finds its bias.

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
        """``output`` plus the bias in force; ``output`` itself where the layer has none."""
        bias = self.bias(module)
        if bias is None:
            return output
        behind = len(getattr(module, "kernel_size", ()))  # dimensions after the channels
        return output + bias.reshape(-1, *[1] * behind)

    def bias(self, module: nn.Module) -> Tensor | None:
        """The bias in force, shape (rows,), or None."""
        bias = getattr(module, "_bias", None)
        if bias is None or not self.prune_bias:
            return bias
        mask = self.param.mask
        assert isinstance(mask, Tensor)
        return zero_rows(bias, mask)


def zero_rows(x: Tensor, mask: Tensor) -> Tensor:
    """``x`` with row i set to 0 where ``mask[i]`` is 0."""
    return x.masked_fill((mask == 0).reshape(-1, *[1] * (x.dim() - 1)), 0)


def structured_mask(module: nn.Module, tensor_name: str = "weight") -> Tensor | None:
    """The row mask on ``module.<tensor_name>`` as bools, or None."""
    lists = dict(getattr(module, "parametrizations", {}))  # a ModuleDict has no get
    for parametrization in lists.get(tensor_name, ()):
        if isinstance(parametrization, FakeStructuredSparsity):
            return parametrization.mask != 0
    return None
