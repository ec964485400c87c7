"""Masks, biases, state and the model between prepare and prune, and the scores of the pruners."""

import copy
import pickle

import pytest
import torch
import torch.ao.pruning._experimental.pruner as upstream
from torch import nn
from torch.nn.utils import parametrize

from sparsebench.errors import ConfigError
from sparsebench.pruning import (
    BaseStructuredSparsifier,
    BiasHook,
    FakeStructuredSparsity,
    FPGMPruner,
    LSTMSaliencyPruner,
    SaliencyPruner,
)
from sparsebench.pruning.structured.pruners import distance_sums, saliency
from tests.pruning.structured.structured_models import RowPruner


def two_linears() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2, bias=False))


def mask_of(module: nn.Module, name: str = "weight") -> torch.Tensor:
    return module.parametrizations[name][0].mask


def test_the_parametrization_zeroes_rows_and_has_an_empty_state_dict():
    mask = torch.tensor([True, False])
    sparsity = FakeStructuredSparsity(mask)
    x = torch.tensor([[1.0, 2.0], [torch.inf, torch.nan]], dtype=torch.bfloat16)
    assert torch.equal(sparsity(x), torch.tensor([[1, 2], [0, 0]], dtype=torch.bfloat16))
    assert sparsity.state_dict() == {}
    assert sparsity.mask is mask


def test_the_parametrization_needs_one_entry_per_row():
    with pytest.raises(
        ConfigError, match=r"one entry per row, got mask \(2,\) and tensor \(3, 2\)"
    ):
        FakeStructuredSparsity(torch.ones(2, dtype=torch.bool))(torch.ones(3, 2))


@pytest.mark.parametrize("prune_bias", [True, False])
def test_the_bias_hook_adds_the_masked_bias(prune_bias):
    layer = nn.Module()
    layer._bias = torch.tensor([1.0, 2.0])
    hook = BiasHook(FakeStructuredSparsity(torch.tensor([True, False])), prune_bias)
    output = torch.zeros(3, 5, 2)
    added = hook(layer, (), output)
    assert torch.equal(added, torch.tensor([1.0, 0 if prune_bias else 2.0]).expand(3, 5, 2))
    assert not output.any()
    layer._bias = None
    assert hook(layer, (), output) is output


def test_unbatched_convolutions_get_their_bias():
    conv = nn.Sequential(nn.Conv2d(2, 3, 1))
    x = torch.randn(2, 4, 4)
    expected = conv(x)
    RowPruner().prepare(conv)
    torch.testing.assert_close(conv(x), expected)


def test_prepare_preserves_the_output_and_the_parameters():
    net = two_linears()
    x = torch.randn(5, 3)
    expected, bias, weight = net(x), net[0].bias, net[0].weight
    pruner = SaliencyPruner({"sparsity_level": 0.5})
    pruner.prepare(net)
    torch.testing.assert_close(net(x), expected)
    assert net[0]._bias is bias
    assert net[0].bias is None
    assert net[0].parametrizations.weight.original is weight
    assert [group["tensor_fqn"] for group in pruner.groups] == ["0.weight", "2.weight"]
    mask = mask_of(net[0])
    assert mask.dtype == torch.bool
    assert mask.shape == (4,)
    assert pruner.state["0.weight"]["mask"] is mask
    pruner.step()
    assert pruner.state["0.weight"]["mask"] is mask
    assert int(mask.sum()) == 2


def test_the_default_configuration_contains_linear_conv_and_lstm():
    net = nn.ModuleDict(
        {"a": nn.Linear(2, 2), "b": nn.Conv2d(2, 2, 1), "c": nn.LSTM(2, 2, 2, bidirectional=True),
         "d": nn.MultiheadAttention(2, 1)}
    )  # fmt: skip
    pruner = RowPruner()
    pruner.make_config_from_model(net)
    suffixes = ["_l0", "_l0_reverse", "_l1", "_l1_reverse"]
    lstm = [f"c.weight_{kind}{suffix}" for suffix in suffixes for kind in ("ih", "hh")]
    assert [entry["tensor_fqn"] for entry in pruner.config] == ["a.weight", "b.weight", *lstm]


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace.* is deprecated:DeprecationWarning")
def test_a_masked_model_can_be_traced_exported_and_compiled():
    net, x = two_linears(), torch.randn(5, 3)
    pruner = RowPruner({"rows": [1]})
    pruner.prepare(net)
    pruner.step()
    expected = net(x)
    torch.testing.assert_close(torch.jit.trace(net, x)(x), expected)
    torch.testing.assert_close(torch.export.export(net, (x,)).module()(x), expected)
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), expected)


def test_a_root_layer_is_prepared_and_pruned():
    layer = nn.Linear(3, 4)
    x = torch.randn(2, 3)
    pruner = RowPruner({"rows": [1]})
    pruner.prepare(layer)
    pruner.step()
    expected = layer(x)[:, [0, 2, 3]]
    assert pruner.prune() is layer
    torch.testing.assert_close(layer(x), expected)
    assert type(layer) is nn.Linear


def test_a_subclass_that_inherits_forward_is_pruned():
    class LinearSubclass(nn.Linear):
        pass

    net = nn.Sequential(LinearSubclass(3, 4), nn.Linear(4, 2))
    pruner = RowPruner({"rows": [1]})
    pruner.prepare(net, [{"tensor_fqn": "0.weight"}])
    pruner.step()
    x = torch.randn(2, 3)
    expected = net(x)
    torch.testing.assert_close(pruner.prune()(x), expected)
    assert type(net[0]) is LinearSubclass
    assert net[1].in_features == 3


def test_squash_mask_makes_masked_weights_and_biases_permanent():
    net = two_linears()
    bias = net[0].bias
    pruner = RowPruner({"rows": [1]})
    pruner.prepare(net, [{"tensor_fqn": "0.weight"}])
    pruner.step()
    x = torch.randn(5, 3)
    expected = net(x)
    pruner.squash_mask()
    torch.testing.assert_close(net(x), expected)
    assert not parametrize.is_parametrized(net[0])
    assert net[0].bias is bias
    assert net[0].bias[1] == 0
    assert not net[0]._forward_hooks


def test_squash_mask_on_an_lstm_preserves_the_output():
    lstm = nn.LSTM(3, 4)
    pruner = LSTMSaliencyPruner({"sparsity_level": 0.5})
    pruner.prepare(lstm)
    pruner.step()
    x = torch.randn(5, 2, 3)
    with torch.no_grad():
        expected = lstm(x)[0]
        pruner.squash_mask()
        torch.testing.assert_close(lstm(x)[0], expected)
    assert not parametrize.is_parametrized(lstm)


def test_a_failed_prepare_does_not_change_the_model():
    net = nn.Sequential(nn.Linear(3, 4), nn.LSTM(4, 2))
    before = {name: id(parameter) for name, parameter in net.named_parameters()}

    class FailingSparsity(FakeStructuredSparsity):
        def forward(self, x):
            raise ConfigError("on purpose")

    pruner = RowPruner()
    with pytest.raises(ConfigError, match="on purpose"):
        pruner.prepare(
            net,
            [
                {"tensor_fqn": "0.weight"},
                {"tensor_fqn": "1.weight_ih_l0"},
                {"tensor_fqn": "1.weight_hh_l0", "parametrization": FailingSparsity},
            ],
        )
    assert {name: id(parameter) for name, parameter in net.named_parameters()} == before
    assert not net[0]._forward_hooks
    assert not any(parametrize.is_parametrized(module) for module in net)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"tensor_fqn": "0.bias"}, r"0\.bias: a tensor must have 2 or more dimensions"),
        (
            {"tensor_fqn": "0.weight", "sparsity_level": float("nan")},
            "must be a finite number, got nan",
        ),
        ({"tensor_fqn": "0.weight"}, r"0\.weight: sparsity_level must be given"),
        (
            {"tensor_fqn": "0.weight", "sparsity_level": 1, "mask": torch.ones(4, 3)},
            r"a mask must have one entry per row, shape \(4,\), got \(4, 3\)",
        ),
    ],
)
def test_prepare_checks_the_configuration(config, message):
    with pytest.raises(ConfigError, match=message):
        SaliencyPruner().prepare(two_linears(), [config])


def test_the_projection_of_an_attention_is_refused():
    attention = nn.MultiheadAttention(4, 2)
    with pytest.raises(ConfigError, match="output projection of an attention"):
        RowPruner().prepare(attention, [{"tensor_fqn": "out_proj.weight"}])


def test_patterns_are_refused():
    with pytest.raises(ConfigError, match="patterns: must be None"):
        BaseStructuredSparsifier.__init__(RowPruner(), {}, patterns={})


def test_a_state_dict_loads_into_the_pruner_of_another_model():
    first, second = two_linears(), two_linears()
    pruner, other = RowPruner({"rows": [1, 3]}), RowPruner()
    pruner.prepare(first, [{"tensor_fqn": "0.weight"}])
    other.prepare(second)
    pruner.step()
    other.load_state_dict(pruner.state_dict())
    assert torch.equal(mask_of(second[0]), torch.tensor([True, False, True, False]))
    assert not parametrize.is_parametrized(second[2])
    x = torch.randn(5, 3)
    torch.testing.assert_close(second(x), first(x))
    torch.testing.assert_close(other.prune()(x), pruner.prune()(x))


def test_loading_an_empty_state_restores_the_bias():
    net = two_linears()
    bias = net[0].bias
    pruner = RowPruner({"rows": [1]})
    pruner.prepare(net)
    pruner.load_state_dict({"state": {}, "groups": []})
    assert net[0].bias is bias
    assert not net[0]._forward_hooks
    assert not parametrize.is_parametrized(net[0])


def test_a_pruner_can_be_copied_and_pickled():
    net = two_linears()
    pruner = RowPruner({"rows": [1]})
    pruner.prepare(net, [{"tensor_fqn": "0.weight"}])
    pruner.step()
    copied = copy.deepcopy(pruner)
    mask_of(copied.model[0]).fill_(True)
    assert not mask_of(net[0]).all()
    x = torch.randn(5, 3)
    torch.testing.assert_close(copied.model(x), two_linears()(x))
    restored, fresh = pickle.loads(pickle.dumps(pruner)), two_linears()
    restored.prepare(fresh)
    torch.testing.assert_close(fresh(x), net(x))


def test_the_mask_moves_with_the_model():
    net = two_linears()
    pruner = RowPruner({"rows": [1]})
    pruner.prepare(net)
    pruner.step()
    net.double()
    x = torch.randn(5, 3, dtype=torch.float64)
    assert net(x).dtype == torch.float64
    assert mask_of(net[0]).dtype == torch.bool
    net.to("meta")
    assert mask_of(net[0]).device.type == pruner.state["0.weight"]["mask"].device.type == "meta"


def test_a_masked_lstm_whose_gates_disagree_has_the_output_of_the_pruned_one():
    """Upstream's example: the kept rows of each gate are packed together."""
    lstm = nn.LSTM(2, 2)
    rows = torch.tensor([1.0, 2, 2, 1, -1, -2, -2, -1])
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter.copy_(rows.view(-1, *[1] * (parameter.dim() - 1)).expand_as(parameter))
    pruner = LSTMSaliencyPruner({"sparsity_level": 0.5})
    pruner.prepare(lstm)
    pruner.step()
    x = torch.randn(6, 1, 2)
    with torch.no_grad():
        expected, _ = lstm(x)
        pruner.prune()
        torch.testing.assert_close(lstm(x)[0], expected[..., :1])
    kept = torch.tensor([2.0, 2, -2, -2])
    assert torch.equal(lstm.weight_ih_l0, kept[:, None].expand(4, 2))
    assert torch.equal(lstm.weight_hh_l0, kept[:, None])
    assert torch.equal(lstm.bias_ih_l0, kept)
    assert torch.equal(lstm.bias_hh_l0, kept)


class Tagger(nn.Module):
    def __init__(self, layers: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 8, layers)
        self.head = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(x)[0])


@pytest.mark.parametrize("layers", [1, 2])
def test_a_pruned_lstm_has_the_weights_that_upstream_gives(layers):
    torch.manual_seed(0)
    model = Tagger(layers)
    reference = copy.deepcopy(model)
    config = [
        {"tensor_fqn": f"lstm.weight_{kind}_l{i}"} for i in range(layers) for kind in ("ih", "hh")
    ]
    for net, pruner_class in (
        (model, LSTMSaliencyPruner),
        (reference, upstream.LSTMSaliencyPruner),
    ):
        pruner = pruner_class({"sparsity_level": 0.5})
        pruner.prepare(net, copy.deepcopy(config))
        pruner.step()
        pruner.prune()
    expected = dict(reference.named_parameters())
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, expected[name]), name


def test_an_output_that_is_added_to_an_unmasked_one_keeps_all_channels():
    class SumOfTwo(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(3, 4), nn.Linear(3, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.a(x) + self.b(x)

    net, x = SumOfTwo(), torch.randn(2, 3)
    pruner = RowPruner({"rows": [1]})
    pruner.prepare(net, [{"tensor_fqn": "a.weight"}])
    pruner.step()
    expected = net(x)
    torch.testing.assert_close(pruner.prune()(x), expected)


def test_an_lstm_with_one_masked_matrix_keeps_all_units():
    net = nn.Sequential(nn.LSTM(2, 4))
    pruner = RowPruner({"rows": [0, 4, 8, 12]})
    pruner.prepare(net, [{"tensor_fqn": "0.weight_ih_l0"}])
    pruner.step()
    x = torch.randn(6, 1, 2)
    with torch.no_grad():
        expected, _ = net(x)
        torch.testing.assert_close(pruner.prune()(x)[0], expected)
    assert net[0].hidden_size == 4


def test_a_masked_lstm_can_be_copied_after_a_forward():
    lstm = nn.LSTM(2, 4)
    pruner = LSTMSaliencyPruner({"sparsity_level": 0.5})
    pruner.prepare(lstm)
    pruner.step()
    x = torch.randn(6, 1, 2)
    lstm(x)[0].sum().backward()
    copied = copy.deepcopy(lstm)
    lstm.parametrizations.weight_ih_l0[0].mask.fill_(False)
    assert copied(x)[0].any()
    assert lstm.parametrizations.weight_ih_l0.original.grad.any()


def test_two_pruners_on_one_model_add_the_bias_once():
    net = two_linears()
    x = torch.randn(5, 3)
    expected = net(x)
    for _ in range(2):
        RowPruner().prepare(net)
    torch.testing.assert_close(net(x), expected)
    assert len(net[0]._forward_hooks) == 1


def test_gates_with_unequal_counts_are_masked_without_moving_rows():
    lstm = nn.LSTM(2, 4)
    rows = [0, 8, 9]  # two cell gates, one input gate
    pruner = RowPruner({"rows": rows})
    pruner.prepare(lstm)
    pruner.step()
    assert not lstm.weight_ih_l0[rows].any()
    assert torch.equal(lstm.weight_hh_l0[1:8], lstm.parametrizations.weight_hh_l0.original[1:8])
    x = torch.randn(6, 1, 2)
    with torch.no_grad():
        expected, _ = lstm(x)
        pruner.prune()
        torch.testing.assert_close(lstm(x)[0], expected[..., 2:])


class TestPrunerScores:
    WEIGHT = torch.tensor([[3.0, -1], [1, 1], [0, 2], [5, 5]])

    def mask(self, pruner: BaseStructuredSparsifier, weight: torch.Tensor = WEIGHT) -> list[int]:
        layer = nn.Linear(weight.shape[1], len(weight))
        layer.weight = nn.Parameter(weight.clone())
        pruner.prepare(layer, [{"tensor_fqn": "weight"}])
        pruner.step()
        return mask_of(layer).int().tolist()

    @pytest.mark.parametrize(
        ("level", "expected"),
        [(-1, [1, 1, 1, 1]), (0, [1, 1, 1, 1]), (0.49, [1, 0, 1, 1]), (0.5, [1, 0, 0, 1]),
         (0.99, [0, 0, 0, 1]), (1, [0, 0, 0, 0]), (2, [0, 0, 0, 0])],
    )  # fmt: skip
    def test_saliency_rounds_the_level_down(self, level, expected):
        assert self.mask(SaliencyPruner({"sparsity_level": level})) == expected

    def test_nan_ranks_above_infinity(self):
        weight = torch.tensor([[torch.nan], [torch.inf], [1e38]])
        assert self.mask(SaliencyPruner({"sparsity_level": 0.67}), weight) == [1, 0, 0]

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
    def test_saliency_in_other_dtypes(self, dtype):
        pruner = SaliencyPruner({"sparsity_level": 0.5})
        assert self.mask(pruner, self.WEIGHT.to(dtype)) == [1, 0, 0, 1]

    def test_saliency_agrees_with_a_plain_sum(self):
        weight = torch.randn(5, 3, 3, 3)
        layer = nn.Conv2d(3, 5, 3)
        layer.weight = nn.Parameter(weight)
        pruner = SaliencyPruner({"sparsity_level": 0.4})
        pruner.prepare(layer)
        pruner.step()
        lowest = weight.abs().sum((1, 2, 3)).argsort()[:2]
        assert set((~mask_of(layer)).nonzero().flatten().tolist()) == set(lowest.tolist())

    def test_the_sum_of_a_row_does_not_depend_on_other_rows(self):
        weight = torch.randn(700, 1000)
        together = saliency(weight)
        assert torch.equal(together[650:], saliency(weight[650:].clone()))
        torch.testing.assert_close(together, weight.abs().sum(1))
        assert saliency(torch.ones(3, 0)).tolist() == [0, 0, 0]

    def test_lstm_saliency_ranks_each_gate(self):
        rows = torch.tensor([1.0, 2, 4, 3, 6, 5, 7, 8])[:, None]
        lstm = nn.LSTM(1, 2)
        lstm.weight_ih_l0 = nn.Parameter(rows)
        pruner = LSTMSaliencyPruner({"sparsity_level": 0.5})
        pruner.prepare(lstm, [{"tensor_fqn": "weight_ih_l0"}])
        pruner.step()
        assert mask_of(lstm, "weight_ih_l0").int().tolist() == [0, 1, 1, 0, 1, 0, 0, 1]

    def test_lstm_saliency_needs_four_gates(self):
        pruner = LSTMSaliencyPruner({"sparsity_level": 0.5})
        with pytest.raises(ConfigError, match="rows must be divisible by 4"):
            pruner.prepare(nn.Linear(2, 3), [{"tensor_fqn": "weight"}])

    @pytest.mark.parametrize("dist", [None, 1, 2, lambda x: torch.cdist(x, x, p=3)])
    def test_fpgm_prunes_the_middle_and_not_the_smallest(self, dist):
        weight = torch.tensor([3.0, 2.0, 0.1])[:, None].expand(3, 9)
        assert self.mask(FPGMPruner(0.3, dist), weight) == [1, 0, 1]

    @pytest.mark.parametrize(
        ("level", "kept"), [(-1, 4), (0, 4), (0.3, 3), (0.5, 2), (0.99, 0), (1, 0), (3, 0)]
    )
    def test_fpgm_rounds_the_level(self, level, kept):
        assert sum(self.mask(FPGMPruner(level))) == kept

    def test_fpgm_prunes_the_lower_index_of_a_tie(self):
        assert self.mask(FPGMPruner(0.5), torch.eye(4)) == [0, 0, 1, 1]

    def test_distance_sums(self):
        weight = torch.tensor([3.0, 2.0, 0.1])[:, None, None, None].expand(3, 1, 3, 3)
        sums = distance_sums(weight, FPGMPruner(0.3).dist_fn)
        torch.testing.assert_close(sums, torch.tensor([11.7, 8.7, 14.4]))

    def test_fpgm_refuses_other_distances(self):
        with pytest.raises(NotImplementedError, match="dist: must be 1, 2 or a callable, got 3"):
            FPGMPruner(0.5, 3)
