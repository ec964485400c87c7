"""What prune() cannot do exactly it refuses by name, and leaves the model as it was."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from sparsebench.errors import ConfigError
from sparsebench.pruning import LSTMSaliencyPruner, SaliencyPruner
from tests.pruning.structured.structured_models import Recurrent, RowPruner


class Body(nn.Module):
    """A masked layer, something, and a reader."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.attention = nn.MultiheadAttention(4, 2)
        self.upwards = nn.ConvTranspose2d(4, 2, 2)
        self.words = nn.Embedding(4, 4)


class Softmax(Body):
    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.softmax(self.first(x), -1))


class LogSoftmaxModule(Body):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.LogSoftmax(-1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.first(x))


class Matmul(Body):
    def forward(self, x: Tensor) -> Tensor:
        return self.first(x) @ self.second.weight


class Tied(Body):
    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x)) + F.linear(x, self.first.weight)


class TiedReader(Body):
    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x)) + F.linear(x, self.second.weight)


class FixedView(Body):
    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x).view(-1, 4))


class Heads(Body):
    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x).view(x.size(0), 2, -1).flatten(1))


class Unflattened(Body):
    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x).unflatten(-1, (2, 2)).flatten(-2))


class Named(Body):
    def forward(self, x: Tensor) -> Tensor:
        return self.upwards(self.conv(x).permute(dims=(0, 1, 2, 3)))


class Attention(Body):
    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.second(self.attention(x, x, x)[0])


class Sliced(Body):
    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.conv(x)[:, :4].mean((2, 3)))


class MixedConcatenation(Body):
    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.cat([self.first(x)[:, :2], x[:, :2]], 1))


class Branching(Body):
    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x)) if x.sum() > 0 else x


class Packed(Body):
    def forward(self, x: Tensor) -> Tensor:
        packed = nn.utils.rnn.pack_padded_sequence(self.first(x), x[0])
        return nn.utils.rnn.pad_packed_sequence(packed)[0]


class Counted(Body):
    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x)) * len(x)


class Written(Body):
    def forward(self, x: Tensor) -> Tensor:
        out = torch.zeros_like(x)
        out[:, :] = self.first(x)
        return self.second(out)


class Unused(Body):
    def forward(self, x: Tensor) -> Tensor:
        return self.second(x)


class Transposed(Body):
    def forward(self, x: Tensor) -> Tensor:
        return self.upwards(self.conv(x))


class Own(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


class OwnLinear(Body):
    def __init__(self) -> None:
        super().__init__()
        self.first = Own(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))


class Normed(Body):
    def __init__(self) -> None:
        super().__init__()
        self.second = weight_norm(self.second)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))


CASES = [
    (Softmax, "first.weight", r"softmax \(softmax\) is of a kind that cannot lose channels"),
    (LogSoftmaxModule, "first.weight", r"head \(LogSoftmax\) is of a kind"),
    (Matmul, "first.weight", r"matmul \(matmul\) is of a kind"),
    (Tied, "first.weight", r"first\.weight is read by the model's forward directly"),
    (TiedReader, "first.weight", r"second\.weight is read by the model's forward directly"),
    (FixedView, "first.weight", r"view \(view\) has a size that depends on the channels"),
    (Heads, "first.weight", r"view \(view\) has a fixed number of channels"),
    (Unflattened, "first.weight", r"unflatten \(unflatten\) is of a kind"),
    (Named, "conv.weight", r"permute \(permute\) is called with arguments that are not"),
    (Attention, "first.weight", r"attention \(MultiheadAttention\) is of a kind"),
    (Sliced, "conv.weight", r"getitem \(getitem\) takes some of the channels"),
    (MixedConcatenation, "first.weight", r"getitem \(getitem\) names dimensions of a tensor whose"),
    (Branching, "first.weight", "torch.fx must be able to trace the model"),
    (Packed, "first.weight", "torch.fx must be able to trace the model, got TypeError"),
    (Counted, "first.weight", "torch.fx must be able to trace the model, got RuntimeError"),
    (Written, "first.weight", "torch.fx must be able to trace the model, got TypeError"),
    (Unused, "first.weight", r"first\.weight must belong to a Linear, Conv or LSTM that"),
    (Transposed, "conv.weight", r"upwards \(ConvTranspose2d\) is of a kind"),
    (OwnLinear, "first.weight", r"first\.weight must belong to .* got a ParametrizedOwn"),
    (Normed, "first.weight", r"second \(.*\) has another parametrization on weight"),
    (Unused, "words.weight", r"words\.weight must belong to"),
    (Transposed, "upwards.weight", r"upwards\.weight must belong to"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "tensor_fqn", "message"), CASES)
def test_it_is_refused_by_name(kind, tensor_fqn, message):
    model = kind()
    pruner = RowPruner({"rows": [0, 2]})
    pruner.prepare(model, [{"tensor_fqn": tensor_fqn}])
    pruner.step()
    before = copy.deepcopy(model.state_dict())
    names = set(vars(model))
    with pytest.raises(ConfigError, match=message):
        pruner.prune()
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[key], before[key]) for key in before)
    assert set(vars(model)) == names
    pruner.step()  # still prepared
    pruner.squash_mask()


@pytest.mark.parametrize("kind", [Softmax, Matmul, Sliced, FixedView, Normed])
def test_nothing_is_refused_where_nothing_is_pruned(kind):
    model = kind()
    pruner = RowPruner({"rows": []})
    name = "conv.weight" if kind is Sliced else "first.weight"
    pruner.prepare(model, [{"tensor_fqn": name}])
    pruner.step()
    x = torch.randn(3, 2, 4, 4) if kind is Sliced else torch.randn(3, 4)
    expected = model(x)
    torch.testing.assert_close(pruner.prune()(x), expected)


class Stateful(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 4)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> Tensor:
        return self.lstm(x, state)[0]


def test_an_lstm_with_given_states_is_refused():
    model = Stateful()
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


def test_prune_runs_once():
    model = nn.Sequential(nn.Linear(3, 4))
    pruner = SaliencyPruner({"sparsity_level": 0.5})
    pruner.prepare(model)
    pruner.step()
    pruner.prune()
    for again in (pruner.prune, pruner.step):
        with pytest.raises(ConfigError, match=r"0\.weight must carry a mask"):
            again()


def test_optional_arguments_are_left_out():
    class Optional(Recurrent):
        def forward(self, x: Tensor, state: tuple[Tensor, Tensor] | None = None) -> Tensor:
            out, state = self.lstm(torch.tanh(self.embed(x)), state)
            return self.head(out), state

    model = Optional().eval()
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
