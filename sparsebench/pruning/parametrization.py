"""The parametrization that applies a mask to a tensor, and finding it on a module."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from sparsebench.errors import ConfigError


class FakeSparsity(nn.Module):
    """Zeroes a tensor wherever ``mask`` is zero.

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
        if not _is_tracing() and self.mask.shape != x.shape:
            raise ConfigError(
                "FakeSparsity: the mask must have the tensor's shape, got "
                f"mask {tuple(self.mask.shape)} and tensor {tuple(x.shape)}"
            )
        return x.masked_fill(self.mask == 0, 0)


def parametrizations_of(module: nn.Module, tensor_name: str) -> parametrize.ParametrizationList:
    """The list of parametrizations on a tensor; ConfigError where the tensor has none."""
    if not parametrize.is_parametrized(module, tensor_name):
        raise ConfigError(
            f"{type(module).__name__}.{tensor_name}: must carry a mask, but has no parametrization;"
            " was it prepared, and not squashed since?"
        )
    found = module.parametrizations[tensor_name]  # type: ignore[index]  # torch types it as Tensor | Module
    assert isinstance(found, parametrize.ParametrizationList)
    return found


def masking_of(module: nn.Module, tensor_name: str) -> Any:
    """The first parametrization of a tensor that has a ``mask``: FakeSparsity or one like it."""
    for parametrization in _modules(parametrizations_of(module, tensor_name)):
        if isinstance(getattr(parametrization, "mask", None), Tensor):
            return parametrization
    raise ConfigError(f"{type(module).__name__}.{tensor_name}: no parametrization of it has a mask")


def has_mask(module: nn.Module, tensor_name: str) -> bool:
    """Whether a parametrization with a ``mask`` sits on the tensor."""
    return parametrize.is_parametrized(module, tensor_name) and any(
        isinstance(getattr(parametrization, "mask", None), Tensor)
        for parametrization in _modules(parametrizations_of(module, tensor_name))
    )


@torch.no_grad()
def unmasked_tensor(module: nn.Module, tensor_name: str) -> Tensor:
    """The tensor as it stands before its mask: the parameter, through whatever comes before."""
    chain = parametrizations_of(module, tensor_name)
    masking = masking_of(module, tensor_name)
    tensor: Any = chain.original if chain.is_tensor else _originals(chain)
    for parametrization in _modules(chain):
        if parametrization is masking:
            break
        tensor = parametrization(tensor) if isinstance(tensor, Tensor) else parametrization(*tensor)
    assert isinstance(tensor, Tensor)
    return tensor


def _is_tracing() -> bool:
    """Whether torch.jit.trace runs; it cannot record a comparison of shapes, and warns of it."""
    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]  # torch's stubs lack it


def _modules(chain: parametrize.ParametrizationList) -> Iterator[nn.Module]:
    return iter(chain)


def _originals(chain: parametrize.ParametrizationList) -> tuple[Tensor, ...]:
    return tuple(getattr(chain, f"original{i}") for i in range(chain.ntensors))
