"""post_training_sparse_quantize: exact zeros, module types, and refusals that change nothing."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sparsebench.errors import ConfigError
from sparsebench.pruning import DataNormSparsifier, post_training_sparse_quantize
from tests.pruning.small_models import seeded

quantized = pytest.importorskip("torch.ao.nn.quantized")
pytestmark = pytest.mark.filterwarnings("ignore:.*quantize_per_tensor.*:UserWarning")
SETTINGS: dict[str, Any] = {"sparsity_level": 0.75, "sparse_block_shape": (1, 1)}


class EmbeddingModel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.items = nn.Embedding(40, 8)
        self.history = nn.EmbeddingBag(50, 8, mode="sum")
        self.nested = nn.ModuleDict({"a": nn.Embedding(10, 4)})
        self.nested_a = nn.Embedding(12, 4)
        self.score = nn.Linear(16, 1)
        seeded(self)

    def forward(self, item: Tensor, history: Tensor) -> Tensor:
        return self.score(torch.cat([self.items(item), self.history(history)], dim=1))


def pruned(sparsify_first: bool = True, **settings: Any) -> EmbeddingModel:
    model = EmbeddingModel()
    post_training_sparse_quantize(
        model, DataNormSparsifier, sparsify_first, **{**SETTINGS, **settings}
    )
    return model


@pytest.mark.parametrize("sparsify_first", [True, False])
def test_embeddings_are_quantised_and_have_exact_zeros(sparsify_first: bool) -> None:
    model = pruned(sparsify_first)
    assert type(model.items) is type(model.nested["a"]) is quantized.Embedding
    assert type(model.history) is quantized.EmbeddingBag
    assert type(model.score) is nn.Linear
    for module in (model.items, model.history, model.nested["a"], model.nested_a):
        weight = module.weight().dequantize()
        assert (weight == 0).double().mean() >= 0.75


@pytest.mark.parametrize("sparsify_first", [True, False])
def test_kernels_give_near_values_and_exact_zeros(
    sparsify_first: bool,
) -> None:
    model, original = pruned(sparsify_first), EmbeddingModel()
    rows = torch.arange(50)
    weight = original.history.weight.detach()
    result = model.history(rows, rows)
    stored = model.history.weight().dequantize()
    assert torch.equal(result == 0, stored == 0)
    kept = stored != 0
    step = (weight.amax(1) - weight.amin(1)) / 255
    assert ((result - weight).abs() <= 1.01 * step[:, None])[kept].all()


def test_upstream_loses_zeros() -> None:
    upstream = pytest.importorskip("torch.ao.pruning._experimental.data_sparsifier")
    utils = pytest.importorskip("torch.ao.pruning._experimental.data_sparsifier.quantization_utils")
    model = EmbeddingModel()
    with pytest.warns((UserWarning, DeprecationWarning)):
        utils.post_training_sparse_quantize(
            model, upstream.DataNormSparsifier, select_embeddings=[model.nested_a], **SETTINGS
        )
    assert (model.nested_a.weight().dequantize() == 0).double().mean() < 0.75


def test_the_models_output_is_near_that_of_the_original() -> None:
    model, original = pruned(sparsity_level=0.0), EmbeddingModel()
    item, history = torch.arange(5), torch.arange(15).view(5, 3)
    torch.testing.assert_close(model(item, history), original(item, history), atol=0.2, rtol=0.05)


def test_only_selected_embeddings_change() -> None:
    model = EmbeddingModel()
    items = model.items
    weight = items.weight.detach().clone()
    post_training_sparse_quantize(model, DataNormSparsifier, select_embeddings=[items], **SETTINGS)
    assert type(model.items) is quantized.Embedding
    assert type(model.history) is nn.EmbeddingBag
    assert torch.equal(items.weight, weight)


def test_rows_without_a_value_are_zero() -> None:
    assert not pruned(sparsity_level=1.0).items(torch.arange(40)).any()


def test_a_module_under_two_names_is_replaced_under_both() -> None:
    model = EmbeddingModel()
    model.also = model.items
    post_training_sparse_quantize(model, DataNormSparsifier, **SETTINGS)
    assert model.also is model.items
    assert type(model.also) is quantized.Embedding


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        (nn.Embedding(4, 4), {}, "must hold Embedding"),
        (nn.Linear(4, 4), {}, "must hold Embedding"),
        (EmbeddingModel().to("meta"), {}, "'items' must be on the CPU"),
        (EmbeddingModel(), {"select_embeddings": [nn.Embedding(2, 2)]}, "embeddings of the model"),
        (EmbeddingModel(), {"zeros_per_block": 9}, "zeros_per_block"),
    ],
)
def test_refusals_do_not_change_the_model(
    model: nn.Module, settings: dict[str, Any], message: str
) -> None:
    before = [type(module) for module in model.modules()]
    with pytest.raises(ConfigError, match=message):
        post_training_sparse_quantize(model, DataNormSparsifier, **{**SETTINGS, **settings})
    assert [type(module) for module in model.modules()] == before


def test_other_modules_are_not_changed() -> None:
    assert torch.equal(pruned().score.weight, EmbeddingModel().score.weight)
