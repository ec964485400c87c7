"""Data sparsifiers and their schedulers: names, references, masks, state and refusals."""

import copy
import pickle
import subprocess
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from sparsebench.errors import ConfigError
from sparsebench.pruning import (
    BaseDataScheduler,
    BaseDataSparsifier,
    DataNormSparsifier,
    WeightNormSparsifier,
)
from tests.pruning.small_models import assert_same, values

ROOT = Path(__file__).parents[3]


class FirstRowDataSparsifier(BaseDataSparsifier):
    def update_mask(self, name: str, data: Tensor, **kwargs: Any) -> None:
        self.get_mask(name)[0] = 0
        self.state[name]["step_count"] = self.state[name].get("step_count", 0) + 1


class HalvingDataScheduler(BaseDataScheduler):
    def get_schedule_param(self) -> Mapping[str, Any]:
        if self.last_epoch == 0:
            return self.base_param
        groups = self.data_sparsifier.data_groups
        return {name: group[self.schedule_param] / 2 for name, group in groups.items()}


def some_data() -> list[tuple[str, Any]]:
    return [
        ("tensor", values(3, 8)),
        ("parameter", nn.Parameter(values(4, 4, seed=1))),
        ("embedding", nn.Embedding(6, 4, _weight=values(6, 4, seed=2))),
        ("bag", nn.EmbeddingBag(6, 4, _weight=values(6, 4, seed=3))),
        ("row", values(8, seed=4)),
        ("half", values(4, 4, seed=5, dtype=torch.bfloat16)),
    ]


def norm_sparsifier(**settings: Any) -> DataNormSparsifier:
    return DataNormSparsifier(some_data(), **{"sparse_block_shape": (1, 1), **settings})


def share_of_zeros(tensor: Tensor) -> float:
    return (tensor == 0).double().mean().item()


@pytest.mark.parametrize(("name", "data"), some_data(), ids=[name for name, _ in some_data()])
def test_data_is_masked_and_only_squash_changes_it(name: str, data: Any) -> None:
    sparsifier = FirstRowDataSparsifier([(name, data)], test=3)
    tensor = getattr(data, "weight", data)
    before = tensor.detach().clone()
    assert sparsifier.data_groups == {name: {"test": 3}}
    sparsifier.step()
    assert not sparsifier.get_data(name, return_original=False)[0].any()
    assert torch.equal(tensor, before)
    assert sparsifier.get_data(name).data_ptr() == tensor.data_ptr()
    assert sparsifier.get_mask(name).dtype == tensor.dtype
    assert sparsifier.state[name]["step_count"] == 1
    sparsifier.squash_mask()
    assert not tensor[0].any()
    assert tensor.dtype == before.dtype


def test_a_step_uses_changed_data() -> None:
    weight = values(4, 4)
    sparsifier = DataNormSparsifier([("w", weight)], 0.5, (1, 1))
    weight.data = torch.arange(16.0).view(4, 4)
    sparsifier.step()
    assert sparsifier.get_data("w", return_original=False).flatten()[:8].tolist() == [0.0] * 8


def test_names_with_dots_do_not_collide() -> None:
    dotted, plain, odd = values(2, 2), values(2, 2, seed=1), values(2, 2, seed=2)
    names = {"a.b": dotted, "a_b": plain, "a%2Eb": odd, "training": plain, "items": odd, "": odd}
    sparsifier = FirstRowDataSparsifier(list(names.items()))
    for name, tensor in names.items():
        assert sparsifier.get_data(name) is tensor
    duplicated = FirstRowDataSparsifier()
    duplicated.load_state_dict(sparsifier.state_dict())
    for name, tensor in names.items():
        assert torch.equal(duplicated.get_data(name), tensor)


def test_plain_names_are_the_keys_of_the_state() -> None:
    keys = norm_sparsifier().state_dict()["_container"].keys()
    names = {name for name, _ in some_data()} - {"half"}  # a method of a module
    assert keys == {f"parametrizations.{key}.original" for key in (*names, "%half")}


def test_keys_of_reserved_names_do_not_change() -> None:
    """Old states have these keys."""
    names = ["mask", "original", "put", "items", "parametrizations", "add", ""]
    sparsifier = FirstRowDataSparsifier([(name, values(2, 2)) for name in names])
    keys = [key.split(".")[1] for key in sparsifier.state_dict()["_container"]]
    assert keys == ["%mask", "%original", "%put", "%items", "%parametrizations", "add", "%"]


@given(st.floats(-1, 2), st.integers(1, 6), st.integers(1, 6))
def test_the_level_is_the_share_of_elements(level: float, rows: int, cols: int) -> None:
    sparsifier = DataNormSparsifier([("w", values(rows, cols) + 3)], level, (1, 1))
    sparsifier.step()
    expected = min(max(round(level * rows * cols), 0), rows * cols)
    assert (sparsifier.get_mask("w") == 0).sum() == expected


@pytest.mark.parametrize("kind", ["L1", "L2"])
@pytest.mark.parametrize("block", [(1, 4), (2, 2), (4, 1), (2, 3)])
def test_blocks_are_those_of_the_weight_sparsifier(kind: str, block: tuple[int, int]) -> None:
    weight = values(8, 9)
    data = DataNormSparsifier([("w", weight)], 0.5, block, 1, norm=kind)
    data.step()
    linear = nn.Linear(9, 8)
    linear.weight.data = weight
    other = WeightNormSparsifier(0.5, block, 1, norm=1 if kind == "L1" else 2)
    other.prepare(linear, None)
    other.step()
    assert torch.equal(data.get_mask("w"), linear.parametrizations.weight[0].mask)


def test_levels_below_zero_and_above_one_prune_nothing_and_everything() -> None:
    sparsifier = norm_sparsifier(sparsity_level=-0.5)
    sparsifier.step()
    assert all(sparsifier.get_mask(name).all() for name in sparsifier.data_groups)
    for group in sparsifier.data_groups.values():
        group["sparsity_level"] = 1.5
    sparsifier.step()
    assert not any(sparsifier.get_mask(name).any() for name in sparsifier.data_groups)


def test_zeros_per_block_none_is_the_block_of_the_data() -> None:
    sparsifier = DataNormSparsifier(sparsity_level=0.5)
    sparsifier.add_data("w", values(4, 4), sparse_block_shape=(2, 2))
    sparsifier.step()
    blocks = sparsifier.get_mask("w").view(2, 2, 2, 2).transpose(1, 2).reshape(4, 4)
    assert sorted(blocks.sum(1).tolist()) == [0, 0, 4, 4]


def test_more_dimensions_are_flattened_after_the_first() -> None:
    weight = values(4, 3, 2, 2)
    sparsifier = DataNormSparsifier([("conv", weight), ("flat", weight.flatten(1))], 0.5)
    sparsifier.step()
    assert torch.equal(sparsifier.get_mask("conv").flatten(1), sparsifier.get_mask("flat"))


# --- replacing -----------------------------------------------------------------------------------


def test_replacing_keeps_configuration_and_mask() -> None:
    sparsifier, new = FirstRowDataSparsifier([("w", values(3, 3))], test=3), values(3, 3, seed=1)
    sparsifier.step()
    with pytest.warns(UserWarning, match="'w' exists already"):
        sparsifier.add_data("w", new, colour="red")
    assert sparsifier.get_data("w") is new
    assert not sparsifier.get_mask("w")[0].any()
    assert sparsifier.data_groups["w"] == {"test": 3, "colour": "red"}


@pytest.mark.filterwarnings("ignore:data 'w'")
def test_replacing_may_start_with_a_new_mask_and_shape() -> None:
    sparsifier = FirstRowDataSparsifier([("w", values(3, 3))])
    sparsifier.step()
    sparsifier.add_data("w", values(2, 5), reuse_mask=False)
    assert sparsifier.get_mask("w").shape == (2, 5)
    assert sparsifier.get_mask("w").all()


@pytest.mark.parametrize(
    ("data", "config", "message"),
    [
        (values(2, 2), {}, r"shape of its mask \(3, 8\)"),
        ([1.0, 2.0], {}, "got list"),
        (values(3, 8), {"zeros_per_block": 3}, "tensor: zeros_per_block"),
        (values(3, 8), {"sparsity_level": float("nan")}, "tensor: sparsity_level"),
    ],
)
def test_a_refused_replacement_changes_nothing(
    data: Any, config: dict[str, Any], message: str
) -> None:
    sparsifier = norm_sparsifier()
    before = sparsifier.get_data("tensor")
    with pytest.raises(ConfigError, match=message):
        sparsifier.add_data("tensor", data, **config)
    assert sparsifier.get_data("tensor") is before
    assert sparsifier.data_groups["tensor"]["sparsity_level"] == 0.5


# --- squash and refusals -------------------------------------------------------------------------


def test_squash_by_name() -> None:
    sparsifier = norm_sparsifier()
    sparsifier.step()
    sparsifier.squash_mask(names=["tensor"])
    with pytest.raises(ConfigError, match="must not be squashed"):
        sparsifier.get_data("tensor")
    assert share_of_zeros(sparsifier.get_data("tensor", return_original=False)) == 0.5
    assert share_of_zeros(sparsifier.get_data("parameter")) == 0
    sparsifier.squash_mask()
    with pytest.raises(ConfigError, match="squashed already"):
        sparsifier.squash_mask()
    with pytest.raises(ConfigError, match="must not be squashed"):
        sparsifier.step()


def test_squash_without_writing_does_not_change_the_data() -> None:
    weight = values(4, 4)
    sparsifier = DataNormSparsifier([("w", weight)], 0.5, (1, 1))
    sparsifier.step()
    sparsifier.squash_mask(leave_parametrized=False)
    assert share_of_zeros(weight) == 0


@pytest.mark.parametrize("call", ["get_data", "get_mask"])
def test_unknown_names_are_refused(call: str) -> None:
    with pytest.raises(ConfigError, match="unknown data 'tensro'; near: tensor"):
        getattr(norm_sparsifier(), call)("tensro")
    with pytest.raises(ConfigError, match="tensro"):
        norm_sparsifier().squash_mask(names=["tensro"])


def test_prepare_points_to_add_data() -> None:
    with pytest.raises(NotImplementedError, match="add_data"):
        norm_sparsifier().prepare(nn.Linear(1, 1), None)


def test_an_unknown_norm_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown norm 'L3'"):
        DataNormSparsifier(norm="L3")


def test_updates_can_be_disabled() -> None:
    sparsifier = norm_sparsifier()
    sparsifier.enable_mask_update = False
    sparsifier.step()
    assert sparsifier.get_mask("tensor").all()


def test_importing_changes_no_warnings_filter() -> None:
    script = "import warnings, torch; n = list(warnings.filters); import sparsebench.pruning; "
    process = subprocess.run(
        [sys.executable, "-c", script + "print(n == list(warnings.filters))"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert process.stdout.strip() == "True"


# --- state ---------------------------------------------------------------------------------------


def stepped() -> DataNormSparsifier:
    sparsifier = norm_sparsifier()
    sparsifier.step()
    return sparsifier


def assert_same_data(left: BaseDataSparsifier, right: BaseDataSparsifier) -> None:
    assert left.data_groups == right.data_groups
    for name in left.data_groups:
        assert_same(left.get_mask(name), right.get_mask(name))
        assert torch.equal(left.get_data(name, False), right.get_data(name, False))


@pytest.mark.parametrize("squashed", [False, True])
@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))], ids=["copy", "pickle"]
)
def test_copies_are_complete_and_independent(duplicate: Any, squashed: bool) -> None:
    sparsifier = stepped()
    if squashed:
        sparsifier.squash_mask()
    duplicated = duplicate(sparsifier)
    assert_same_data(sparsifier, duplicated)
    assert duplicated.norm == "L1"
    keys = duplicated.state_dict()["_container"]
    assert ("parametrizations.tensor.original" in keys) is not squashed
    duplicated.get_data("tensor", return_original=False).zero_()
    duplicated.get_mask("tensor").zero_()
    assert share_of_zeros(sparsifier.get_mask("tensor")) == 0.5


def test_loading_restores_and_does_not_change_the_callers_dict() -> None:
    saved, other = stepped().state_dict(), DataNormSparsifier([("former", values(2, 2))])
    other.load_state_dict(saved)
    assert_same_data(stepped(), other)
    assert all(entry["mask"].is_sparse for entry in saved["state"].values())
    other.get_mask("tensor").zero_()
    other.get_data("tensor").zero_()
    assert share_of_zeros(saved["state"]["tensor"]["mask"].to_dense()) == 0.5
    assert_same_data(stepped(), loaded(saved))


def loaded(saved: dict[str, Any]) -> DataNormSparsifier:
    sparsifier = DataNormSparsifier()
    sparsifier.load_state_dict(saved)
    return sparsifier


def test_loading_without_strict_keeps_existing_data() -> None:
    mine = values(2, 2)
    sparsifier = DataNormSparsifier([("mine", mine), ("tensor", mine)])
    sparsifier.load_state_dict(stepped().state_dict(), strict=False)
    assert sparsifier.get_data("mine") is mine
    assert sparsifier.get_data("tensor") is mine
    assert share_of_zeros(sparsifier.get_mask("embedding")) == 0.5


@pytest.mark.parametrize("key", ["state", "data_groups", "_container"])
def test_an_incomplete_state_is_refused_and_changes_nothing(key: str) -> None:
    saved, sparsifier = stepped().state_dict(), norm_sparsifier()
    if key != "state":
        sparsifier_state = dict(saved, **{key: {}})
        with pytest.raises(ConfigError, match=f"'tensor' must be in {key}"):
            sparsifier.load_state_dict(sparsifier_state)
    del saved[key]
    with pytest.raises(ConfigError, match=key):
        sparsifier.load_state_dict(saved)
    assert len(sparsifier.data_groups) == len(some_data())


# --- schedulers ----------------------------------------------------------------------------------


def test_a_schedule_sets_its_setting() -> None:
    sparsifier = norm_sparsifier(sparsity_level=0.8)
    sparsifier.data_groups["row"]["sparsity_level"] = 0.4
    scheduler = HalvingDataScheduler(sparsifier, "sparsity_level")
    assert scheduler.base_param["row"] == 0.4
    for _ in range(2):
        sparsifier.step()
        scheduler.step()
    assert scheduler.get_last_param()["row"] == 0.1
    assert sparsifier.data_groups["tensor"]["sparsity_level"] == 0.2
    assert (scheduler.state_dict()["_step_count"], scheduler.last_epoch) == (3, 2)


def test_the_wrong_order_of_steps_warns() -> None:
    scheduler = HalvingDataScheduler(norm_sparsifier(), "sparsity_level")
    with pytest.warns(UserWarning, match="before sparsifier.step") as warned:
        scheduler.step()
    assert warned[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scheduler.data_sparsifier.step()
        scheduler.step()


def test_a_schedule_does_not_enable_updates() -> None:
    sparsifier = norm_sparsifier()
    scheduler = HalvingDataScheduler(sparsifier, "sparsity_level")
    sparsifier.enable_mask_update = False
    sparsifier.step()
    scheduler.step()
    assert not sparsifier.enable_mask_update


def test_a_schedule_loads_a_pickled_state() -> None:
    source, restored = (
        HalvingDataScheduler(norm_sparsifier(), "sparsity_level"),
        HalvingDataScheduler(norm_sparsifier(), "sparsity_level"),
    )
    source.data_sparsifier.step()
    source.step()
    restored.load_state_dict(pickle.loads(pickle.dumps(source.state_dict())))
    assert restored.last_epoch == 1
    assert restored.get_last_param() == source.get_last_param()
    assert restored.data_sparsifier is not source.data_sparsifier


def test_unknown_sparsifiers_settings_and_names_are_refused() -> None:
    class UnknownNameScheduler(HalvingDataScheduler):
        def get_schedule_param(self) -> Mapping[str, Any]:
            return {"row": 0.1, "tensro": 0.1}

    with pytest.raises(TypeError, match="BaseDataSparsifier, got Linear"):
        HalvingDataScheduler(nn.Linear(1, 1), "sparsity_level")
    with pytest.raises(ConfigError, match="near: sparsity_level"):
        HalvingDataScheduler(norm_sparsifier(), "sparsity_levle")
    sparsifier = norm_sparsifier()
    with pytest.raises(ConfigError, match="unknown data 'tensro'"):
        UnknownNameScheduler(sparsifier, "sparsity_level")
    assert sparsifier.data_groups["row"]["sparsity_level"] == 0.5


def test_reprs_name_the_data(capsys: pytest.CaptureFixture[str]) -> None:
    scheduler = HalvingDataScheduler(norm_sparsifier(), "sparsity_level", verbose=True)
    assert "name: embedding" in repr(scheduler)
    assert "sparsity_level of row is now 0.5" in capsys.readouterr().out


def test_masks_follow_the_dtype_of_the_data() -> None:
    embedding = nn.Embedding(6, 4)
    sparsifier = DataNormSparsifier([("e", embedding)], 0.5, (1, 1))
    mask = sparsifier.get_mask("e")
    embedding.double()
    sparsifier.step()
    assert sparsifier.get_mask("e") is mask
    assert mask.dtype == sparsifier.get_data("e", return_original=False).dtype == torch.float64
    assert share_of_zeros(mask) == 0.5
