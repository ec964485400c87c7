"""A tensor that several modules hold: one group, one mask, one Parameter."""

import copy
import io
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sparsebench.errors import ConfigError
from sparsebench.pruning import SaliencyPruner, WandaSparsifier, WeightNormSparsifier
from tests.pruning.small_models import values


class TiedLM(nn.Module):
    """An embedding whose weight is the head's, and a Linear of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.emb, self.inner = nn.Embedding(8, 6), nn.Linear(6, 6)
        self.head = nn.Linear(6, 8, bias=False)
        self.head.weight = self.emb.weight

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.head(self.inner(self.emb(tokens)))
        return out


def tied_linears() -> nn.Sequential:
    model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.ReLU(), nn.Linear(4, 4, bias=False))
    model[2].weight = model[0].weight
    return model


def weight_norm(level: float = 0.5, **settings: Any) -> WeightNormSparsifier:
    return WeightNormSparsifier(level, (1, 1), 1, **settings)


TOKENS = torch.arange(8)


@pytest.mark.parametrize(
    "config", [None, ["head.weight"], ["emb.weight"], ["emb.weight", "head.weight"]]
)
def test_embedding_and_head_have_one_mask_and_stay_one_parameter(config: list[str] | None) -> None:
    model, sparsifier = TiedLM(), weight_norm()
    weight = model.emb.weight
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    named = config and [{"tensor_fqn": name} for name in config]
    sparsifier.prepare(model, named)
    sparsifier.step()
    tied = [group for group in sparsifier.groups if group["tensor_fqn"] != "inner.weight"]
    assert len(tied) == 1
    assert model.emb.weight.eq(0).sum() == 24
    assert torch.equal(model.emb.weight, model.head.weight)
    assert len(list(model.parameters())) == len(list(TiedLM().parameters()))
    model(TOKENS).sum().backward()
    optimizer.step()
    sparsifier.step()
    masked = model(TOKENS)
    sparsifier.squash_mask()
    assert torch.equal(model(TOKENS), masked)
    assert model.head.weight is model.emb.weight is weight
    assert list(model.state_dict()) == list(TiedLM().state_dict())


def test_a_tied_tensor_counts_once_in_a_global_level() -> None:
    model = tied_linears()
    model.append(nn.Linear(4, 4, bias=False))
    model[0].weight.data = values(4, 4) + 10
    model[3].weight.data = values(4, 4, seed=1)
    sparsifier = weight_norm(0.5, level_scope="global")
    sparsifier.prepare(model, None)
    sparsifier.step()
    assert [group["tensor_fqn"] for group in sparsifier.groups] == ["0.weight", "3.weight"]
    assert [int(layer.weight.eq(0).sum()) for layer in (model[0], model[2], model[3])] == [0, 0, 16]


def test_two_names_with_different_settings_are_refused_and_nothing_changes() -> None:
    model, sparsifier = tied_linears(), weight_norm()
    config = [{"tensor_fqn": "0.weight"}, {"tensor_fqn": "2.weight", "sparsity_level": 0.9}]
    with pytest.raises(
        ConfigError, match=r"'0.weight' and '2.weight' are one tensor and must have"
    ):
        sparsifier.prepare(model, config)
    assert not hasattr(model[0], "parametrizations")
    assert sparsifier.groups == []
    with pytest.raises(ConfigError, match="must be named once"):
        sparsifier.prepare(model, [{"tensor_fqn": "0.weight"}] * 2)


def test_copies_files_and_devices_keep_the_tie() -> None:
    model, sparsifier = TiedLM(), weight_norm()
    sparsifier.prepare(model, None)
    sparsifier.step()
    copied, second = copy.deepcopy((model, sparsifier))
    file = io.BytesIO()
    torch.save(sparsifier.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file))
    copied.double()
    copied.emb.parametrizations.weight.original.data.neg_()
    second.step()
    assert torch.equal(copied.emb.weight, copied.head.weight)
    second.squash_mask()
    assert copied.emb.weight is copied.head.weight
    assert model.emb.weight.dtype == torch.float32  # squashing a copy leaves the original alone
    assert torch.equal(model.emb.weight, model.head.weight)


def test_a_state_is_loaded_into_a_tied_model_that_is_not_masked_yet() -> None:
    first, second = TiedLM(), TiedLM()
    second.load_state_dict(first.state_dict())
    source, target = weight_norm(), weight_norm()
    source.prepare(first, None)
    source.step()
    target.prepare(second, [{"tensor_fqn": "inner.weight"}])
    target.load_state_dict(source.state_dict())
    assert torch.equal(second(TOKENS), first(TOKENS))
    target.load_state_dict(source.state_dict() | {"groups": [], "state": {}})
    assert second.emb.weight is second.head.weight


def test_the_inputs_of_all_layers_that_share_a_weight_count() -> None:
    model = tied_linears()
    model[0].weight.data = torch.ones(4, 4)
    sparsifier = WandaSparsifier()
    sparsifier.prepare(model, None)
    model[0](torch.tensor([1.0, 2.0, 0.0, 0.0]))
    model[2](torch.tensor([0.0, 0.0, 3.0, 4.0]))
    sparsifier.step()
    assert model[2].weight.tolist() == [[0, 0, 1, 1]] * 4
    sparsifier.squash_mask()
    assert [len(layer._forward_pre_hooks) for layer in model] == [0, 0, 0]


def test_rows_of_a_shared_tensor_are_not_pruned() -> None:
    sparsifier = SaliencyPruner({"sparsity_level": 0.5})
    with pytest.raises(
        ConfigError, match=r"0.weight: .* must belong to one module, got one that 2"
    ):
        sparsifier.prepare(tied_linears(), [{"tensor_fqn": "0.weight"}])


def test_parameters_have_their_former_order_after_squash() -> None:
    """Optimizers save their states by position."""
    model = nn.Sequential(nn.Linear(4, 4), nn.MultiheadAttention(4, 1), nn.GRU(4, 4))
    order = [name for name, _ in model.named_parameters()]
    for names in (["0.weight"], ["1.in_proj_weight", "2.weight_hh_l0", "2.weight_ih_l0"]):
        config = [{"tensor_fqn": name} for name in names]
        sparsifier = weight_norm()
        sparsifier.prepare(model, config)
        sparsifier.step()
        sparsifier.squash_mask()
        assert [name for name, _ in model.named_parameters()] == order
        sparsifier.prepare(model, config)
        sparsifier.load_state_dict({"state": {}, "groups": []})  # takes the masks off
        assert [name for name, _ in model.named_parameters()] == order
