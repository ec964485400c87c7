"""The parametrization that applies a mask to a tensor, and finding it on a module."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from sparsebench.errors import ConfigError


class FakeSparsity(nn.Module):
    """Zeroes a tensor wherever ``mask`` is zero (or, were it ever so, below).

    The mask is a buffer, so it follows ``model.to(...)`` in device and dtype; it is not in the
    model's ``state_dict`` (the sparsifier's holds it). Update it in place: others hold a reference.

    Source: ``torch.ao.pruning.FakeSparsity``. Deviates: a pruned entry is exactly 0 even where the
    weight is infinite or NaN (upstream multiplies), the result keeps the tensor's dtype whatever
    the mask's is, and a prepared model loads its own ``state_dict`` in strict mode.
    """

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` with the pruned entries set to 0; the mask must have the shape of ``x``."""
        if not is_tracing() and self.mask.shape != x.shape:
            raise ConfigError(
                "FakeSparsity: the mask must have the tensor's shape, got "
                f"mask {tuple(self.mask.shape)} and tensor {tuple(x.shape)}"
            )
        if self.mask.dtype != x.dtype:
            return x.masked_fill(self.mask <= 0, 0)
        # Selects x where mask > 0, else 0, in one pass forward and one backward, at the cost of a
        # multiplication (1.7 ms for 4 M float32, where masked_fill takes 20), NaN or not.
        return torch.ops.aten.threshold_backward(x, self.mask, 0)  # type: ignore[no-any-return]  # torch types its operators as Any


def parametrizations_of(module: nn.Module, tensor_name: str) -> parametrize.ParametrizationList:
    """The list of parametrizations on a tensor; ConfigError where the tensor has none."""
    found = _found(module, tensor_name)
    if found is None:
        raise ConfigError(
            f"{type(module).__name__}.{tensor_name}: must carry a mask, but has no parametrization;"
            " was it prepared, and not squashed since?"
        )
    return found


def masking_of(module: nn.Module, tensor_name: str) -> Any:
    """The first parametrization of a tensor that has a ``mask``: FakeSparsity or one like it."""
    masking = _masking(parametrizations_of(module, tensor_name))
    if masking is None:
        raise ConfigError(
            f"{type(module).__name__}.{tensor_name}: no parametrization of it has a mask"
        )
    return masking


def has_mask(module: nn.Module, tensor_name: str) -> bool:
    """Whether a parametrization with a ``mask`` sits on the tensor."""
    found = _found(module, tensor_name)
    return found is not None and _masking(found) is not None


def unmasked_tensor(module: nn.Module, tensor_name: str) -> Tensor:
    """The tensor as it stands before its mask: the parameter, through whatever comes before."""
    chain = parametrizations_of(module, tensor_name)
    masking = _masking(chain) or masking_of(module, tensor_name)  # which says what is wrong
    if chain.is_tensor and next(_modules(chain)) is masking:
        return _original(chain)
    return _tensor_before(masking, chain)


@torch.no_grad()
def _tensor_before(masking: nn.Module, chain: parametrize.ParametrizationList) -> Tensor:
    tensor: Any = _original(chain) if chain.is_tensor else _originals(chain)
    for parametrization in _modules(chain):
        if parametrization is masking:
            break
        tensor = parametrization(tensor) if isinstance(tensor, Tensor) else parametrization(*tensor)
    assert isinstance(tensor, Tensor)
    return tensor


def is_tracing() -> bool:
    """Whether torch.jit.trace runs; it cannot record a comparison of shapes, and warns of it."""
    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]  # torch's stubs lack it


# A step asks these of every layer, so they read nn.Module's own dictionaries: attribute access
# passes through its __getattr__, at about 1 us a name.


def _found(module: nn.Module, tensor_name: str) -> parametrize.ParametrizationList | None:
    lists = module._modules.get("parametrizations")
    found = lists._modules.get(tensor_name) if isinstance(lists, nn.ModuleDict) else None
    return found if isinstance(found, parametrize.ParametrizationList) else None


def _masking(chain: parametrize.ParametrizationList) -> nn.Module | None:
    for parametrization in chain._modules.values():
        if parametrization is None:
            continue
        buffer = parametrization._buffers.get("mask")
        if buffer is not None or isinstance(getattr(parametrization, "mask", None), Tensor):
            return parametrization
    return None


def _original(chain: parametrize.ParametrizationList) -> Tensor:
    tensor: Tensor | None = chain._parameters.get("original")
    if tensor is None:
        tensor = chain._buffers["original"]
    assert tensor is not None
    return tensor


def _modules(chain: parametrize.ParametrizationList) -> Iterator[nn.Module]:
    return (module for module in chain._modules.values() if module is not None)


def _originals(chain: parametrize.ParametrizationList) -> tuple[Tensor, ...]:
    return tuple(getattr(chain, f"original{i}") for i in range(chain.ntensors))
