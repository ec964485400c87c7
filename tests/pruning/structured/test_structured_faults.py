"""Faults of torch.ao's structured pruning: each check passes here and fails upstream."""

from types import ModuleType

import pytest
import torch
import torch.ao.pruning._experimental.pruner as upstream
from torch import Tensor, nn

import sparsebench.pruning as ours


def masking_pruner(library: ModuleType, model: nn.Module, rows: dict[str, list[int]], **options):
    """Return a pruner of ``library`` that has masked the given rows of ``model``."""

    class FixedRowPruner(library.BaseStructuredSparsifier):
        def update_mask(self, module: nn.Module, tensor_name: str, **kwargs) -> None:
            module.parametrizations[tensor_name][0].mask[rows[kwargs["tensor_fqn"]]] = False

    pruner = FixedRowPruner(options)
    pruner.prepare(model, [{"tensor_fqn": name} for name in rows])
    pruner.step()
    return pruner


@torch.no_grad()
def check_exact(library: ModuleType, model: nn.Module, x: Tensor, rows, **options) -> nn.Module:
    """Prune, compare the outputs, and return the pruned model."""
    model.eval()
    pruner = masking_pruner(library, model, rows, **options)
    expected = model(x).clone()
    pruned = pruner.prune()
    torch.testing.assert_close(pruned(x), expected)
    return pruned


def linear_with_three_dimensions(library: ModuleType) -> None:
    model = nn.Sequential(nn.Linear(3, 4))
    x = torch.randn(2, 5, 3)
    with torch.no_grad():
        expected = model(x)
        expected[..., 1] = 0
    masking_pruner(library, model, {"0.weight": [1]})
    torch.testing.assert_close(model(x), expected)


def bias_of_a_row_that_comes_back(library: ModuleType) -> None:
    model = nn.Sequential(nn.Linear(3, 4))
    x = torch.randn(2, 3)
    expected = model(x).detach()
    pruner = masking_pruner(library, model, {"0.weight": [1]})
    model(x)
    pruner.groups[0]["module"].parametrizations.weight[0].mask.fill_(True)
    torch.testing.assert_close(model(x), expected)


def bias_gets_gradients(library: ModuleType) -> None:
    model = nn.Sequential(nn.Linear(3, 4))
    masking_pruner(library, model, {"0.weight": [1]})
    model(torch.randn(2, 3)).sum().backward()
    assert model[0]._bias.grad is not None
    assert model[0]._bias.grad.tolist() == [2, 0, 2, 2]


def bias_of_the_output_layer(library: ModuleType) -> None:
    model = nn.Sequential(nn.Linear(3, 4)).eval()
    x = torch.randn(2, 3)
    pruner = masking_pruner(library, model, {"0.weight": [1]}, prune_bias=False)
    expected = model(x).detach()[:, [0, 2, 3]]
    torch.testing.assert_close(pruner.prune()(x), expected)


def padded_convolution_after_it(library: ModuleType) -> None:
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3, padding=1))
    pruned = check_exact(library, model, torch.randn(1, 2, 7, 7), {"0.weight": [0, 2]})
    assert pruned.get_submodule("0").out_channels == 2


def same_padding(library: ModuleType) -> None:
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Conv2d(4, 2, 3, padding="same"))
    pruned = check_exact(library, model, torch.randn(1, 2, 7, 7), {"0.weight": [0, 2]})
    assert pruned.get_submodule("0").out_channels == 2


class TwoReaders(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.left, self.right = nn.Linear(3, 4), nn.Linear(4, 2), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.trunk(x).relu()
        return self.left(x) + self.right(x)


def two_readers(library: ModuleType) -> None:
    pruned = check_exact(library, TwoReaders(), torch.randn(2, 3), {"trunk.weight": [0, 2]})
    assert pruned.trunk.out_features == 2


class SkipConnection(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.out = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        return self.out(x + self.second(x))


def residual_sum(library: ModuleType) -> None:
    rows = {"first.weight": [0, 2], "second.weight": [0, 1]}
    pruned = check_exact(library, SkipConnection(), torch.randn(2, 3), rows)
    assert pruned.first.out_features == pruned.second.out_features == 3  # both mask row 0


def modules_between(library: ModuleType) -> None:
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Identity(), nn.ReLU(), nn.Dropout2d(),
        nn.Conv2d(4, 2, 3), nn.Flatten(), nn.BatchNorm1d(18), nn.Linear(18, 2),
    )  # fmt: skip
    model(torch.randn(8, 2, 7, 7))
    pruned = check_exact(library, model, torch.randn(1, 2, 7, 7), {"0.weight": [0, 2]})
    assert pruned.get_submodule("1").num_features == pruned.get_submodule("0").out_channels == 2


def functions_between(library: ModuleType) -> None:
    class FunctionsBetween(TwoReaders):
        def forward(self, x: Tensor) -> Tensor:
            x = nn.functional.dropout(self.trunk(x), training=self.training)
            return self.left(x.tanh().clamp(min=0))

    pruned = check_exact(library, FunctionsBetween(), torch.randn(2, 3), {"trunk.weight": [0, 2]})
    assert pruned.trunk.out_features == 2


def depthwise_convolution(library: ModuleType) -> None:
    model = nn.Sequential(
        nn.Conv2d(2, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=4), nn.ReLU(), nn.Conv2d(4, 2, 1)
    )
    pruned = check_exact(library, model, torch.randn(1, 2, 7, 7), {"0.weight": [0, 2]})
    assert pruned.get_submodule("2").groups == 2


class LstmModel(nn.Module):
    def __init__(self, **options) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 4, **options)
        self.head = nn.Linear(8 if self.lstm.bidirectional else 4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x)[0])


def _masked_units(*suffixes: str) -> dict[str, list[int]]:
    rows = [0, 2, 4, 6, 8, 10, 12, 14]  # units 0 and 2 of every gate
    return {f"lstm.weight_{kind}{suffix}": rows for suffix in suffixes for kind in ("ih", "hh")}


def lstm(library: ModuleType) -> None:
    pruned = check_exact(library, LstmModel(), torch.randn(5, 2, 3), _masked_units("_l0"))
    assert pruned.lstm.hidden_size == 2


def lstm_without_bias(library: ModuleType) -> None:
    check_exact(library, LstmModel(bias=False), torch.randn(5, 2, 3), _masked_units("_l0"))


def bidirectional_lstm(library: ModuleType) -> None:
    rows = _masked_units("_l0", "_l0_reverse")
    check_exact(library, LstmModel(bidirectional=True), torch.randn(5, 2, 3), rows)


def lstm_with_the_default_configuration(library: ModuleType) -> None:
    pruner = library.LSTMSaliencyPruner({"sparsity_level": 0.5})
    model = LstmModel()
    pruner.prepare(model, None)
    assert [group["tensor_fqn"] for group in pruner.groups] == [
        "lstm.weight_ih_l0", "lstm.weight_hh_l0",
    ]  # fmt: skip
    pruner.step()
    pruner.prune()
    assert model.lstm.hidden_size == 2


def activation_that_is_not_0_at_0(library: ModuleType) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Sigmoid(), nn.Linear(4, 2, bias=False))
    check_exact(library, model, torch.randn(2, 3), {"0.weight": [0, 2]})


def own_state_dict(library: ModuleType) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Conv2d(1, 2, 1))
    masking_pruner(library, model, {"0.weight": [1], "1.weight": [0]})
    model.load_state_dict(model.state_dict())


def lower_level_brings_rows_back(library: ModuleType) -> None:
    model = nn.Sequential(nn.Linear(3, 4))
    pruner = library.SaliencyPruner({})
    pruner.prepare(model, [{"tensor_fqn": "0.weight", "sparsity_level": 0.75}])
    pruner.step()
    pruner.groups[0]["sparsity_level"] = 0.25
    pruner.step()
    assert int(model[0].parametrizations.weight[0].mask.sum()) == 3


def unknown_tensor(library: ModuleType) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    with pytest.raises(ValueError, match=r"unknown tensor_fqn '1\.wieght'; near: 1\.weight"):
        masking_pruner(library, model, {"0.weight": [0], "1.wieght": [0]})
    assert type(model[0]) is nn.Linear
    assert model[0].bias is not None


CHECKS = [
    linear_with_three_dimensions, bias_of_a_row_that_comes_back, bias_gets_gradients,
    bias_of_the_output_layer, padded_convolution_after_it, same_padding, two_readers, residual_sum,
    modules_between, functions_between, depthwise_convolution, lstm, lstm_without_bias,
    bidirectional_lstm, lstm_with_the_default_configuration, activation_that_is_not_0_at_0,
    own_state_dict, lower_level_brings_rows_back, unknown_tensor,
]  # fmt: skip


@pytest.mark.parametrize("check", CHECKS)
def test_sparsebench_does_not_have_the_fault(check):
    torch.manual_seed(0)
    check(ours)


@pytest.mark.parametrize("check", CHECKS)
def test_upstream_has_the_fault(check):
    torch.manual_seed(0)
    with pytest.raises(BaseException):  # noqa: B017, PT011  # whatever upstream does, not pass
        check(upstream)
