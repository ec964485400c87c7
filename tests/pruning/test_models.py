"""Entire models: trained, saved, loaded in another process, squashed, converted."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sparsebench.pruning import CubicSL, WandaSparsifier, WeightNormSparsifier, to_csr
from tests.pruning.architectures import ARCHITECTURES, build

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.filterwarnings("ignore:Sparse CSR tensor support:UserWarning")
NAMES = list(ARCHITECTURES)
EPOCHS = 6

LOAD = """
import sys, torch
from sparsebench.pruning import WeightNormSparsifier
from tests.pruning.architectures import build
from tests.pruning.test_models import matrices
model, x = build(sys.argv[1])
sparsifier = WeightNormSparsifier(0.75, (1, 1))
sparsifier.prepare(model, matrices(model))
saved = torch.load(sys.argv[2])
model.load_state_dict(saved["model"])
sparsifier.load_state_dict(saved["sparsifier"])
torch.save(model.eval()(x), sys.argv[3])
"""


def matrices(model: nn.Module) -> list[dict[str, Any]]:
    """Return a configuration of every weight of two or more dimensions."""
    return [{"tensor_fqn": name} for name, p in model.named_parameters() if p.ndim >= 2]


def train(name: str) -> tuple[nn.Module, WeightNormSparsifier, Tensor]:
    """Return the model after a few epochs on generated data, at its target level."""
    model, x = build(name)
    target = torch.arange(16) % 4
    sparsifier = WeightNormSparsifier(0.75, (1, 1))
    sparsifier.prepare(model, matrices(model))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    scheduler = CubicSL(sparsifier, delta_t=1, total_t=EPOCHS - 1)
    for _ in range(EPOCHS):
        optimizer.zero_grad()
        F.cross_entropy(model(x), target).backward()
        optimizer.step()
        sparsifier.step()
        scheduler.step()
    return model.eval(), sparsifier, x


def share_of_zeros(tensor: Tensor) -> float:
    return (tensor == 0).double().mean().item()


@pytest.mark.parametrize("name", NAMES)
def test_training_reaches_the_target_level(name: str) -> None:
    _, sparsifier, _ = train(name)
    for group in sparsifier.groups:
        weight = getattr(group["module"], group["tensor_name"])
        assert share_of_zeros(weight) == pytest.approx(0.75, abs=1 / weight.numel())


@pytest.mark.parametrize("name", NAMES)
def test_masks_change_the_output_and_squash_does_not(name: str) -> None:
    model, sparsifier, x = train(name)
    masked, saved = model(x), sparsifier.state_dict()
    for entry in sparsifier.state.values():
        entry["mask"].fill_(1)
    assert not torch.allclose(model(x), masked)
    sparsifier.load_state_dict(saved)
    sparsifier.squash_mask()
    torch.testing.assert_close(model(x), masked)
    assert not any(hasattr(module, "parametrizations") for module in model.modules())


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_model_loads_in_another_process(name: str, tmp_path: Path) -> None:
    model, sparsifier, x = train(name)
    saved, result = tmp_path / "saved.pt", tmp_path / "result.pt"
    torch.save({"model": model.state_dict(), "sparsifier": sparsifier.state_dict()}, saved)
    subprocess.run([sys.executable, "-c", LOAD, name, saved, result], cwd=ROOT, check=True)
    torch.testing.assert_close(torch.load(result), model(x))


@pytest.mark.parametrize("name", NAMES)
def test_a_squashed_model_runs_in_csr(name: str) -> None:
    model, sparsifier, x = train(name)
    sparsifier.squash_mask()
    expected = model(x)
    torch.testing.assert_close(to_csr(model)(x), expected)


@pytest.mark.parametrize("name", NAMES)
def test_wanda_prunes_every_linear_that_a_forward_calls(name: str) -> None:
    model, x = build(name)
    sparsifier = WandaSparsifier(0.5)
    sparsifier.prepare(model, None)
    model(x)
    sparsifier.step()
    masked = model(x)
    sparsifier.squash_mask()
    torch.testing.assert_close(model(x), masked)
    for group in sparsifier.groups:
        assert (group["module"].weight == 0).double().mean(dim=1).unique().tolist() == [0.5]
