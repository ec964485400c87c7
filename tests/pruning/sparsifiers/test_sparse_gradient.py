"""Embeddings with sparse gradients train under masks."""

import copy
from typing import Any

import pytest
import torch
from torch import nn

from sparsebench.pruning import WeightNormSparsifier

MODULES = {
    "embedding": lambda: nn.Embedding(10, 4, sparse=True),
    "bag": lambda: nn.EmbeddingBag(10, 4, sparse=True, mode="sum"),
}
TOKENS = torch.tensor([[1, 2, 1], [7, 2, 9]])


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("copies", [False, True])
def test_training_equals_that_of_the_masked_gradients(
    name: str, dtype: torch.dtype, copies: bool
) -> None:
    torch.manual_seed(0)
    plain: Any = MODULES[name]().to(dtype)
    masked = nn.Sequential(copy.deepcopy(plain))
    sparsifier = WeightNormSparsifier(0.5, (1, 1), 1)
    sparsifier.prepare(masked, [{"tensor_fqn": "0.weight"}])
    sparsifier.step()
    if copies:
        masked, sparsifier = copy.deepcopy((masked, sparsifier))
    mask = sparsifier.state["0.weight"]["mask"]
    plain.weight.data.mul_(mask)
    original = masked[0].parametrizations.weight.original
    optimizers = [torch.optim.SparseAdam(list(m.parameters()), lr=0.1) for m in (plain, masked)]
    for _ in range(3):
        plain(TOKENS).square().sum().backward()
        masked(TOKENS).square().sum().backward()
        assert original.grad.layout == torch.sparse_coo
        dense = plain.weight.grad.to_dense() * mask
        torch.testing.assert_close(original.grad.to_dense(), dense, rtol=0, atol=0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        plain.weight.data.mul_(mask)
    sparsifier.squash_mask()
    torch.testing.assert_close(masked[0].weight, plain.weight)


def test_a_dense_gradient_of_such_a_module_is_masked_too() -> None:
    masked = nn.Sequential(nn.Embedding(10, 4, sparse=True))
    sparsifier = WeightNormSparsifier(0.5, (1, 1), 1)
    sparsifier.prepare(masked, [{"tensor_fqn": "0.weight"}])
    sparsifier.step()
    (masked(TOKENS).sum() + masked[0].weight.sum()).backward()
    gradient = masked[0].parametrizations.weight.original.grad.to_dense()
    assert torch.equal(gradient != 0, sparsifier.state["0.weight"]["mask"] != 0)
