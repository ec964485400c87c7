"""Small models that are trained while their level changes, then pruned, saved and loaded."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sparsebench.pruning import (
    BaseStructuredSparsifier,
    FPGMPruner,
    LSTMSaliencyPruner,
    SaliencyPruner,
)
from tests.pruning.structured.structured_models import EXAMPLES, TinyResNet, parameter_count

LEVELS = [0.0, 0.25, 0.5, 0.4]  # the last one brings rows back


def train(
    model: nn.Module, pruner: BaseStructuredSparsifier, batch: Tensor, labels: Tensor
) -> None:
    """Train for a few steps at each level."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    model.train()
    for level in LEVELS:
        for group in pruner.groups:
            group["sparsity_level"] = level
        pruner.step()
        for _ in range(3):
            optimizer.zero_grad()
            F.cross_entropy(model(batch).flatten(0, -2), labels).backward()
            optimizer.step()
    model.eval()


@torch.no_grad()
def prune_and_compare(model: nn.Module, pruner: BaseStructuredSparsifier, batch: Tensor) -> None:
    """Prune, and compare the output in float32."""
    before, expected = parameter_count(model), model(batch)
    pruned = pruner.prune()
    torch.testing.assert_close(pruned(batch), expected, rtol=1e-4, atol=1e-5)
    assert parameter_count(pruned) < before


@pytest.mark.parametrize("prune_bias", [True, False])
def test_an_mlp_is_trained_and_pruned(prune_bias):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(10, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 32), nn.Sigmoid(),
        nn.Linear(32, 4),
    )  # fmt: skip
    batch, labels = torch.randn(64, 10), torch.randint(4, (64,))
    pruner = SaliencyPruner({"sparsity_level": 0.5, "prune_bias": prune_bias})
    pruner.prepare(model, [{"tensor_fqn": "0.weight"}, {"tensor_fqn": "3.weight"}])
    train(model, pruner, batch, labels)
    prune_and_compare(model, pruner, batch)
    assert model[0].out_features == 32 - int(0.4 * 32)


def test_a_resnet_is_trained_and_pruned():
    torch.manual_seed(0)
    model = TinyResNet()
    batch, labels = torch.randn(16, 3, 8, 8), torch.randint(5, (16,))
    pruner = FPGMPruner(0.5)
    pruner.prepare(model, [{"tensor_fqn": name} for name in EXAMPLES["resnet"].tensors])
    train(model, pruner, batch, labels)
    prune_and_compare(model, pruner, batch)
    assert model.blocks[1].conv1.out_channels < 12


class TinyLanguageModel(nn.Module):
    def __init__(self, vocabulary: int = 20) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, 12)
        self.lstm = nn.LSTM(12, 16, num_layers=2, dropout=0.1, batch_first=True)
        self.head = nn.Linear(16, vocabulary)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.lstm(self.embed(tokens))[0])


def test_a_language_model_is_trained_and_pruned():
    torch.manual_seed(0)
    model = TinyLanguageModel()
    tokens = torch.randint(20, (8, 12))
    pruner = LSTMSaliencyPruner()
    pruner.defaults["sparsity_level"] = 0.0
    pruner.prepare(model)
    train(model, pruner, tokens[:, :-1], tokens[:, 1:].flatten())
    prune_and_compare(model, pruner, tokens)
    assert model.lstm.hidden_size == 16 - int(0.4 * 16)
    assert model.head.in_features == model.lstm.hidden_size


LOAD = """
import sys, torch
model, batch, expected = torch.load(sys.argv[1], weights_only=False)
torch.testing.assert_close(model(batch), expected)
"""


def test_a_pruned_model_loads_in_another_process(tmp_path: Path):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.GroupNorm(2, 8), nn.Conv2d(8, 2, 3)
    ).eval()
    batch = torch.randn(2, 3, 8, 8)
    pruner = SaliencyPruner({"sparsity_level": 0.5})
    pruner.prepare(model, [{"tensor_fqn": "0.weight"}])
    pruner.step()
    with torch.no_grad():
        expected = model(batch)
        torch.testing.assert_close(pruner.prune()(batch), expected)
    assert model[0].out_channels == 4
    torch.save((model, batch, expected), tmp_path / "pruned.pt")
    command = [sys.executable, "-c", LOAD, str(tmp_path / "pruned.pt")]
    root = Path(__file__).parents[3]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
