"""Layouts of weights of any dimensions, and one level over all tensors."""

from math import prod
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from sparsebench.errors import ConfigError
from sparsebench.pruning import CubicSL, WeightNormSparsifier
from sparsebench.pruning.masks.layouts import LAYOUTS, from_matrix, matrix_shape, to_matrix
from tests.pruning.small_models import MLP, seeded, values

SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=5).map(tuple)


@given(SHAPES, st.sampled_from(LAYOUTS))
def test_from_matrix_inverts_to_matrix(shape: tuple[int, ...], layout: str) -> None:
    tensor = torch.arange(prod(shape)).view(shape)
    matrix = to_matrix(tensor, layout)
    assert matrix.shape == matrix_shape(shape, layout)
    assert torch.equal(from_matrix(matrix.clone(), shape, layout), tensor)


def test_out_kernel_in_orders_channels_last() -> None:
    tensor = torch.arange(6).view(1, 2, 3)  # two channels, a kernel of three
    assert to_matrix(tensor).tolist() == [[0, 1, 2, 3, 4, 5]]
    assert to_matrix(tensor, "out_kernel_in").tolist() == [[0, 3, 1, 4, 2, 5]]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("conv", [nn.Conv1d, nn.Conv2d, nn.Conv3d])
def test_convolutions_are_pruned_as_their_matrix(conv: Any, layout: str) -> None:
    model = seeded(conv(8, 4, 3))
    sparsifier = WeightNormSparsifier(1.0, (1, 4), 2, layout=layout)
    sparsifier.prepare(model, [{"tensor_fqn": "weight"}])
    sparsifier.step()
    mask = model.parametrizations.weight[0].mask
    assert mask.shape == model.weight.shape
    assert (to_matrix(mask, layout).reshape(-1, 4).sum(1) == 2).all()
    assert model(values(1, 8, *[5] * (mask.ndim - 2))).shape[1] == 4


@pytest.mark.parametrize("layout", LAYOUTS)
def test_memory_format_does_not_matter(layout: str) -> None:
    masks = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        model = seeded(nn.Conv2d(8, 4, 3)).to(memory_format=memory_format)
        sparsifier = WeightNormSparsifier(0.5, layout=layout)
        sparsifier.prepare(model, [{"tensor_fqn": "weight"}])
        sparsifier.step()
        masks.append(model.parametrizations.weight[0].mask)
    assert torch.equal(*masks)
    assert masks[0].double().mean() == 0.5


def test_a_bias_is_one_row() -> None:
    model = MLP()
    sparsifier = WeightNormSparsifier(1.0, (1, 4), 2)
    sparsifier.prepare(model, [{"tensor_fqn": "first.bias"}])
    sparsifier.step()
    assert (model.first.bias.view(-1, 4) == 0).sum(1).tolist() == [2, 2, 2]


@pytest.mark.parametrize("wrong", ["in_out", None])
def test_an_unknown_layout_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="unknown layout"):
        WeightNormSparsifier(layout=wrong).prepare(MLP(), None)


# --- level_scope="global" ---------------------------------------------------------------


def global_sparsifier(level: float, model: nn.Module, **settings: Any) -> WeightNormSparsifier:
    sparsifier = WeightNormSparsifier(level, level_scope="global", **settings)
    sparsifier.prepare(model, None)
    return sparsifier


def kept_weights(sparsifier: WeightNormSparsifier) -> list[torch.Tensor]:
    return [group["module"].parametrizations.weight[0].mask != 0 for group in sparsifier.groups]


@given(st.floats(0, 1))
def test_global_scope_prunes_the_lowest_of_all_tensors(level: float) -> None:
    model = MLP()
    layers = (model.first, model.middle[0], model.last)
    weights = torch.cat([layer.weight.detach().flatten() for layer in layers])
    sparsifier = global_sparsifier(level, model, sparse_block_shape=(1, 1))
    sparsifier.step()
    kept = torch.cat([mask.flatten() for mask in kept_weights(sparsifier)])
    count = max(0, min(round(level * len(weights)), len(weights) - (level < 1)))
    lowest = weights.abs().argsort(stable=True)[:count]
    expected = torch.ones_like(kept).index_fill(0, lowest, False)
    assert torch.equal(kept, expected)


def test_layers_of_small_weights_lose_more() -> None:
    model = MLP()
    with torch.no_grad():
        model.first.weight.mul_(0.01)
    sparsifier = global_sparsifier(0.3, model)
    sparsifier.step()
    first, middle, last = (mask.double().mean() for mask in kept_weights(sparsifier))
    assert first < middle
    assert first < last


def test_global_scope_of_one_tensor_equals_tensor_scope() -> None:
    masks = []
    for scope in ("tensor", "global"):
        sparsifier = WeightNormSparsifier(0.4, (2, 3), 4, level_scope=scope)
        sparsifier.prepare(seeded(nn.Linear(10, 7)), None)
        sparsifier.step()
        masks += kept_weights(sparsifier)
    assert torch.equal(*masks)


def test_a_scheduler_sets_the_global_level() -> None:
    sparsifier = global_sparsifier(0.8, MLP(), sparse_block_shape=(1, 1))
    scheduler = CubicSL(sparsifier, delta_t=1, total_t=3)
    for _ in range(4):
        sparsifier.step()
        scheduler.step()
    kept = torch.cat([mask.flatten() for mask in kept_weights(sparsifier)])
    assert (~kept).sum() == round(0.8 * kept.numel())


def test_different_levels_are_refused_and_masks_unchanged() -> None:
    sparsifier = global_sparsifier(0.5, MLP())
    sparsifier.groups[0]["sparsity_level"] = 0.6
    with pytest.raises(ConfigError, match="must be the same in all groups"):
        sparsifier.step()
    assert all(mask.all() for mask in kept_weights(sparsifier))


def test_an_unknown_scope_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown level_scope 'layer'"):
        WeightNormSparsifier(level_scope="layer")
