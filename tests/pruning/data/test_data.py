"""Data sparsifiers and their schedulers: names, references, masks, state, refusals."""

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
from tests.pruning.small_models import values

ROOT = Path(__file__).parents[3]


class FirstRow(BaseDataSparsifier):
    def update_mask(self, name: str, data: Tensor, **kwargs: Any) -> None:
        self.get_mask(name)[0] = 0
        self.state[name]["step_count"] = self.state[name].get("step_count", 0) + 1


class Halving(BaseDataScheduler):
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


def norm(**settings: Any) -> DataNormSparsifier:
    return DataNormSparsifier(some_data(), **{"sparse_block_shape": (1, 1), **settings})


def zeros(tensor: Tensor) -> float:
    return (tensor == 0).double().mean().item()


@pytest.mark.parametrize(("name", "data"), some_data(), ids=[name for name, _ in some_data()])
def test_data_is_masked_and_stays_its_owners(name: str, data: Any) -> None:
    sparsifier = FirstRow([(name, data)], test=3)
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


def test_a_change_of_the_data_is_seen() -> None:
    weight = values(4, 4)
    sparsifier = DataNormSparsifier([("w", weight)], 0.5, (1, 1))
    weight.data = torch.arange(16.0).view(4, 4)
    sparsifier.step()
    assert sparsifier.get_data("w", return_original=False).flatten()[:8].tolist() == [0.0] * 8


def test_names_with_dots_do_not_collide() -> None:
    dotted, plain, odd = values(2, 2), values(2, 2, seed=1), values(2, 2, seed=2)
    names = {"a.b": dotted, "a_b": plain, "a%2Eb": odd, "training": plain, "items": odd, "": odd}
    sparsifier = FirstRow(list(names.items()))
    for name, tensor in names.items():
        assert sparsifier.get_data(name) is tensor
    twin = FirstRow()
    twin.load_state_dict(sparsifier.state_dict())
    for name, tensor in names.items():
        assert torch.equal(twin.get_data(name), tensor)


def test_plain_names_are_the_containers_own() -> None:
    sparsifier = norm()
    assert all(hasattr(sparsifier._container, name) for name, _ in some_data())


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


def test_no_level_prunes_nothing_and_a_whole_level_everything() -> None:
    sparsifier = norm(sparsity_level=-0.5)
    sparsifier.step()
    assert all(sparsifier.get_mask(name).all() for name in sparsifier.data_groups)
    for group in sparsifier.data_groups.values():
        group["sparsity_level"] = 1.5
    sparsifier.step()
    assert not any(sparsifier.get_mask(name).any() for name in sparsifier.data_groups)


def test_none_zeros_is_the_whole_block_in_force() -> None:
    sparsifier = DataNormSparsifier(sparsity_level=0.5)
    sparsifier.add_data("w", values(4, 4), sparse_block_shape=(2, 2))
    sparsifier.step()
    blocks = sparsifier.get_mask("w").view(2, 2, 2, 2).transpose(1, 2).reshape(4, 4)
    assert sorted(blocks.sum(1).tolist()) == [0, 0, 4, 4]


def test_more_dimensions_are_first_and_all_others() -> None:
    weight = values(4, 3, 2, 2)
    sparsifier = DataNormSparsifier([("conv", weight), ("flat", weight.flatten(1))], 0.5)
    sparsifier.step()
    assert torch.equal(sparsifier.get_mask("conv").flatten(1), sparsifier.get_mask("flat"))


# --- replacing -----------------------------------------------------------------------------------


def test_replacing_keeps_configuration_and_mask() -> None:
    sparsifier, new = FirstRow([("w", values(3, 3))], test=3), values(3, 3, seed=1)
    sparsifier.step()
    with pytest.warns(UserWarning, match="'w' was there before"):
        sparsifier.add_data("w", new, colour="red")
    assert sparsifier.get_data("w") is new
    assert not sparsifier.get_mask("w")[0].any()
    assert sparsifier.data_groups["w"] == {"test": 3, "colour": "red"}


@pytest.mark.filterwarnings("ignore:data 'w'")
def test_replacing_may_start_with_a_new_mask_and_shape() -> None:
    sparsifier = FirstRow([("w", values(3, 3))])
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
    sparsifier = norm()
    before = sparsifier.get_data("tensor")
    with pytest.raises(ConfigError, match=message):
        sparsifier.add_data("tensor", data, **config)
    assert sparsifier.get_data("tensor") is before
    assert sparsifier.data_groups["tensor"]["sparsity_level"] == 0.5


# --- squash and refusals -------------------------------------------------------------------------


def test_squash_can_be_of_some() -> None:
    sparsifier = norm()
    sparsifier.step()
    sparsifier.squash_mask(names=["tensor"])
    with pytest.raises(ConfigError, match="must not be squashed"):
        sparsifier.get_data("tensor")
    assert zeros(sparsifier.get_data("tensor", return_original=False)) == 0.5
    assert zeros(sparsifier.get_data("parameter")) == 0
    sparsifier.squash_mask()
    with pytest.raises(ConfigError, match="squashed already"):
        sparsifier.squash_mask()
    with pytest.raises(ConfigError, match="must not be squashed"):
        sparsifier.step()


def test_squash_can_leave_the_data_as_it_was() -> None:
    weight = values(4, 4)
    sparsifier = DataNormSparsifier([("w", weight)], 0.5, (1, 1))
    sparsifier.step()
    sparsifier.squash_mask(leave_parametrized=False)
    assert zeros(weight) == 0


@pytest.mark.parametrize("call", ["get_data", "get_mask", "_delete_data"])
def test_unknown_names_are_refused(call: str) -> None:
    with pytest.raises(ConfigError, match="unknown data 'tensro'; near: tensor"):
        getattr(norm(), call)("tensro")
    with pytest.raises(ConfigError, match="tensro"):
        norm().squash_mask(names=["tensro"])


def test_prepare_points_to_add_data() -> None:
    with pytest.raises(NotImplementedError, match="add_data"):
        norm().prepare(nn.Linear(1, 1), None)


def test_an_unknown_norm_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown norm 'L3'"):
        DataNormSparsifier(norm="L3")


def test_updates_can_be_disabled() -> None:
    sparsifier = norm()
    sparsifier.enable_mask_update = False
    sparsifier.step()
    assert sparsifier.get_mask("tensor").all()


def test_importing_changes_no_warnings_filter() -> None:
    script = "import warnings, torch; n = list(warnings.filters); import sparsebench.pruning; "
    done = subprocess.run(
        [sys.executable, "-c", script + "print(n == list(warnings.filters))"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "True"


# --- state ---------------------------------------------------------------------------------------


def stepped() -> DataNormSparsifier:
    sparsifier = norm()
    sparsifier.step()
    return sparsifier


def same(one: BaseDataSparsifier, other: BaseDataSparsifier) -> bool:
    names = one.data_groups.keys()
    return one.data_groups == other.data_groups and all(
        torch.equal(one.get_mask(n), other.get_mask(n))
        and one.get_mask(n).dtype == other.get_mask(n).dtype
        and torch.equal(one.get_data(n, False), other.get_data(n, False))
        for n in names
    )


@pytest.mark.parametrize("squashed", [False, True])
@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))], ids=["copy", "pickle"]
)
def test_copies_are_whole_and_independent(duplicate: Any, squashed: bool) -> None:
    sparsifier = stepped()
    if squashed:
        sparsifier.squash_mask()
    twin = duplicate(sparsifier)
    assert same(sparsifier, twin)
    assert twin.norm == "L1"
    assert twin._container.is_masked("tensor") is not squashed
    twin.get_data("tensor", return_original=False).zero_()
    twin.get_mask("tensor").zero_()
    assert zeros(sparsifier.get_mask("tensor")) == 0.5


def test_loading_restores_and_leaves_the_callers_dict() -> None:
    saved, other = stepped().state_dict(), DataNormSparsifier([("gone", values(2, 2))])
    other.load_state_dict(saved)
    assert same(stepped(), other)
    assert all(entry["mask"].is_sparse for entry in saved["state"].values())
    other.get_mask("tensor").zero_()
    other.get_data("tensor").zero_()
    assert zeros(saved["state"]["tensor"]["mask"].to_dense()) == 0.5
    assert same(stepped(), _loaded(saved))


def _loaded(saved: dict[str, Any]) -> DataNormSparsifier:
    sparsifier = DataNormSparsifier()
    sparsifier.load_state_dict(saved)
    return sparsifier


def test_loading_without_strict_adds_to_what_is_there() -> None:
    mine = values(2, 2)
    sparsifier = DataNormSparsifier([("mine", mine), ("tensor", mine)])
    sparsifier.load_state_dict(stepped().state_dict(), strict=False)
    assert sparsifier.get_data("mine") is mine
    assert sparsifier.get_data("tensor") is mine
    assert zeros(sparsifier.get_mask("embedding")) == 0.5


@pytest.mark.parametrize("key", ["state", "data_groups", "_container"])
def test_an_incomplete_state_is_refused_and_changes_nothing(key: str) -> None:
    saved, sparsifier = stepped().state_dict(), norm()
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
    sparsifier = norm(sparsity_level=0.8)
    sparsifier.data_groups["row"]["sparsity_level"] = 0.4
    scheduler = Halving(sparsifier, "sparsity_level")
    assert scheduler.base_param["row"] == 0.4
    for _ in range(2):
        sparsifier.step()
        scheduler.step()
    assert scheduler.get_last_param()["row"] == 0.1
    assert sparsifier.data_groups["tensor"]["sparsity_level"] == 0.2
    assert (scheduler._step_count, scheduler.last_epoch) == (3, 2)


def test_the_order_of_steps_is_watched() -> None:
    scheduler = Halving(norm(), "sparsity_level")
    with pytest.warns(UserWarning, match="before sparsifier.step") as caught:
        scheduler.step()
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scheduler.data_sparsifier.step()
        scheduler.step()


def test_a_schedule_leaves_disabled_updates_disabled() -> None:
    sparsifier = norm()
    scheduler = Halving(sparsifier, "sparsity_level")
    sparsifier.enable_mask_update = False
    sparsifier.step()
    scheduler.step()
    assert not sparsifier.enable_mask_update


def test_a_schedules_state_resumes() -> None:
    one, other = Halving(norm(), "sparsity_level"), Halving(norm(), "sparsity_level")
    one.data_sparsifier.step()
    one.step()
    other.load_state_dict(pickle.loads(pickle.dumps(one.state_dict())))
    assert other.last_epoch == 1
    assert other.get_last_param() == one.get_last_param()
    assert other.data_sparsifier is not one.data_sparsifier


def test_what_cannot_be_scheduled_is_refused() -> None:
    class Stray(Halving):
        def get_schedule_param(self) -> Mapping[str, Any]:
            return {"row": 0.1, "tensro": 0.1}

    with pytest.raises(TypeError, match="BaseDataSparsifier, got Linear"):
        Halving(nn.Linear(1, 1), "sparsity_level")
    with pytest.raises(ConfigError, match="near: sparsity_level"):
        Halving(norm(), "sparsity_levle")
    sparsifier = norm()
    with pytest.raises(ConfigError, match="unknown data 'tensro'"):
        Stray(sparsifier, "sparsity_level")
    assert sparsifier.data_groups["row"]["sparsity_level"] == 0.5


def test_reprs_say_what_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    scheduler = Halving(norm(), "sparsity_level", verbose=True)
    assert "name: embedding" in repr(scheduler)
    assert "sparsity_level of row is now 0.5" in capsys.readouterr().out


def test_masks_follow_data_that_its_owner_moves() -> None:
    embedding = nn.Embedding(6, 4)
    sparsifier = DataNormSparsifier([("e", embedding)], 0.5, (1, 1))
    mask = sparsifier.get_mask("e")
    embedding.double()
    sparsifier.step()
    assert sparsifier.get_mask("e") is mask
    assert mask.dtype == sparsifier.get_data("e", return_original=False).dtype == torch.float64
    assert zeros(mask) == 0.5
