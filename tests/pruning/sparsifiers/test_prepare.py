"""Preparing a model: which tensors are masked, and that a refusal changes nothing."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from sparsebench.errors import ConfigError
from sparsebench.pruning import FakeSparsity, NearlyDiagonalSparsifier, WeightNormSparsifier
from tests.pruning.small_models import MLP


def named(*tensor_fqns: str) -> list[dict[str, Any]]:
    return [{"tensor_fqn": tensor_fqn} for tensor_fqn in tensor_fqns]


def is_masked(model: nn.Module) -> bool:
    return any(parametrize.is_parametrized(module) for module in model.modules())


class Broken(FakeSparsity):
    def __init__(self, mask: torch.Tensor) -> None:
        super().__init__(mask)
        raise RuntimeError("broken on purpose")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (named("first.weight", "frist.weight"), r"frist\.weight.*near: first\.weight"),
        (named("first.weight", "last.bias"), r"last\.bias"),  # Linear(bias=False): it is None
        (named("first.weight", "first"), "first"),
        (named("first.weight", ""), "tensor_fqn"),
        (named("first.weight", "first.in_features"), "in_features"),
        (named("first.weight", "first.weight"), "named once"),
        (["first.weight"], "type str"),
        ([{"sparsity_level": 0.5}], "tensor_fqn"),
        ([*named("first.weight"), {"tensor_fqn": "last.weight", "sparsity_level": float("nan")}],
         r"last\.weight: sparsity_level"),
        ([*named("first.weight"), {"tensor_fqn": "last.weight", "zeros_per_block": 5}],
         r"last\.weight: zeros_per_block"),
        ([*named("first.weight"), {"tensor_fqn": "last.weight", "sparse_block_shape": (0, 1)}],
         r"last\.weight: sparse_block_shape"),
        ([{"tensor_fqn": "first.weight", "module_fqn": "last"}], "module_fqn must agree"),
        ([{"tensor_fqn": "first.weight", "mask": torch.ones(2, 2)}], r"shape \(12, 8\)"),
    ],
)  # fmt: skip
def test_a_refusal_changes_neither_model_nor_sparsifier(config: list[Any], message: str) -> None:
    model, sparsifier = MLP(), WeightNormSparsifier()
    with pytest.raises(ConfigError, match=message):
        sparsifier.prepare(model, config)
    assert not is_masked(model)
    assert sparsifier.groups == []
    assert sparsifier.model is None
    sparsifier.prepare(model, named("first.weight"))


def test_upstream_refuses_after_changing_part_of_the_model() -> None:
    upstream = pytest.importorskip("torch.ao.pruning")
    model = MLP()
    with pytest.raises(AttributeError, match="NoneType"):
        upstream.WeightNormSparsifier().prepare(model, named("first.weight", "frist.weight"))


def test_a_failing_parametrization_is_rolled_back() -> None:
    model = MLP()
    config = [*named("first.weight"), {"tensor_fqn": "last.weight", "parametrization": Broken}]
    with pytest.raises(RuntimeError, match="on purpose"):
        WeightNormSparsifier().prepare(model, config)
    assert not is_masked(model)


def test_a_root_linear_is_masked_by_default() -> None:
    model = nn.Linear(4, 4)
    sparsifier = WeightNormSparsifier()
    sparsifier.prepare(model, None)
    assert sparsifier.groups[0]["tensor_fqn"] == "weight"
    assert sparsifier.groups[0]["module"] is model


def test_a_subclass_of_linear_is_masked_by_default() -> None:
    class LinearSubclass(nn.Linear):
        pass

    sparsifier = WeightNormSparsifier()
    sparsifier.prepare(nn.Sequential(LinearSubclass(4, 4), nn.ReLU()), None)
    assert [group["tensor_fqn"] for group in sparsifier.groups] == ["0.weight"]


def test_a_model_without_a_supported_module_is_refused() -> None:
    with pytest.raises(ConfigError, match="no module of type Linear"):
        WeightNormSparsifier().prepare(nn.Sequential(nn.ReLU()), None)


def test_a_lazy_module_is_refused() -> None:
    with pytest.raises(ConfigError, match="must have a shape"):
        WeightNormSparsifier().prepare(nn.Sequential(nn.LazyLinear(4)), None)


def test_a_module_under_two_names_gets_one_mask() -> None:
    shared = nn.Linear(4, 4)
    model = nn.ModuleDict({"a": shared, "b": shared})
    WeightNormSparsifier().prepare(model, None)
    assert len(shared.parametrizations.weight) == 1


def test_a_module_named_twice_is_refused() -> None:
    shared = nn.Linear(4, 4)
    model = nn.ModuleDict({"a": shared, "b": shared})
    with pytest.raises(ConfigError, match=r"'a\.weight' and 'b\.weight' for the same"):
        WeightNormSparsifier().prepare(model, named("a.weight", "b.weight"))
    assert not is_masked(model)


def test_a_second_prepare_of_one_sparsifier_is_refused() -> None:
    model, sparsifier = MLP(), WeightNormSparsifier()
    sparsifier.prepare(model, named("first.weight"))
    groups = sparsifier.groups
    with pytest.raises(ConfigError, match="must not follow prepare"):
        sparsifier.prepare(model, named("last.weight"))
    assert sparsifier.groups is groups
    assert not parametrize.is_parametrized(model.last)


def test_two_sparsifiers_on_a_tensor_share_its_mask() -> None:
    model, first, second = MLP(), WeightNormSparsifier(1.0), NearlyDiagonalSparsifier()
    first.prepare(model, named("first.weight"))
    first.step()
    second.prepare(model, named("first.weight"))
    (parametrization,) = model.first.parametrizations.weight
    assert parametrization.mask.all()
    second.step()
    assert torch.equal(parametrization.mask, torch.eye(12, 8))


def test_a_failed_prepare_restores_a_shared_mask() -> None:
    model, first = MLP(), WeightNormSparsifier(1.0)
    first.prepare(model, named("first.weight"))
    first.step()
    with pytest.raises(RuntimeError, match="on purpose"):
        WeightNormSparsifier().prepare(
            model,
            [*named("first.weight"), {"tensor_fqn": "last.weight", "parametrization": Broken}],
        )
    assert not model.first.weight.any()


def test_after_squash_it_may_prepare_again() -> None:
    model, sparsifier = MLP(), WeightNormSparsifier(0.5, (1, 1))
    for _ in range(2):
        sparsifier.prepare(model, named("first.weight"))
        sparsifier.step()
        sparsifier.squash_mask()
    assert (model.first.weight == 0).sum() == 48


def test_a_config_overrides_the_defaults_and_is_not_changed() -> None:
    model, sparsifier = MLP(), WeightNormSparsifier(0.5)
    config = [{"tensor_fqn": ".first.weight", "sparsity_level": 0.9}, *named("last.weight")]
    sparsifier.prepare(model, config)
    assert [group["sparsity_level"] for group in sparsifier.groups] == [0.9, 0.5]
    assert sparsifier.groups[0]["tensor_fqn"] == "first.weight"
    assert config[0]["tensor_fqn"] == ".first.weight"


def test_buffers_can_be_masked() -> None:
    model = nn.Module()
    model.register_buffer("weight", torch.arange(8.0).view(2, 4))
    sparsifier = WeightNormSparsifier(0.5, (1, 1))
    sparsifier.prepare(model, named("weight"))
    sparsifier.step()
    sparsifier.squash_mask()
    assert model.weight.tolist() == [[0, 0, 0, 0], [4, 5, 6, 7]]


def test_other_parametrizations_are_kept() -> None:
    model = nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))
    sparsifier = WeightNormSparsifier(0.5, (1, 1))
    sparsifier.prepare(model, named("weight"))
    sparsifier.step()
    assert (model.weight == 0).sum() == 8


def test_a_tensor_without_a_diagonal_is_refused() -> None:
    model = MLP()
    with pytest.raises(ConfigError, match=r"first\.bias: must be 2-D to have a diagonal"):
        NearlyDiagonalSparsifier().prepare(model, named("last.weight", "first.bias"))
    assert not is_masked(model)
