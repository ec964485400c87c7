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
from tests.pruning.small_models import MLP, assert_same, values


class MaskedHalf(nn.Module):
    """A parametrization of the caller's own: masks, and halves."""

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


def test_load_restores_bit_for_bit_and_does_not_change_the_callers_dict() -> None:
    saved = stepped().state_dict()
    before, sparsifier = copy.deepcopy(saved), prepared()
    sparsifier.load_state_dict(saved)
    assert_same(saved, before)
    assert_same(sparsifier.state_dict(), before)


def test_upstream_empties_the_callers_dict() -> None:
    upstream = pytest.importorskip("torch.ao.pruning")
    sparsifier = upstream.WeightNormSparsifier()
    sparsifier.prepare(MLP(), None)
    saved = sparsifier.state_dict()
    sparsifier.load_state_dict(saved)
    assert "mask" not in saved["state"]["first.weight"]


def test_a_second_load_restores_again() -> None:
    saved, sparsifier = stepped().state_dict(), prepared()
    for _ in range(2):
        sparsifier.load_state_dict(saved)
        for group in sparsifier.groups:
            group["module"].parametrizations.weight[0].mask.fill_(1)
        sparsifier.load_state_dict(saved)
        assert_same(sparsifier.state_dict(), saved)


def test_loading_shares_nothing() -> None:
    saved_from, loaded = stepped(), prepared()
    loaded.load_state_dict(saved_from.state_dict())
    loaded.groups[0]["sparsity_level"] = 0.0
    loaded.step()
    assert saved_from.groups[0]["sparsity_level"] == 0.5
    assert not saved_from.state["first.weight"]["mask"].all()


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
    saved_from, loaded = stepped(), prepared()
    assert saved_from.state != loaded.state
    loaded.load_state_dict(saved_from.state_dict())
    assert saved_from.state == loaded.state


def test_a_load_keeps_the_mask_object() -> None:
    model = MLP()
    sparsifier = prepared(model=model)
    mask = model.first.parametrizations.weight[0].mask
    sparsifier.load_state_dict(stepped().state_dict())
    assert model.first.parametrizations.weight[0].mask is mask
    assert not mask.all()


def test_loading_adds_and_removes_masks() -> None:
    saved, model = stepped([{"tensor_fqn": "first.weight"}]).state_dict(), MLP()
    sparsifier = prepared([{"tensor_fqn": "last.weight"}], model)
    sparsifier.load_state_dict(saved)
    assert hasattr(model.first, "parametrizations")
    assert not hasattr(model.last, "parametrizations")
    assert [group["tensor_fqn"] for group in sparsifier.groups] == ["first.weight"]


def test_a_loaded_mask_has_the_weights_dtype() -> None:
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


def test_loading_before_prepare_is_refused() -> None:
    with pytest.raises(ConfigError, match="load_state_dict: must follow prepare"):
        WeightNormSparsifier().load_state_dict(stepped().state_dict())


def test_strict_refuses_an_unknown_tensor_and_changes_nothing() -> None:
    saved = stepped().state_dict()
    saved["groups"][0]["tensor_fqn"] = "frist.weight"
    sparsifier = prepared()
    before = sparsifier.state_dict()
    with pytest.raises(ConfigError, match=r"frist\.weight"):
        sparsifier.load_state_dict(saved)
    assert_same(sparsifier.state_dict(), before)


def test_without_strict_an_unknown_tensor_is_ignored_and_returned() -> None:
    saved = stepped().state_dict()
    saved["groups"][0]["tensor_fqn"] = "frist.weight"
    sparsifier = prepared()
    assert sparsifier.load_state_dict(saved, strict=False).unexpected_keys == ["frist.weight"]
    assert len(sparsifier.groups) == 2


@pytest.mark.parametrize("key", ["state", "groups"])
def test_a_state_without_one_of_its_keys_is_refused(key: str) -> None:
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


def test_a_load_keeps_a_custom_parametrization() -> None:
    saved = stepped([{"tensor_fqn": "first.weight", "parametrization": MaskedHalf}]).state_dict()
    model = MLP()
    sparsifier = prepared(model=model)
    sparsifier.load_state_dict(saved)
    assert type(model.first.parametrizations.weight[0]) is MaskedHalf
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
    duplicated = duplicate(sparsifier)
    assert duplicated.colour == "blue"
    assert duplicated.defaults == {"test": 3}
    assert duplicated.enable_mask_update
    assert duplicated.step_count == 1
    assert duplicated.state == sparsifier.state


def test_prepare_restores_an_unpickled_sparsifier() -> None:
    sparsifier = stepped()
    restored = pickle.loads(pickle.dumps(sparsifier))
    model = MLP()
    restored.prepare(model)
    assert torch.equal(
        model.first.parametrizations.weight[0].mask, sparsifier.state["first.weight"]["mask"]
    )
    assert [group["sparsity_level"] for group in restored.groups] == [0.5] * 3


def test_an_unpickled_sparsifier_needs_a_model() -> None:
    with pytest.raises(ConfigError, match="step: must follow prepare"):
        pickle.loads(pickle.dumps(stepped())).step()


def test_a_deep_copy_is_independent() -> None:
    sparsifier = prepared()
    copy.deepcopy(sparsifier).step()
    assert sparsifier.state["first.weight"]["mask"].all()


def test_a_given_mask_is_copied() -> None:
    mask = torch.ones(12, 8)
    stepped([{"tensor_fqn": "first.weight", "mask": mask}])
    assert mask.all()


def test_a_state_loads_in_another_process(tmp_path: Path) -> None:
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
    process = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "state.pt")],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    kept = int(sum(entry["mask"].sum() for entry in sparsifier.state.values()))
    assert int(process.stdout) == kept


def test_masks_are_not_in_the_models_state_dict() -> None:
    model = MLP()
    prepared(model=model)
    assert not [key for key in model.state_dict() if "mask" in key]
    assert isinstance(model.first.parametrizations.weight[0], FakeSparsity)


def test_a_subclass_may_set_its_own_state() -> None:
    sparsifier = prepared()
    sparsifier.state = {"first.weight": {"epoch": 3, "mask": torch.zeros(12, 8)}}
    assert sparsifier.state["first.weight"]["epoch"] == 3
    assert sparsifier.state["first.weight"]["mask"].all()
