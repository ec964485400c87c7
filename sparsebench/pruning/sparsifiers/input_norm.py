"""Weighing the inputs of a layer: the 2-norm of each feature over all that went in."""

import torch
from torch import Tensor, nn

_NAME = "activation_post_process"  # where torchao's observer sits, too


class InputNorm(nn.Module):
    """Sums the squares of each feature, in float64.

    The sums are no buffer: ``model.to(torch.bfloat16)`` must not round them. They are on the device
    of the last input.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sum_of_squares: Tensor | None = None

    @torch.no_grad()
    def forward(self, x: Tensor) -> None:
        """Add ``x``, shape (..., features), any float dtype."""
        wide = x.detach().to(torch.float64 if x.dtype == torch.float64 else torch.float32)
        squares = wide.flatten(0, -2).square().sum(0).double()
        former = self.sum_of_squares
        self.sum_of_squares = squares if former is None else former.to(squares) + squares

    def norm(self) -> Tensor:
        """The 2-norm of each feature, shape (features,), float64."""
        assert self.sum_of_squares is not None
        return self.sum_of_squares.sqrt()


def observe(module: nn.Module) -> InputNorm:
    """Weigh the inputs of ``module`` from now on; returns what sums them."""
    observer = observer_of(module)
    if observer is None:
        observer = InputNorm()
        module.add_module(_NAME, observer)
        module.register_forward_pre_hook(_add_input)
    return observer


def observer_of(module: nn.Module) -> InputNorm | None:
    """What sums the inputs of ``module``; None where nothing does."""
    observer = getattr(module, _NAME, None)
    return observer if isinstance(observer, InputNorm) else None


def stop_observing(module: nn.Module) -> None:
    """Undo :func:`observe`; does nothing where that was not called."""
    if observer_of(module) is None:
        return
    delattr(module, _NAME)
    for key, hook in list(module._forward_pre_hooks.items()):
        if hook is _add_input:
            del module._forward_pre_hooks[key]


def _add_input(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    observer = observer_of(module)
    if observer is not None and inputs:
        observer(inputs[0])
