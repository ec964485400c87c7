"""A second step looks less than the first, and sees the same."""

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from sparsebench.errors import ConfigError
from sparsebench.pruning import FakeSparsity, WeightNormSparsifier


def stepped(level: float = 0.0) -> tuple[nn.Sequential, WeightNormSparsifier]:
    model = nn.Sequential(nn.Linear(8, 8), nn.Sequential(nn.Linear(8, 4)))
    sparsifier = WeightNormSparsifier(level, (1, 4), 2)
    sparsifier.prepare(model, None)
    sparsifier.step()
    return model, sparsifier


def kept(sparsifier: WeightNormSparsifier) -> list[float]:
    return [float(entry["mask"].mean()) for entry in sparsifier.state.values()]


def change(group: dict[str, object], key: str, value: object) -> None:
    group[key] = value


CHANGES: dict[str, tuple[Callable[[dict[str, object]], None], float]] = {
    "level": (lambda group: change(group, "sparsity_level", 1.0), 0.5),
    "zeros": (lambda group: change(group, "zeros_per_block", None), 1.0),
    "not due": (lambda group: change(group, "mask_update_due", False), 0.25),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_group_is_seen(name: str) -> None:
    _, sparsifier = stepped()
    apply, want = CHANGES[name]
    sparsifier.state["0.weight"]["mask"].fill_(0.25)
    apply(sparsifier.groups[0])
    sparsifier.step()
    assert kept(sparsifier) == [want, 1.0]


@pytest.mark.parametrize(("key", "value"), [("zeros_per_block", 9), ("zeros_per_block", False)])
def test_a_setting_out_of_range_is_refused_before_any_mask(key: str, value: object) -> None:
    _, sparsifier = stepped()
    sparsifier.state["0.weight"]["mask"].zero_()
    sparsifier.groups[1][key] = value
    with pytest.raises(ConfigError, match=key):
        sparsifier.step()
    assert kept(sparsifier) == [0.0, 1.0]


def overwrite(mask: Tensor) -> None:
    mask.zero_()


def replace(mask: Tensor) -> None:
    mask.data = torch.zeros_like(mask)


def overwrite_unseen(mask: Tensor) -> None:
    mask.numpy()[:] = 0


@pytest.mark.parametrize("spoil", [overwrite, replace, overwrite_unseen])
def test_a_constant_mask_is_written_by_every_step(spoil: Callable[[Tensor], None]) -> None:
    _, sparsifier = stepped()
    spoil(sparsifier.state["0.weight"]["mask"])
    sparsifier.step()
    assert kept(sparsifier) == [1.0, 1.0]


def test_a_replaced_module_is_followed() -> None:
    model, sparsifier = stepped(1.0)
    former = model[0]
    there = type(former).__new__(type(former))
    there.__dict__.update(former.__dict__)
    model[0] = there
    sparsifier.step()
    assert sparsifier.groups[0]["module"] is there


def test_a_new_mask_buffer_is_the_one_written() -> None:
    model, sparsifier = stepped()
    masking = model[0].parametrizations["weight"][0]
    assert isinstance(masking, FakeSparsity)
    masking.mask = torch.zeros(8, 8)
    sparsifier.step()
    assert bool((masking.mask == 1).all())


def test_after_squashing_a_step_is_refused() -> None:
    _, sparsifier = stepped()
    sparsifier.squash_mask()
    with pytest.raises(ConfigError, match="must carry a mask"):
        sparsifier.step()


def test_a_copy_steps_its_own_model() -> None:
    _, sparsifier = stepped()
    twin = copy.deepcopy(sparsifier)
    sparsifier.state["0.weight"]["mask"].zero_()
    twin.step()
    assert kept(sparsifier) == [0.0, 1.0]
    assert pickle.loads(pickle.dumps(sparsifier)).groups[0]["tensor_fqn"] == "0.weight"


def test_a_subclass_has_its_own_update_called_every_time() -> None:
    calls = []

    class Own(WeightNormSparsifier):
        def update_mask(self, module: nn.Module, tensor_name: str, **kwargs: object) -> None:  # type: ignore[override]  # as its base
            calls.append(tensor_name)

    sparsifier = Own(0.0)
    sparsifier.prepare(nn.Linear(4, 4), None)
    sparsifier.step()
    sparsifier.step()
    assert calls == ["weight", "weight"]
