"""Saving and restoring: state_dict, load_state_dict, pickle, deepcopy, another process."""

import copy
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sparsebench.errors import ConfigError
from sparsebench.pruning import BaseSparsifier, FakeSparsity, WeightNormSparsifier
from tests.pruning.small_models import MLP, values


class Halving(nn.Module):
    """A parametrization of a person's own: masks, and halves."""

    def __init__(self, mask: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.mask / 2


class Counting(BaseSparsifier):
    def __init__(self, colour: str = "red") -> None:
        super().__init__({"test": 3})
        self.colour = colour

    def update_mask(self, module: nn.Module, tensor_name: str, **kwargs: Any) -> None:
        module.parametrizations[tensor_name][0].mask[0] = 0
        entry = self.state[kwargs["tensor_fqn"]]
        entry["step_count"] = entry.get("step_count", 0) + 1


def prepared(
    config: list[dict[str, Any]] | None = None, model: nn.Module | None = None
) -> WeightNormSparsifier:
    sparsifier = WeightNormSparsifier(0.5, (1, 1))
    sparsifier.prepare(model or MLP(), config)
    return sparsifier


def stepped(config: list[dict[str, Any]] | None = None) -> WeightNormSparsifier:
    sparsifier = prepared(config)
    sparsifier.step()
    return sparsifier


def frozen(state_dict: dict[str, Any]) -> dict[str, Any]:
    return copy.deepcopy(state_dict)


def same(one: Any, other: Any) -> bool:
    """Equality that reaches into containers and compares tensors by dtype and bits."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def test_load_restores_bit_for_bit_and_leaves_the_callers_dict() -> None:
    saved = stepped().state_dict()
    before, other = frozen(saved), prepared()
    other.load_state_dict(saved)
    assert same(saved, before)
    assert same(other.state_dict(), before)


def test_upstream_empties_the_callers_dict() -> None:
    upstream = pytest.importorskip("torch.ao.pruning")
    sparsifier = upstream.WeightNormSparsifier()
    sparsifier.prepare(MLP(), None)
    saved = sparsifier.state_dict()
    sparsifier.load_state_dict(saved)
    assert "mask" not in saved["state"]["first.weight"]


def test_a_second_load_restores_too() -> None:
    saved, other = stepped().state_dict(), prepared()
    for _ in range(2):
        other.load_state_dict(saved)
        for group in other.groups:
            group["module"].parametrizations.weight[0].mask.fill_(1)
        other.load_state_dict(saved)
        assert same(other.state_dict(), saved)


def test_loading_shares_nothing() -> None:
    one, other = stepped(), prepared()
    other.load_state_dict(one.state_dict())
    other.groups[0]["sparsity_level"] = 0.0
    other.step()
    assert one.groups[0]["sparsity_level"] == 0.5
    assert not one.state["first.weight"]["mask"].all()


def test_a_state_dict_is_a_snapshot() -> None:
    sparsifier = prepared()
    before = sparsifier.state_dict()
    sparsifier.step()
    sparsifier.groups[0]["sparsity_level"] = 0.9
    assert before["state"]["first.weight"]["mask"].all()
    assert before["groups"][0]["sparsity_level"] == 0.5
    sparsifier.load_state_dict(before)
    assert sparsifier.state["first.weight"]["mask"].all()


def test_states_compare_by_value() -> None:
    one, other = stepped(), prepared()
    assert one.state != other.state
    other.load_state_dict(one.state_dict())
    assert one.state == other.state


def test_the_mask_object_survives_a_load() -> None:
    model = MLP()
    sparsifier = prepared(model=model)
    mask = model.first.parametrizations.weight[0].mask
    sparsifier.load_state_dict(stepped().state_dict())
    assert model.first.parametrizations.weight[0].mask is mask
    assert not mask.all()


def test_loading_masks_what_was_not_and_frees_what_is_not_named() -> None:
    saved, model = stepped([{"tensor_fqn": "first.weight"}]).state_dict(), MLP()
    sparsifier = prepared([{"tensor_fqn": "last.weight"}], model)
    sparsifier.load_state_dict(saved)
    assert hasattr(model.first, "parametrizations")
    assert not hasattr(model.last, "parametrizations")
    assert [group["tensor_fqn"] for group in sparsifier.groups] == ["first.weight"]


def test_a_mask_takes_device_and_dtype_of_the_weight() -> None:
    model = MLP().to(torch.bfloat16)
    sparsifier = prepared(model=model)
    sparsifier.load_state_dict(stepped().state_dict())
    assert sparsifier.state["first.weight"]["mask"].dtype == torch.bfloat16
    assert model(values(2, 8, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_a_state_of_upstream_loads() -> None:
    upstream = pytest.importorskip("torch.ao.pruning")
    old = upstream.WeightNormSparsifier(0.5, (1, 4), 2)
    old.prepare(MLP(), None)
    old.step()
    expected = old.state["first.weight"]["mask"].bool()
    new = prepared()
    new.load_state_dict(old.state_dict())
    mask = new.state["first.weight"]["mask"]
    assert mask.dtype == torch.float32
    assert torch.equal(mask.bool(), expected)


def test_loading_before_prepare_says_so() -> None:
    with pytest.raises(ConfigError, match="load_state_dict: must follow prepare"):
        WeightNormSparsifier().load_state_dict(stepped().state_dict())


def test_strict_refuses_an_unknown_tensor_and_changes_nothing() -> None:
    saved = stepped().state_dict()
    saved["groups"][0]["tensor_fqn"] = "frist.weight"
    sparsifier = prepared()
    before = sparsifier.state_dict()
    with pytest.raises(ConfigError, match=r"frist\.weight"):
        sparsifier.load_state_dict(saved)
    assert same(sparsifier.state_dict(), before)


def test_without_strict_it_passes_over_and_reports_it() -> None:
    saved = stepped().state_dict()
    saved["groups"][0]["tensor_fqn"] = "frist.weight"
    sparsifier = prepared()
    assert sparsifier.load_state_dict(saved, strict=False).unexpected_keys == ["frist.weight"]
    assert len(sparsifier.groups) == 2


@pytest.mark.parametrize("key", ["state", "groups"])
def test_a_dict_that_is_no_state_is_refused(key: str) -> None:
    saved = stepped().state_dict()
    del saved[key]
    with pytest.raises(ConfigError, match=key):
        prepared().load_state_dict(saved)


def test_a_mask_of_another_shape_is_refused_and_changes_nothing() -> None:
    saved = stepped().state_dict()
    saved["state"]["last.weight"]["mask"] = torch.zeros(3, 3)
    sparsifier = prepared()
    with pytest.raises(ConfigError, match=r"last\.weight: a mask must have .* \(4, 12\)"):
        sparsifier.load_state_dict(saved)
    assert sparsifier.state["first.weight"]["mask"].all()


def test_a_custom_parametrization_survives_a_load() -> None:
    saved = stepped([{"tensor_fqn": "first.weight", "parametrization": Halving}]).state_dict()
    model = MLP()
    sparsifier = prepared(model=model)
    sparsifier.load_state_dict(saved)
    assert type(model.first.parametrizations.weight[0]) is Halving
    assert len(model.first.parametrizations.weight) == 1
    assert not model.first.parametrizations.weight[0].mask.all()


def test_a_prepared_model_loads_its_own_state_dict_strictly() -> None:
    model = MLP()
    prepared(model=model)
    assert not model.load_state_dict(model.state_dict(), strict=True).missing_keys


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))])
def test_copies_keep_every_attribute(duplicate: Any) -> None:
    sparsifier = Counting("blue")
    sparsifier.prepare(MLP(), None)
    sparsifier.enable_mask_update = True
    sparsifier.step()
    twin = duplicate(sparsifier)
    assert twin.colour == "blue"
    assert twin.defaults == {"test": 3}
    assert twin.enable_mask_update
    assert twin._step_count == 1
    assert twin.state == sparsifier.state


def test_an_unpickled_sparsifier_takes_up_where_it_was() -> None:
    sparsifier = stepped()
    twin = pickle.loads(pickle.dumps(sparsifier))
    model = MLP()
    twin.prepare(model)
    assert torch.equal(
        model.first.parametrizations.weight[0].mask, sparsifier.state["first.weight"]["mask"]
    )
    assert [group["sparsity_level"] for group in twin.groups] == [0.5] * 3


def test_an_unpickled_sparsifier_says_that_it_needs_a_model() -> None:
    with pytest.raises(ConfigError, match="step: must follow prepare"):
        pickle.loads(pickle.dumps(stepped())).step()


def test_a_deep_copy_is_independent() -> None:
    sparsifier = prepared()
    copy.deepcopy(sparsifier).step()
    assert sparsifier.state["first.weight"]["mask"].all()


def test_a_given_mask_is_copied() -> None:
    given = torch.ones(12, 8)
    stepped([{"tensor_fqn": "first.weight", "mask": given}])
    assert given.all()


def test_a_state_crosses_into_another_process(tmp_path: Path) -> None:
    sparsifier = stepped()
    torch.save(sparsifier.state_dict(), tmp_path / "state.pt")
    script = (
        "import sys, torch\n"
        "from sparsebench.pruning import WeightNormSparsifier\n"
        "from tests.pruning.small_models import MLP\n"
        "s = WeightNormSparsifier(0.5, (1, 1)); s.prepare(MLP(), None)\n"
        "s.load_state_dict(torch.load(sys.argv[1]))\n"
        "print(int(sum(e['mask'].sum() for e in s.state.values())))\n"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "state.pt")],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    kept = int(sum(entry["mask"].sum() for entry in sparsifier.state.values()))
    assert int(done.stdout) == kept


def test_masks_are_not_in_the_models_state_dict() -> None:
    model = MLP()
    prepared(model=model)
    assert not [key for key in model.state_dict() if "mask" in key]
    assert isinstance(model.first.parametrizations.weight[0], FakeSparsity)


def test_a_subclass_may_bring_its_own_state() -> None:
    sparsifier = prepared()
    sparsifier.state = {"first.weight": {"epoch": 3, "mask": torch.zeros(12, 8)}}
    assert sparsifier.state["first.weight"]["epoch"] == 3
    assert sparsifier.state["first.weight"]["mask"].all()
