"""CSR and BSR: layers that store and multiply only the kept weights, or blocks."""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sparsebench.errors import ConfigError
from sparsebench.pruning.conversion import replace_modules
from sparsebench.pruning.formats.selection import LayerFilter, selected_linears
from sparsebench.pruning.masks.pattern import BlockShape, check_block

Multiply = Callable[[Tensor, Tensor], Tensor]
_MIN_TRITON_ROWS = 16  # its kernels take 16 rows or a larger power of two


class SparseLinear(nn.Module):
    """A Linear whose weight is stored as CSR or BSR; for inference.

    Args:
        weight: shape (out, in), in a sparse compressed layout.
        bias: shape (out,), or None.

    Raises:
        ConfigError: torch has no kernel for this layout, dtype and device.
    """

    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias.detach(), requires_grad=False)
        self._multiply: Multiply | None = _supported_product(weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x @ weight.T + bias`` for ``x`` of shape (..., in), in the weight's dtype.

        Under autocast, too: torch has no sparse products in its dtypes on the CPU.

        Raises:
            ConfigError: the module was moved or cast to where torch has no kernel for it.
        """
        if self._multiply is None:
            self._multiply = _supported_product(self.weight)
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(self.weight.dtype)
        with torch.autocast(x.device.type, enabled=False):
            rows = x.reshape(-1, self.in_features)
            if rows.requires_grad and torch.is_grad_enabled():
                out = _WithInputGradient.apply(rows, self.weight, self._multiply)  # type: ignore[no-untyped-call]  # torch's
            else:
                out = self._multiply(self.weight, rows)
            out = out if self.bias is None else out + self.bias
            shaped: Tensor = out.reshape(*x.shape[:-1], self.out_features)
            return shaped

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "SparseLinear":
        """As in Module; torch itself changes the weight's dtype, but not that of its values."""
        weight = self.weight
        self._parameters["weight"] = None
        try:
            super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch's
            changed = fn(weight.detach())
            weight = nn.Parameter(changed, weight.requires_grad)
        finally:
            self._parameters["weight"] = weight
        self._multiply = None  # another dtype or device may need another kernel
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "SparseLinear":
        """Copy; a Parameter cannot copy a sparse compressed tensor itself."""
        copied = type(self).__new__(type(self))
        memo[id(self)] = copied
        weight = nn.Parameter(self.weight.detach().clone(), self.weight.requires_grad)
        memo[id(self.weight)] = weight
        copied.__dict__ = copy.deepcopy(self.__dict__, memo)
        return copied

    def extra_repr(self) -> str:
        """Return sizes, layout and the share of weights that is stored."""
        stored = self.weight.values().numel() / (self.out_features * self.in_features)
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"layout={self.weight.layout}, stored={stored:.3f}"
        )


class _WithInputGradient(torch.autograd.Function):
    """The product with a gradient of its input, by the dense weight: BSR has no kernel for it."""

    @staticmethod
    def forward(rows: Tensor, weight: Tensor, multiply: Multiply) -> Tensor:
        return multiply(weight, rows)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Multiply], output: Tensor) -> None:  # noqa: ARG004  # torch passes it
        ctx.weight = inputs[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient @ ctx.weight.to_dense(), None, None


def to_csr(model: nn.Module, filter_fn: LayerFilter | None = None) -> nn.Module:
    """Return ``model`` with its pruned Linear layers as CSR, in place; for single zeros.

    Args:
        model: squashed; float32 or float64 on the CPU, also half precisions on CUDA.
        filter_fn: selects layers, see :func:`selection.selected_linears`.

    Raises:
        ConfigError: a layer cannot run in this format; nothing was changed.
    """
    return _convert_linears(model, filter_fn, lambda layer: layer.weight.detach().to_sparse_csr())


def to_bsr(
    model: nn.Module, block_shape: BlockShape | None = None, filter_fn: LayerFilter | None = None
) -> nn.Module:
    """Return ``model`` with its pruned Linear layers as BSR, in place; for blocks of zeros.

    Args:
        model, filter_fn: as in :func:`to_csr`.
        block_shape: (rows, cols), which must divide the weight's shape, and on the CPU be square;
            None: the ``sparse_block_shape`` that ``squash_mask(params_to_keep=...)`` left on each
            layer.

    Raises:
        ConfigError: a layer cannot run in this format, or has no block of zeros, so that it would
            be slower than before; nothing was changed.
    """
    return _convert_linears(model, filter_fn, partial(_to_bsr, block_shape))


def _convert_linears(
    model: nn.Module, filter_fn: LayerFilter | None, store: Callable[[nn.Linear], Tensor]
) -> nn.Module:
    layers = selected_linears(model, filter_fn)
    if "" in layers:
        raise ConfigError("formats: model must contain its Linear, got a Linear; wrap it")
    replacements: dict[int, nn.Module] = {}
    for name, layer in layers.items():
        try:
            replacements[id(layer)] = SparseLinear(store(layer), layer.bias)
        except ConfigError as error:
            raise ConfigError(f"formats: {name!r}: {error}") from None
    replace_modules(model, replacements)
    return model


def _to_bsr(block_shape: BlockShape | None, layer: nn.Linear) -> Tensor:
    block = block_shape or getattr(layer, "sparse_params", {}).get("sparse_block_shape")
    if block is None:
        raise ConfigError(
            "block_shape must be given, or kept by squash_mask(params_to_keep="
            "('sparse_block_shape',)), got neither"
        )
    check_block("block_shape", block)
    shape = tuple(layer.weight.shape)
    if any(length % side for length, side in zip(shape, block, strict=True)):
        raise ConfigError(f"block_shape must divide the weight's {shape}, got {tuple(block)}")
    stored = layer.weight.detach().to_sparse_bsr(tuple(block))
    if stored.values().numel() == layer.weight.numel():
        raise ConfigError(
            f"at least one block of {tuple(block)} must be zero, got none; prune with that "
            "sparse_block_shape"
        )
    return stored


# Pickled models name _weight_times_input and _padded: do not rename them.


def _weight_times_input(weight: Tensor, rows: Tensor) -> Tensor:
    """Multiply as weight @ rows.T: 5 times as fast as F.linear on the CPU (2048x2048, 256 rows)."""
    return (weight @ rows.t()).t()


def _padded(weight: Tensor, rows: Tensor) -> Tensor:
    """Multiply with padded rows, as Triton's block kernels (half precisions on CUDA) require."""
    count = len(rows)
    padded = max(_MIN_TRITON_ROWS, 1 << (count - 1).bit_length()) if count else _MIN_TRITON_ROWS
    return _weight_times_input(weight, F.pad(rows, (0, 0, 0, padded - count)))[:count]


def _supported_product(weight: Tensor) -> Multiply:
    """Return the first product that torch has a kernel for; tried on three rows."""
    rows = torch.zeros(3, weight.shape[1], dtype=weight.dtype, device=weight.device)
    reasons: list[str] = []
    for multiply in (_weight_times_input, F.linear, _padded):
        try:
            with torch.autocast(weight.device.type, enabled=False):
                multiply(weight, rows)
        except (RuntimeError, NotImplementedError, ValueError) as error:
            reasons.append(str(error).splitlines()[0])
        else:
            return multiply
    raise ConfigError(
        f"torch must have a kernel for {weight.layout} of {weight.dtype} on {weight.device.type}, "
        f"got its error: {reasons[0]}"
    )
