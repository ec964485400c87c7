"""The Lightning callbacks, with a fake Lightning: hooks are called as a Trainer does."""

import importlib
import sys
from collections.abc import Iterator, Mapping
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

import sparsebench.pruning
from sparsebench.pruning import BaseDataScheduler, DataNormSparsifier
from tests.pruning.small_models import MLP

MODULE = "sparsebench.pruning.data.lightning_callbacks"
ARGUMENTS = {"sparsity_level": 0.5, "sparse_block_shape": (1, 1)}


class Rising(BaseDataScheduler):
    def get_schedule_param(self) -> Mapping[str, Any]:
        return dict.fromkeys(self.data_sparsifier.data_groups, 0.25 * (1 + self.last_epoch))


@pytest.fixture
def lightning(monkeypatch: pytest.MonkeyPatch) -> Iterator[type]:
    """Install a fake module ``pytorch_lightning`` with a Callback."""

    class Callback:
        pass

    fake = ModuleType("pytorch_lightning")
    fake.callbacks = SimpleNamespace(Callback=Callback)  # type: ignore[attr-defined]  # a fake module
    monkeypatch.setitem(sys.modules, "pytorch_lightning", fake)
    unload_callbacks()
    yield Callback
    unload_callbacks()


def unload_callbacks() -> None:
    sys.modules.pop(MODULE, None)
    vars(sparsebench.pruning.data).pop("lightning_callbacks", None)


def fit(callback: Any, epochs: int) -> nn.Module:
    """Call the hooks that a Trainer calls; training only adds to the weights."""
    module = SimpleNamespace(model=MLP())
    getattr(callback, "on_train_start", lambda *_: None)(None, module)
    for _ in range(epochs):
        getattr(callback, "on_train_epoch_start", lambda *_: None)(None, module)
        with torch.no_grad():
            module.model.first.weight.add_(1)
        getattr(callback, "on_train_epoch_end", lambda *_: None)(None, module)
    for hook in ("on_train_end", "on_fit_end"):
        getattr(callback, hook, lambda *_: None)(None, module)
    return module.model


def shares_of_zeros(model: nn.Module) -> list[float]:
    return [(parameter == 0).double().mean().item() for parameter in model.parameters()]


def test_after_training_a_copy_is_pruned(lightning: type) -> None:
    callback = sparsebench.pruning.PostTrainingDataSparsity(DataNormSparsifier, ARGUMENTS)
    assert isinstance(callback, lightning)
    model = fit(callback, 1)
    assert shares_of_zeros(callback.sparsified) == [0.5] * 5
    assert not any(shares_of_zeros(model))
    assert "middle.0.weight" in callback.data_sparsifier.data_groups


def test_during_training_a_copy_follows_the_schedule(lightning: type) -> None:
    callback = sparsebench.pruning.TrainingAwareDataSparsity(
        DataNormSparsifier, ARGUMENTS, Rising, {"schedule_param": "sparsity_level"}
    )
    model = fit(callback, 3)
    assert shares_of_zeros(callback.sparsified) == [0.75] * 5
    assert not any(shares_of_zeros(model))
    assert callback.data_scheduler.last_epoch == 3
    assert callback.data_sparsifier.data_groups["first.bias"]["sparsity_level"] == 1.0


def test_without_lightning_an_import_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("lightning", "lightning.pytorch", "pytorch_lightning"):
        monkeypatch.setitem(sys.modules, name, None)
    unload_callbacks()
    with pytest.raises(ImportError, match="callbacks need Lightning"):
        _ = sparsebench.pruning.TrainingAwareDataSparsity


def test_importing_the_package_imports_no_lightning() -> None:
    unload_callbacks()
    importlib.import_module("sparsebench.pruning")
    assert MODULE not in sys.modules


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Colour'"):
        _ = sparsebench.pruning.Colour
