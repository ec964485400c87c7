"""Small models, seeded values and a comparison that the tests of the sparsifiers share."""

from typing import Any

import torch
from torch import Tensor, nn


def values(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator).to(dtype)


def assert_same(left: Any, right: Any) -> None:
    """Compare containers, and tensors in dtype and bits."""
    if isinstance(left, Tensor):
        assert left.dtype == right.dtype
        assert torch.equal(left, right)
    elif isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            assert_same(left[key], right[key])
    elif isinstance(left, list):
        assert len(left) == len(right)
        for pair in zip(left, right, strict=True):
            assert_same(*pair)
    else:
        assert left == right


def seeded(model: nn.Module) -> nn.Module:
    """Return the model with new values for every parameter, each from its own seed."""
    with torch.no_grad():
        for seed, parameter in enumerate(model.parameters()):
            parameter.copy_(values(*parameter.shape, seed=seed + 1))
    return model


class MLP(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 12)
        self.middle = nn.Sequential(nn.Linear(12, 12), nn.ReLU())
        self.last = nn.Linear(12, 4, bias=False)
        seeded(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.middle(self.first(x).relu()))
