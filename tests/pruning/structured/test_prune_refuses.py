"""prune() refuses by name what it cannot do exactly, and does not change the model then."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from sparsebench.errors import ConfigError
from sparsebench.pruning import LSTMSaliencyPruner, SaliencyPruner
from tests.pruning.structured.structured_models import LstmAndHead, RowPruner


class ModelLayers(nn.Module):
    """Layers for the models below: most apply an operation between ``first`` and ``second``."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.attention = nn.MultiheadAttention(4, 2)
        self.upsample = nn.ConvTranspose2d(4, 2, 2)
        self.embedding = nn.Embedding(4, 4)


class SoftmaxModel(ModelLayers):
    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.softmax(self.first(x), -1))


class LogSoftmaxModule(ModelLayers):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.LogSoftmax(-1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.first(x))


class MatmulModel(ModelLayers):
    def forward(self, x: Tensor) -> Tensor:
        return self.first(x) @ self.second.weight


class TiedWeight(ModelLayers):
    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x)) + F.linear(x, self.first.weight)


class TiedReaderWeight(ModelLayers):
    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x)) + F.linear(x, self.second.weight)


class FixedSizeView(ModelLayers):
    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x).view(-1, 4))


class SplitHeads(ModelLayers):
    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x).view(x.size(0), 2, -1).flatten(1))


class UnflattenedChannels(ModelLayers):
    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x).unflatten(-1, (2, 2)).flatten(-2))


class PermuteByKeyword(ModelLayers):
    def forward(self, x: Tensor) -> Tensor:
        return self.upsample(self.conv(x).permute(dims=(0, 1, 2, 3)))


class AttentionModel(ModelLayers):
    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.second(self.attention(x, x, x)[0])


class SlicedChannels(ModelLayers):
    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.conv(x)[:, :4].mean((2, 3)))


class MixedConcatenation(ModelLayers):
    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.cat([self.first(x)[:, :2], x[:, :2]], 1))


class BranchOnInput(ModelLayers):
    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x)) if x.sum() > 0 else x


class PackedSequence(ModelLayers):
    def forward(self, x: Tensor) -> Tensor:
        packed = nn.utils.rnn.pack_padded_sequence(self.first(x), x[0])
        return nn.utils.rnn.pad_packed_sequence(packed)[0]


class InputLength(ModelLayers):
    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x)) * len(x)


class SliceAssignment(ModelLayers):
    def forward(self, x: Tensor) -> Tensor:
        out = torch.zeros_like(x)
        out[:, :] = self.first(x)
        return self.second(out)


class UnusedLayer(ModelLayers):
    def forward(self, x: Tensor) -> Tensor:
        return self.second(x)


class TransposedConvolution(ModelLayers):
    def forward(self, x: Tensor) -> Tensor:
        return self.upsample(self.conv(x))


class DoubledLinear(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


class SubclassWithForward(ModelLayers):
    def __init__(self) -> None:
        super().__init__()
        self.first = DoubledLinear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))


class WeightNormalized(ModelLayers):
    def __init__(self) -> None:
        super().__init__()
        self.second = weight_norm(self.second)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))


CASES = [
    (SoftmaxModel, "first.weight", r"softmax \(softmax\) is not supported with fewer channels"),
    (LogSoftmaxModule, "first.weight", r"head \(LogSoftmax\) is not supported"),
    (MatmulModel, "first.weight", r"matmul \(matmul\) is not supported"),
    (TiedWeight, "first.weight", r"first\.weight is read by the model's forward directly"),
    (TiedReaderWeight, "first.weight", r"second\.weight is read by the model's forward directly"),
    (FixedSizeView, "first.weight", r"view \(view\) has a size that depends on the channels"),
    (SplitHeads, "first.weight", r"view \(view\) has a fixed number of channels"),
    (UnflattenedChannels, "first.weight", r"unflatten \(unflatten\) is not supported"),
    (PermuteByKeyword, "conv.weight", r"permute \(permute\) is called with arguments that are not"),
    (AttentionModel, "first.weight", r"attention \(MultiheadAttention\) is not supported"),
    (SlicedChannels, "conv.weight", r"getitem \(getitem\) takes only some of the channels"),
    (MixedConcatenation, "first.weight", r"getitem \(getitem\) names dimensions of a tensor whose"),
    (BranchOnInput, "first.weight", "torch.fx must be able to trace the model"),
    (PackedSequence, "first.weight", "torch.fx must be able to trace the model, got TypeError"),
    (InputLength, "first.weight", "torch.fx must be able to trace the model, got RuntimeError"),
    (SliceAssignment, "first.weight", "torch.fx must be able to trace the model, got TypeError"),
    (UnusedLayer, "first.weight", r"first\.weight must belong to a Linear, Conv or LSTM that"),
    (TransposedConvolution, "conv.weight", r"upsample \(ConvTranspose2d\) is not supported"),
    (SubclassWithForward, "first.weight", r"first\.weight must .* got a ParametrizedDoubledLinear"),
    (WeightNormalized, "first.weight", r"second \(.*\) has another parametrization on weight"),
    (UnusedLayer, "embedding.weight", r"embedding\.weight must belong to"),
    (TransposedConvolution, "upsample.weight", r"upsample\.weight must belong to"),
]  # fmt: skip


@pytest.mark.parametrize(("model_class", "tensor_fqn", "message"), CASES)
def test_what_cannot_lose_channels_is_refused_by_name(model_class, tensor_fqn, message):
    model = model_class()
    pruner = RowPruner({"rows": [0, 2]})
    pruner.prepare(model, [{"tensor_fqn": tensor_fqn}])
    pruner.step()
    before = copy.deepcopy(model.state_dict())
    attributes = set(vars(model))
    with pytest.raises(ConfigError, match=message):
        pruner.prune()
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[key], before[key]) for key in before)
    assert set(vars(model)) == attributes
    pruner.step()  # still prepared
    pruner.squash_mask()


@pytest.mark.parametrize(
    "model_class", [SoftmaxModel, MatmulModel, SlicedChannels, FixedSizeView, WeightNormalized]
)
def test_nothing_is_refused_where_nothing_is_pruned(model_class):
    model = model_class()
    pruner = RowPruner({"rows": []})
    name = "conv.weight" if model_class is SlicedChannels else "first.weight"
    pruner.prepare(model, [{"tensor_fqn": name}])
    pruner.step()
    x = torch.randn(3, 2, 4, 4) if model_class is SlicedChannels else torch.randn(3, 4)
    expected = model(x)
    torch.testing.assert_close(pruner.prune()(x), expected)


class LstmWithState(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 4)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> Tensor:
        return self.lstm(x, state)[0]


def test_an_lstm_with_given_states_is_refused():
    model = LstmWithState()
    pruner = LSTMSaliencyPruner({"sparsity_level": 0.5})
    pruner.prepare(model)
    pruner.step()
    with pytest.raises(ConfigError, match=r"lstm \(ParametrizedLSTM\) is called with an initial"):
        pruner.prune()


def test_an_lstm_with_projections_is_refused():
    model = nn.Sequential(nn.LSTM(3, 4, proj_size=2))
    pruner = RowPruner({"rows": [0, 1, 4, 5, 8, 9, 12, 13]})
    pruner.prepare(model)
    pruner.step()
    with pytest.raises(ConfigError, match="has projections"):
        pruner.prune()


def test_prune_needs_a_prepared_model():
    pruner = SaliencyPruner({"sparsity_level": 0.5})
    with pytest.raises(ConfigError, match="must follow prepare"):
        pruner.prune()


def test_prune_and_step_are_refused_after_prune():
    model = nn.Sequential(nn.Linear(3, 4))
    pruner = SaliencyPruner({"sparsity_level": 0.5})
    pruner.prepare(model)
    pruner.step()
    pruner.prune()
    for method in (pruner.prune, pruner.step):
        with pytest.raises(ConfigError, match=r"0\.weight must carry a mask"):
            method()


def test_optional_arguments_have_their_default_in_the_graph():
    class LstmWithOptionalState(LstmAndHead):
        def forward(self, x: Tensor, state: tuple[Tensor, Tensor] | None = None) -> Tensor:
            out, state = self.lstm(torch.tanh(self.embed(x)), state)
            return self.head(out), state

    model = LstmWithOptionalState().eval()
    pruner = LSTMSaliencyPruner({"sparsity_level": 0.5})
    pruner.prepare(model)
    pruner.step()
    first, second = torch.randn(2, 3, 5), torch.randn(2, 1, 5)
    with torch.no_grad():
        _, state = model(first)
        expected, _ = model(second, state)
        _, state = pruner.prune()(first)
        assert state[0].shape == (1, 2, 4)
        torch.testing.assert_close(model(second, state)[0], expected)
