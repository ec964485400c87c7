"""The parametrization that applies a mask to a tensor, and its lookup on a module."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from sparsebench.errors import ConfigError


class FakeSparsity(nn.Module):
    """Zeroes a tensor wherever ``mask`` is zero or negative.

    Args:
        mask: shape of the tensor. A buffer: it follows ``model.to(...)`` in device and dtype, and
            is not in the model's ``state_dict`` (the sparsifier's holds it). Update it in place:
            others hold a reference.

    Source: ``torch.ao.pruning.FakeSparsity``. Deviates: a pruned entry is exactly 0 even where the
    weight is infinite or NaN (upstream multiplies), the result has the tensor's dtype whatever
    the mask's is, and a prepared model loads its own ``state_dict`` in strict mode.
    """

    mask: Tensor
    # Whether the gradient is sparse, as that of Embedding(sparse=True); prepare sets it.
    sparse_gradient = False

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` with the pruned entries set to 0; the mask must have the shape of ``x``."""
        if not is_tracing() and self.mask.shape != x.shape:
            raise ConfigError(
                "FakeSparsity: the mask must have the tensor's shape, got "
                f"mask {tuple(self.mask.shape)} and tensor {tuple(x.shape)}"
            )
        if self.sparse_gradient:
            return _SelectForSparseGradient.apply(x, self.mask)  # type: ignore[no-untyped-call, no-any-return]  # torch's
        if self.mask.dtype != x.dtype:
            return x.masked_fill(self.mask <= 0, 0)
        # Selects x where mask > 0, else 0, in one pass forward and one backward, at the cost of a
        # multiplication (1.7 ms for 4 M float32, where masked_fill takes 20), NaN or not.
        return torch.ops.aten.threshold_backward(x, self.mask, 0)  # type: ignore[no-any-return]  # torch types its operators as Any


class _SelectForSparseGradient(torch.autograd.Function):
    """Select x where mask > 0, else 0; a sparse gradient of rows stays sparse.

    torch's operators for the selection take dense gradients only.
    """

    @staticmethod
    def forward(x: Tensor, mask: Tensor) -> Tensor:
        return x.masked_fill(mask <= 0, 0)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:  # noqa: ARG004  # torch passes it
        ctx.mask = inputs[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        if gradient.layout != torch.sparse_coo:
            return gradient.masked_fill(ctx.mask <= 0, 0), None
        indices, values = gradient._indices(), gradient._values()
        pruned = ctx.mask[tuple(indices)] <= 0
        selected = torch.sparse_coo_tensor(
            indices,
            values.masked_fill(pruned, 0),
            gradient.shape,
            is_coalesced=gradient.is_coalesced(),
            check_invariants=False,  # the indices are a gradient's own
        )
        return selected, None


def add_parametrization(module: nn.Module, tensor_name: str, parametrization: nn.Module) -> None:
    """Register a parametrization on a tensor; :func:`remove_parametrizations` undoes it."""
    lists = module._modules.get("parametrizations")
    former = lists._modules.values() if isinstance(lists, nn.ModuleDict) else ()
    orders = (getattr(each, "parameter_order", None) for each in former)
    order = next((order for order in orders if order), tuple(module._parameters))
    if lists is not None:
        _give_own_class(module)
    parametrize.register_parametrization(module, tensor_name, parametrization)
    parametrizations_of(module, tensor_name).parameter_order = order  # type: ignore[assignment]  # a Module takes any attribute


def remove_parametrizations(module: nn.Module, tensor_name: str, *, masked: bool) -> None:
    """Remove a tensor's parametrizations; the module's parameters have their former order again.

    Optimizers save their states by position. torch puts a tensor behind all others instead.

    Args:
        module: holds the tensor.
        tensor_name: its name.
        masked: whether the tensor keeps the values that the parametrizations gave it.
    """
    order: Any = getattr(parametrizations_of(module, tensor_name), "parameter_order", ())
    _give_own_class(module)
    parametrize.remove_parametrizations(module, tensor_name, leave_parametrized=masked)
    first = [name for name in order if name in module._parameters]
    names = [*first, *(name for name in module._parameters if name not in first)]
    parameters = {name: module._parameters[name] for name in names}
    module._parameters.clear()
    module._parameters.update(parameters)


def _give_own_class(module: nn.Module) -> None:
    """Give a parametrized module a class that no copy of it has.

    torch makes a class with a property per parametrized tensor. ``copy.deepcopy`` keeps that class,
    so that a property that is added to a module or deleted would be the copy's, too.
    """
    former = type(module)
    own = {k: v for k, v in vars(former).items() if k not in ("__dict__", "__weakref__")}
    module.__class__ = type(former.__name__, former.__bases__, own)


def parametrizations_of(module: nn.Module, tensor_name: str) -> parametrize.ParametrizationList:
    """Return the parametrizations of a tensor; ConfigError if it has none."""
    parametrizations = _parametrizations_or_none(module, tensor_name)
    if parametrizations is None:
        raise ConfigError(
            f"{type(module).__name__}.{tensor_name}: must carry a mask, got a tensor without "
            "parametrization; prepare it first, if it was not squashed"
        )
    return parametrizations


def mask_parametrization(module: nn.Module, tensor_name: str) -> Any:
    """Return the first parametrization of a tensor that has a ``mask``, such as FakeSparsity."""
    parametrization = _first_with_mask(parametrizations_of(module, tensor_name))
    if parametrization is None:
        raise _without_mask(module, tensor_name)
    return parametrization


def has_mask(module: nn.Module, tensor_name: str) -> bool:
    """Return whether a tensor has a parametrization with a ``mask``."""
    parametrizations = _parametrizations_or_none(module, tensor_name)
    return parametrizations is not None and _first_with_mask(parametrizations) is not None


def unmasked_tensor(module: nn.Module, tensor_name: str) -> Tensor:
    """Return the tensor before its mask: the parameter, after any earlier parametrizations."""
    parametrizations = parametrizations_of(module, tensor_name)
    modules = [module for module in parametrizations._modules.values() if module is not None]
    with_mask = _first_with_mask(parametrizations)
    if with_mask is None:
        raise _without_mask(module, tensor_name)
    if parametrizations.is_tensor:
        tensor: Any = parametrizations._parameters.get("original")
        if tensor is None:
            tensor = parametrizations._buffers["original"]
    else:
        count = parametrizations.ntensors
        tensor = tuple(getattr(parametrizations, f"original{i}") for i in range(count))
    earlier = modules[: modules.index(with_mask)]
    if earlier:
        with torch.no_grad():
            for parametrization in earlier:
                inputs = (tensor,) if isinstance(tensor, Tensor) else tensor
                tensor = parametrization(*inputs)
    assert isinstance(tensor, Tensor)
    return tensor


def is_tracing() -> bool:
    """Return whether torch.jit.trace is running: it warns where Python compares shapes."""
    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]  # torch's stubs lack it


# A step calls these for every layer, so they read nn.Module's own dictionaries: attribute access
# passes through its __getattr__, at about 1 us per name.


def _parametrizations_or_none(
    module: nn.Module, tensor_name: str
) -> parametrize.ParametrizationList | None:
    lists = module._modules.get("parametrizations")
    parametrizations = lists._modules.get(tensor_name) if isinstance(lists, nn.ModuleDict) else None
    is_list = isinstance(parametrizations, parametrize.ParametrizationList)
    return parametrizations if is_list else None  # type: ignore[return-value]  # is_list says so


def _first_with_mask(parametrizations: parametrize.ParametrizationList) -> nn.Module | None:
    for parametrization in parametrizations._modules.values():
        if parametrization is None:
            continue
        buffer = parametrization._buffers.get("mask")
        if buffer is not None or isinstance(getattr(parametrization, "mask", None), Tensor):
            return parametrization
    return None


def _without_mask(module: nn.Module, tensor_name: str) -> ConfigError:
    return ConfigError(
        f"{type(module).__name__}.{tensor_name}: one of its parametrizations must have a mask, "
        "got none that does; prepare it first"
    )
