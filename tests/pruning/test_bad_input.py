"""Input of a wrong type is refused in one line; the caller's own code cannot change the weights."""

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune

import sparsebench.pruning
from sparsebench.errors import ConfigError
from sparsebench.pruning import (
    BaseSparsifier,
    DataNormSparsifier,
    FPGMPruner,
    LambdaSL,
    NearlyDiagonalSparsifier,
    SaliencyPruner,
    WandaSparsifier,
    WeightNormSparsifier,
)
from tests.pruning.small_models import MLP, assert_same, values

LEVELS = ["0.5", None, torch.tensor(0.5), torch.zeros(50, 50), 1j, float("inf")]
SPARSIFIERS = [WeightNormSparsifier, WandaSparsifier, SaliencyPruner, FPGMPruner]


def assert_refused(call: Any, *args: Any, match: str) -> None:
    with pytest.raises(ConfigError, match=match) as error:
        call(*args)
    assert "\n" not in str(error.value)


def first(**settings: Any) -> list[dict[str, Any]]:
    return [{"tensor_fqn": "first.weight", **settings}]


# --- the caller's own code ------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scope", ["tensor", "global"])
def test_a_norm_that_works_in_place_changes_no_weight(dtype: torch.dtype, scope: str) -> None:
    model = MLP().to(dtype)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    norm = lambda x: x.mul_(0).add_(1)  # noqa: E731  # as a caller would pass it
    sparsifier = WeightNormSparsifier(0.5, (1, 1), norm=norm, level_scope=scope)
    sparsifier.prepare(model, None)
    sparsifier.step()
    sparsifier.load_state_dict({"state": {}, "groups": []})  # removes the masks
    assert_same(dict(sorted(model.state_dict().items())), dict(sorted(before.items())))


def test_a_distance_that_works_in_place_changes_no_weight() -> None:
    model = nn.Sequential(nn.Linear(4, 6)).double()
    before = model[0].weight.clone()
    pruner = FPGMPruner(0.5, dist=lambda rows: torch.cdist(rows.mul_(2), rows))
    pruner.prepare(model, None)
    pruner.step()
    assert torch.equal(model[0].parametrizations.weight.original, before)


def test_after_a_norm_that_raises_later_masks_are_unchanged_and_the_next_step_is_right() -> None:
    calls = []

    def norm(x: Tensor) -> Tensor:
        calls.append(x)
        if len(calls) == 2:
            raise RuntimeError("on purpose")
        return x.abs()

    model, sparsifier = MLP(), WeightNormSparsifier(0.5, (1, 1), norm=norm)
    sparsifier.prepare(model, None)
    with pytest.raises(RuntimeError, match="on purpose"):
        sparsifier.step()
    kept = [bool(sparsifier.state[g["tensor_fqn"]]["mask"].all()) for g in sparsifier.groups]
    assert kept == [False, True, True]
    assert sparsifier.step_count == 0
    sparsifier.step()
    reference = WeightNormSparsifier(0.5, (1, 1), norm=1)
    reference.prepare(MLP(), None)
    reference.step()
    assert sparsifier.state == reference.state
    assert sparsifier.step_count == 1


def test_a_data_step_that_raises_does_not_count() -> None:
    class Failing(DataNormSparsifier):
        def update_mask(self, *args: Any, **kwargs: Any) -> None:
            raise RuntimeError("on purpose")

    sparsifier = Failing([("a", torch.ones(2, 4))])
    with pytest.raises(RuntimeError, match="on purpose"):
        sparsifier.step()
    assert sparsifier.step_count == 0


# --- types of values -----------------------------------------------------------------------------


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: type(level).__name__)
@pytest.mark.parametrize("cls", SPARSIFIERS)
def test_a_level_must_be_a_finite_number(cls: type[BaseSparsifier], level: object) -> None:
    match = "first.weight: sparsity_level: must be a finite number, got"
    assert_refused(cls().prepare, MLP(), first(sparsity_level=level), match=match)


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: type(level).__name__)
def test_a_level_of_data_must_be_a_finite_number(level: object) -> None:
    match = "a: sparsity_level: must be a finite number"
    with pytest.raises(ConfigError, match=match):
        DataNormSparsifier().add_data("a", torch.ones(2, 4), sparsity_level=level)


@pytest.mark.parametrize("block", [4, None, "14", (1, 4, 1), [1, "4"], (1, torch.tensor(4)), {}])
def test_a_block_must_be_two_integers(block: object) -> None:
    match = "sparse_block_shape: must be two positive integers"
    assert_refused(
        WeightNormSparsifier().prepare, MLP(), first(sparse_block_shape=block), match=match
    )
    with pytest.raises(ConfigError, match=match):
        DataNormSparsifier().add_data("a", torch.ones(2, 4), sparse_block_shape=block)


def test_a_block_may_be_a_list() -> None:
    sparsifier = WeightNormSparsifier(0.5)
    sparsifier.prepare(MLP(), first(sparse_block_shape=[1, 2], zeros_per_block=1))
    sparsifier.step()
    assert (sparsifier.state["first.weight"]["mask"] == 0).sum() == 24


@pytest.mark.parametrize("zeros", ["2", [2], torch.tensor(2), 1.0])
def test_zeros_must_be_an_integer(zeros: object) -> None:
    match = "zeros_per_block: must be an integer"
    assert_refused(WeightNormSparsifier().prepare, MLP(), first(zeros_per_block=zeros), match=match)


@pytest.mark.parametrize("cls", [WeightNormSparsifier, SaliencyPruner])
def test_a_mask_must_be_a_tensor(cls: type[BaseSparsifier]) -> None:
    config = first(mask="x", sparsity_level=0.5)
    assert_refused(cls().prepare, MLP(), config, match="mask must be a tensor, got 'x'")


def test_a_mask_of_data_must_be_a_tensor() -> None:
    with pytest.raises(ConfigError, match="mask must be a tensor, got 'x'"):
        DataNormSparsifier().add_data("a", torch.ones(2, 4), mask="x")


def test_a_config_must_be_a_list_and_a_model_a_module() -> None:
    assert_refused(
        WeightNormSparsifier().prepare, MLP(), 5, match="config: must be a list of dicts"
    )
    for model in (None, torch.ones(2)):
        assert_refused(WeightNormSparsifier().prepare, model, match="model must be an nn.Module")


# --- dtypes --------------------------------------------------------------------------------------

UNORDERED = [torch.complex64, torch.complex128, torch.float8_e4m3fn, torch.float8_e5m2, torch.int64]


@pytest.mark.parametrize("dtype", UNORDERED)
@pytest.mark.parametrize("cls", [WeightNormSparsifier, NearlyDiagonalSparsifier, FPGMPruner])
def test_a_dtype_that_cannot_be_ranked_is_refused(cls: Any, dtype: torch.dtype) -> None:
    model = nn.Module()
    model.register_buffer("weight", torch.ones(4, 4).to(dtype))
    match = f"dtype must be one of float16, .* float64, got {str(dtype).split('.')[1]}"
    assert_refused(cls().prepare, model, [{"tensor_fqn": "weight"}], match=match)
    assert_refused(DataNormSparsifier().add_data, "a", torch.ones(4, 4).to(dtype), match=match)


# --- spelling ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("sparsity_levl", "sparsity_level"),
        ("zero_per_block", "zeros_per_block"),
        ("sparse_blok_shape", "sparse_block_shape"),
        ("prune_bais", "prune_bias"),
    ],
)
def test_a_misspelt_setting_is_refused_with_the_right_one(wrong: str, right: str) -> None:
    match = f"unknown setting '{wrong}'; near: .*{right}"
    assert_refused(WeightNormSparsifier().prepare, MLP(), first(**{wrong: 0.9}), match=match)


def test_a_misspelt_setting_of_data_is_refused() -> None:
    with pytest.raises(ConfigError, match="near: sparsity_level"):
        DataNormSparsifier().add_data("a", torch.ones(2, 4), sparsity_levl=0.9)


def test_keys_of_the_callers_own_are_kept() -> None:
    keys = {"test": 1, "foo": 2, "level": 3, "sparsity_level_": 0.1, "sparsity_level": 0.9}
    sparsifier = WeightNormSparsifier()
    sparsifier.prepare(MLP(), first(**keys))
    assert keys.items() <= sparsifier.groups[0].items()


# --- states --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "match"),
    [
        (None, r"must get what a sparsifier's state_dict\(\) gave, got None"),
        (5, r"must get what a sparsifier's state_dict\(\) gave, got 5"),
        ({"groups": [{}]}, "got a dict without 'state'"),
        (MLP().state_dict(), "got a dict without 'state'"),  # the model's, by mistake
        ({"state": {}, "groups": [{}]}, "every group must have a 'tensor_fqn'"),
        ({"state": {}, "groups": [5]}, "every group must have a 'tensor_fqn'"),
        ({"state": {}, "groups": 5}, "'groups' must be a sequence"),
        ({"state": None, "groups": []}, "'state' must be a mapping"),
        ({"state": {"first.weight": 1}, "groups": first()}, "state of 'first.weight'"),
        ({"state": {}, "groups": first()}, "first.weight: sparsity_level must be given"),
        ({"state": {"first.weight": {"mask": "x"}}, "groups": first()}, "must be a tensor"),
        ({"state": {}, "groups": first() * 2}, "must be named once"),
    ],
)
def test_another_dict_is_refused_as_state_and_changes_nothing(state: Any, match: str) -> None:
    sparsifier = WeightNormSparsifier(0.5, (1, 1))
    sparsifier.prepare(MLP(), None)
    sparsifier.step()
    before = sparsifier.state_dict()
    assert_refused(sparsifier.load_state_dict, state, match=match)
    assert_same(sparsifier.state_dict(), before)


@pytest.mark.parametrize("cls", [WandaSparsifier, NearlyDiagonalSparsifier, SaliencyPruner])
def test_a_state_without_settings_is_refused(cls: type[BaseSparsifier]) -> None:
    sparsifier = cls()
    sparsifier.prepare(MLP(), first(sparsity_level=0.5))
    assert_refused(
        sparsifier.load_state_dict, {"state": {}, "groups": first()}, match="must be given"
    )


@pytest.mark.parametrize("state", [None, {"state": 1, "data_groups": {}, "_container": {}}])
def test_another_dict_is_refused_as_state_of_data(state: Any) -> None:
    sparsifier = DataNormSparsifier([("a", values(2, 4))])
    assert_refused(sparsifier.load_state_dict, state, match="load_state_dict: ")
    assert list(sparsifier.data_groups) == ["a"]


# --- tensors, names and functions ----------------------------------------------------------------


def test_a_tensor_that_a_hook_computes_is_refused_and_the_model_is_unchanged() -> None:
    model = MLP()
    prune.l1_unstructured(model.last, "weight", 0.5)
    match = r"last\.weight must be a parameter or a buffer, .* \(torch\.nn\.utils\.prune or "
    assert_refused(WeightNormSparsifier().prepare, model, None, match=match)
    assert not parametrize.is_parametrized(model)


@pytest.mark.parametrize("pairs", [["a"], [("a",)], {"a": 1}])
def test_a_data_list_must_hold_pairs(pairs: Any) -> None:
    assert_refused(
        DataNormSparsifier, pairs, match=r"data_list: must hold \(name, data\) pairs, got "
    )


def test_a_name_of_data_must_be_text() -> None:
    sparsifier = DataNormSparsifier()
    assert_refused(sparsifier.add_data, 3, values(2, 4), match="add_data: name must be text, got 3")
    assert sparsifier.data_groups == {}


@pytest.mark.parametrize("factor", [None, 0.5, [lambda _: 1, 0.5, lambda _: 1]])
def test_a_factor_of_the_level_must_be_a_function(factor: Any) -> None:
    sparsifier = WeightNormSparsifier()
    sparsifier.prepare(MLP(), None)
    assert_refused(
        LambdaSL, sparsifier, factor, match="LambdaSL: sl_lambda must be a function .* got "
    )


# --- imports -------------------------------------------------------------------------------------


def test_packages_that_weight_sparsifiers_do_not_need_are_imported_on_first_use() -> None:
    code = """if True:
        import sys, sparsebench.pruning as pruning
        late = ["structured", "data", "activation"]
        assert not [n for n in late if f"sparsebench.pruning.{n}" in sys.modules], "early"
        assert set(pruning.__all__) <= set(dir(pruning))
        assert all(getattr(pruning, name) is not None for name in [*pruning.__all__, *late])
    """
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_name_is_not_an_attribute() -> None:
    assert not hasattr(sparsebench.pruning, "WaightNormSparsifier")
