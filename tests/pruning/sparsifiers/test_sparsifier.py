"""Masks on a model: their values, how they follow the model, what step and squash do."""

import copy
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrize

from sparsebench.errors import ConfigError
from sparsebench.pruning import (
    BaseSparsifier,
    FakeSparsity,
    NearlyDiagonalSparsifier,
    WeightNormSparsifier,
)
from tests.pruning.small_models import MLP, values

FIRST = [{"tensor_fqn": "first.weight"}]
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


class FirstRowSparsifier(BaseSparsifier):
    """Prunes the first row, and counts its updates."""

    def update_mask(self, module: nn.Module, tensor_name: str, **kwargs: Any) -> None:
        module.parametrizations[tensor_name][0].mask[0] = 0
        entry = self.state[kwargs["tensor_fqn"]]
        entry["step_count"] = entry.get("step_count", 0) + 1


class FromDense(nn.Linear):
    @classmethod
    def from_dense(cls, module: nn.Linear) -> "FromDense":
        return cls(module.in_features, module.out_features)


def linear(weight: torch.Tensor) -> nn.Linear:
    model = nn.Linear(weight.shape[1], weight.shape[0], bias=False, dtype=weight.dtype)
    with torch.no_grad():
        model.weight.copy_(weight)
    return model


def prepared(model: nn.Module, **settings: Any) -> WeightNormSparsifier:
    sparsifier = WeightNormSparsifier(**{"sparse_block_shape": (1, 1), **settings})
    sparsifier.prepare(model, None)
    return sparsifier


def mask_of(module: nn.Module) -> torch.Tensor:
    return module.parametrizations["weight"][0].mask


# --- masks ---------------------------------------------------------------------------------------


def test_a_lower_level_keeps_the_largest_weights_again() -> None:
    weight = torch.arange(1.0, 9.0).view(1, 8)
    sparsifier = prepared(model := linear(weight), sparsity_level=0.875)
    sparsifier.step()
    sparsifier.groups[0]["sparsity_level"] = 0.5
    sparsifier.step()
    assert mask_of(model).tolist() == [[0, 0, 0, 0, 1, 1, 1, 1]]


def test_upstream_keeps_wrong_weights_at_a_lower_level() -> None:
    upstream = pytest.importorskip("torch.ao.pruning")
    sparsifier = upstream.WeightNormSparsifier(0.875, (1, 1))
    model = linear(torch.arange(1.0, 9.0).view(1, 8))
    sparsifier.prepare(model, [{"tensor_fqn": "weight"}])
    sparsifier.step()
    sparsifier.groups[0]["sparsity_level"] = 0.5
    sparsifier.step()
    assert mask_of(model).tolist() != [[0, 0, 0, 0, 1, 1, 1, 1]]


@given(st.lists(st.floats(-0.5, 1.5), min_size=1, max_size=5))
def test_a_mask_does_not_depend_on_former_masks(levels: list[float]) -> None:
    stepped_often, fresh = prepared(MLP()), prepared(MLP(), sparsity_level=levels[-1])
    for level in levels:
        for group in stepped_often.groups:
            group["sparsity_level"] = level
        stepped_often.step()
    fresh.step()
    assert [group["module"].weight.tolist() for group in stepped_often.groups] == [
        group["module"].weight.tolist() for group in fresh.groups
    ]


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_dtype_is_kept(dtype: torch.dtype) -> None:
    model = MLP().to(dtype)
    sparsifier = prepared(model)
    sparsifier.step()
    assert model.first.weight.dtype == mask_of(model.first).dtype == dtype
    assert model(values(2, 8, dtype=dtype)).dtype == dtype
    sparsifier.squash_mask()
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}


@pytest.mark.parametrize("special", [float("inf"), float("-inf"), float("nan")])
def test_a_pruned_entry_is_zero_even_if_not_finite(special: float) -> None:
    model = linear(torch.tensor([[special, 1.0]]))
    sparsifier = NearlyDiagonalSparsifier(0)
    sparsifier.prepare(model, None)
    sparsifier.step()
    assert model.weight.tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize(
    "setting", [{}, {"zeros_per_block": 2}, {"sparsity_level": 1.0}, {"sparsity_level": 0.0}]
)
def test_the_mask_has_the_weights_dtype_in_every_configuration(setting: dict[str, Any]) -> None:
    model = MLP()
    sparsifier = prepared(model, **{"sparse_block_shape": (1, 4), **setting})
    mask = mask_of(model.first)
    sparsifier.step()
    assert mask_of(model.first) is mask
    assert mask.dtype == torch.float32
    assert 0 <= (1.0 - mask).mean() <= 1


@pytest.mark.parametrize("level", [-1.0, -0.25, 0.0])
def test_a_level_of_zero_or_less_prunes_nothing(level: float) -> None:
    model = MLP()
    prepared(model, sparsity_level=level).step()
    assert mask_of(model.first).all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_masks_follow_the_model(dtype: torch.dtype) -> None:
    model = MLP()
    sparsifier = prepared(model)
    sparsifier.step()
    before = mask_of(model.first).bool()
    model.to(dtype)
    saved = sparsifier.state_dict()["state"]["first.weight"]["mask"]
    assert sparsifier.state["first.weight"]["mask"] is mask_of(model.first)
    assert saved.dtype == mask_of(model.first).dtype == dtype
    assert torch.equal(saved.bool(), before)
    sparsifier.step()
    assert mask_of(model.first).dtype == dtype


def test_masks_follow_the_model_to_another_device() -> None:
    model = MLP()
    sparsifier = prepared(model)
    model.to("meta")
    assert sparsifier.state["first.weight"]["mask"].is_meta


def test_nearly_diagonal_refuses_before_any_mask_changes() -> None:
    model = MLP()
    sparsifier = NearlyDiagonalSparsifier()
    sparsifier.prepare(model, [*FIRST, {"tensor_fqn": "last.weight", "nearliness": 4}])
    with pytest.raises(ConfigError, match=r"last\.weight: nearliness"):
        sparsifier.step()
    assert mask_of(model.first).all()
    assert mask_of(model.last).all()


def test_step_checks_every_setting_before_any_mask_changes() -> None:
    model = MLP()
    sparsifier = prepared(model)
    sparsifier.groups[-1]["sparsity_level"] = float("nan")
    with pytest.raises(ConfigError, match="sparsity_level"):
        sparsifier.step()
    assert mask_of(model.first).all()


# --- tracing, export, compilation ----------------------------------------------------------------


def stepped() -> tuple[nn.Module, torch.Tensor]:
    model = MLP()
    prepared(model).step()
    return model, values(3, 8, seed=9)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_a_masked_model_traces() -> None:
    model, x = stepped()
    traced = torch.jit.trace(model, x)
    torch.testing.assert_close(traced(2 * x), model(2 * x))


def test_a_masked_model_exports() -> None:
    model, x = stepped()
    torch.testing.assert_close(torch.export.export(model, (x,)).module()(x), model(x))


def test_a_masked_model_compiles_without_graph_breaks() -> None:
    model, x = stepped()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), model(x))


def test_a_compiled_model_sees_a_new_mask() -> None:
    model = MLP()
    sparsifier = prepared(model)
    compiled, x = torch.compile(model, fullgraph=True, backend="aot_eager"), values(3, 8)
    compiled(x)
    sparsifier.step()
    torch.testing.assert_close(compiled(x), model(x))


def test_only_kept_weights_have_a_gradient() -> None:
    model, x = stepped()
    model(x).sum().backward()
    gradient = model.first.parametrizations.weight.original.grad
    assert not gradient[mask_of(model.first) == 0].any()


# --- step and squash -----------------------------------------------------------------------------


def test_a_step_changes_no_mask_while_updates_are_disabled() -> None:
    model = MLP()
    sparsifier = prepared(model)
    sparsifier.enable_mask_update = False
    sparsifier.step()
    assert mask_of(model.first).all()


def test_a_subclass_may_write_masks_and_store_state() -> None:
    model = MLP()
    sparsifier = FirstRowSparsifier()
    sparsifier.prepare(model, FIRST)
    sparsifier.step()
    sparsifier.step()
    assert not model.first.weight[0].any()
    assert sparsifier.state["first.weight"]["step_count"] == 2


def test_squash_makes_the_zeros_permanent_and_keeps_the_parameter() -> None:
    model = MLP()
    parameter = model.first.weight
    sparsifier = prepared(model)
    sparsifier.step()
    masked = model.first.weight.detach().clone()
    sparsifier.squash_mask()
    assert model.first.weight is parameter
    assert torch.equal(parameter, masked)
    assert not parametrize.is_parametrized(model.first)
    assert type(model.first) is nn.Linear


def test_squash_keeps_the_named_params() -> None:
    model = MLP()
    sparsifier = WeightNormSparsifier(0.5)
    sparsifier.prepare(model, None)
    sparsifier.squash_mask(("sparsity_level",), {"last": ("sparse_block_shape",)})
    assert model.first.sparse_params == {"sparsity_level": 0.5}
    assert model.last.sparse_params == {"sparsity_level": 0.5, "sparse_block_shape": (1, 4)}


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ({"params_to_keep": ["sparsity_levle"]}, "sparsity_levle.*near: sparsity_level"),
        ({"params_to_keep_per_layer": {"frist": []}}, "frist.*near: first"),
        ({"params_to_keep_per_layer": {"first": ["colour"]}}, "colour"),
    ],
)
def test_squash_refuses_unknown_names_and_squashes_nothing(
    keep: dict[str, Any], message: str
) -> None:
    model = MLP()
    sparsifier = prepared(model)
    with pytest.raises(ConfigError, match=message):
        sparsifier.squash_mask(**keep)
    assert all(parametrize.is_parametrized(group["module"]) for group in sparsifier.groups)


@pytest.mark.parametrize("call", ["step", "squash_mask"])
def test_after_squash_step_and_squash_are_refused(call: str) -> None:
    sparsifier = prepared(MLP())
    sparsifier.squash_mask()
    with pytest.raises(ConfigError, match=f"{call}: first.weight must carry a mask"):
        getattr(sparsifier, call)()


@pytest.mark.parametrize("call", ["step", "squash_mask"])
def test_before_prepare_step_and_squash_are_refused(call: str) -> None:
    with pytest.raises(ConfigError, match=f"{call}: must follow prepare"):
        getattr(WeightNormSparsifier(), call)()


def test_convert_replaces_masked_children_only() -> None:
    model = MLP()
    sparsifier = WeightNormSparsifier()
    sparsifier.prepare(model, FIRST)
    new = sparsifier.convert(model, mapping={nn.Linear: FromDense})
    assert isinstance(new.first, FromDense)
    assert type(new.last) is nn.Linear
    assert not isinstance(model.first, FromDense)


def test_the_base_is_abstract() -> None:
    with pytest.raises(TypeError):
        BaseSparsifier()


def test_repr_names_every_group() -> None:
    assert "first.weight" in repr(prepared(MLP()))


def test_a_tied_parameter_is_still_tied_after_squash() -> None:
    model = nn.ModuleDict({"a": nn.Linear(4, 4), "b": nn.Linear(4, 4)})
    model["b"].weight = model["a"].weight
    sparsifier = WeightNormSparsifier(sparse_block_shape=(1, 1))
    sparsifier.prepare(model, [{"tensor_fqn": "a.weight"}])
    sparsifier.step()
    sparsifier.squash_mask()
    assert model["a"].weight is model["b"].weight
    assert (model["b"].weight == 0).sum() == 8


def test_a_deep_copied_model_steps_with_its_deep_copied_sparsifier() -> None:
    model = MLP()
    sparsifier = prepared(model)
    model_copy, sparsifier_copy = copy.deepcopy((model, sparsifier))
    sparsifier_copy.step()
    assert not mask_of(model_copy.first).all()
    assert mask_of(model.first).all()


def test_a_masked_model_saves_and_loads_strictly() -> None:
    model, x = stepped()
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    restored = MLP()
    prepared(restored).step()
    restored.load_state_dict(torch.load(file), strict=True)
    torch.testing.assert_close(restored(x), model(x))


def test_fake_sparsity_names_the_shapes_that_differ() -> None:
    with pytest.raises(ConfigError, match=r"mask \(2, 2\) and tensor \(2, 3\)"):
        FakeSparsity(torch.ones(2, 2))(torch.ones(2, 3))


def test_convert_keeps_a_shared_module_shared() -> None:
    shared = nn.Linear(4, 4)
    model = nn.Sequential(shared, nn.ModuleDict({"a": shared, "b": nn.Linear(4, 4)}))
    sparsifier = WeightNormSparsifier()
    sparsifier.prepare(model, [{"tensor_fqn": "0.weight"}])
    sparsifier.convert(model, {nn.Linear: FromDense}, inplace=True)
    assert type(model[0]) is FromDense
    assert model[1]["a"] is model[0]
    assert type(model[1]["b"]) is nn.Linear


def test_a_failed_convert_changes_nothing() -> None:
    model = MLP()
    sparsifier = prepared(model)
    with pytest.raises(ConfigError, match="ReLU must have a from_dense"):
        sparsifier.convert(model, {nn.Linear: nn.ReLU}, inplace=True)
    with pytest.raises(ConfigError, match="mapping must be given"):
        sparsifier.convert(model)
    assert parametrize.is_parametrized(model.first)


def test_importing_the_package_imports_nothing_of_torch_ao_on_its_own() -> None:
    script = (
        "import sys, torch; before = set(sys.modules); import sparsebench.pruning; "
        "print([m for m in set(sys.modules) - before if m.startswith('torch.ao')])"
    )
    root = Path(__file__).parents[3]
    process = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True
    )
    assert process.stdout.strip() == "[]"
