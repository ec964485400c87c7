"""Small models and seeded values that the tests of the sparsifiers share."""

import torch
from torch import Tensor, nn


def values(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator).to(dtype)


def seeded(model: nn.Module) -> nn.Module:
    """The model with every parameter drawn anew, a different seed each."""
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
