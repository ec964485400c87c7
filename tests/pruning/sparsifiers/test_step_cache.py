"""A step with cached groups notices every change that a step without them would."""

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


def mask_means(sparsifier: WeightNormSparsifier) -> list[float]:
    return [float(entry["mask"].mean()) for entry in sparsifier.state.values()]


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("sparsity_level", 1.0, 0.5),
        ("zeros_per_block", None, 1.0),
        ("mask_update_due", False, 0.25),
    ],
)
def test_a_changed_setting_is_used(key: str, value: object, expected: float) -> None:
    _, sparsifier = stepped()
    sparsifier.state["0.weight"]["mask"].fill_(0.25)
    sparsifier.groups[0][key] = value
    sparsifier.step()
    assert mask_means(sparsifier) == [expected, 1.0]


@pytest.mark.parametrize(("key", "value"), [("zeros_per_block", 9), ("zeros_per_block", False)])
def test_a_setting_out_of_range_is_refused_before_any_mask_changes(key: str, value: object) -> None:
    _, sparsifier = stepped()
    sparsifier.state["0.weight"]["mask"].zero_()
    sparsifier.groups[1][key] = value
    with pytest.raises(ConfigError, match=key):
        sparsifier.step()
    assert mask_means(sparsifier) == [0.0, 1.0]


def replace_data(mask: Tensor) -> None:
    mask.data = torch.zeros_like(mask)


def overwrite_through_numpy(mask: Tensor) -> None:
    mask.numpy()[:] = 0


@pytest.mark.parametrize("corrupt", [Tensor.zero_, replace_data, overwrite_through_numpy])
def test_a_constant_mask_is_written_by_every_step(corrupt: Callable[[Tensor], object]) -> None:
    _, sparsifier = stepped()
    corrupt(sparsifier.state["0.weight"]["mask"])
    sparsifier.step()
    assert mask_means(sparsifier) == [1.0, 1.0]


def test_a_replaced_module_is_followed() -> None:
    model, sparsifier = stepped(1.0)
    former = model[0]
    replacement = type(former).__new__(type(former))
    replacement.__dict__.update(former.__dict__)
    model[0] = replacement
    sparsifier.step()
    assert sparsifier.groups[0]["module"] is replacement


def test_a_new_mask_buffer_is_written() -> None:
    model, sparsifier = stepped()
    parametrization = model[0].parametrizations["weight"][0]
    assert isinstance(parametrization, FakeSparsity)
    parametrization.mask = torch.zeros(8, 8)
    sparsifier.step()
    assert bool((parametrization.mask == 1).all())


def test_after_squashing_a_step_is_refused() -> None:
    _, sparsifier = stepped()
    sparsifier.squash_mask()
    with pytest.raises(ConfigError, match="must carry a mask"):
        sparsifier.step()


def test_a_copy_steps_its_own_model() -> None:
    _, sparsifier = stepped()
    duplicate = copy.deepcopy(sparsifier)
    sparsifier.state["0.weight"]["mask"].zero_()
    duplicate.step()
    assert mask_means(sparsifier) == [0.0, 1.0]
    assert pickle.loads(pickle.dumps(sparsifier)).groups[0]["tensor_fqn"] == "0.weight"


def test_every_step_calls_the_update_mask_of_a_subclass() -> None:
    calls = []

    class RecordingSparsifier(WeightNormSparsifier):
        def update_mask(self, module: nn.Module, tensor_name: str, **kwargs: object) -> None:  # type: ignore[override]  # as its base
            calls.append(tensor_name)

    sparsifier = RecordingSparsifier(0.0)
    sparsifier.prepare(nn.Linear(4, 4), None)
    sparsifier.step()
    sparsifier.step()
    assert calls == ["weight", "weight"]
