"""Ways to write the same computation that pruning follows, and random networks of them."""

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.pruning.structured.structured_models import RowPruner


class Net(nn.Module):
    """Layers for the cases below."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.again = nn.Conv2d(4, 4, 3, padding=1)
        self.wide = nn.Linear(4 * 9, 3)
        self.slim = nn.Linear(4, 3)
        self.prelu = nn.PReLU()


def _flat(function):
    return lambda net, x: net.wide(function(net.conv(x)))


def _pooled(function):
    return lambda net, x: net.slim(function(net.conv(x)))


def _added(function):
    def forward(net: Net, x: Tensor) -> Tensor:
        joined = function(net.conv(x), net.again(x.repeat(1, 2, 1, 1)))
        return net.slim(joined.mean((2, 3)))

    return forward


def in_place_activation(net: Net, x: Tensor) -> Tensor:
    y = net.conv(x)
    z = net.again(x.repeat(1, 2, 1, 1)) - 1
    F.relu(y, inplace=True)
    return net.slim((y + z).mean((2, 3)))


def in_place_method(net: Net, x: Tensor) -> Tensor:
    y = net.conv(x)
    z = y.clone()
    y.sigmoid_()
    return net.again(y + z)


def in_place_sum(net: Net, x: Tensor) -> Tensor:
    y = net.conv(x)
    z = y
    z += 1.0
    return net.slim(y.mean((-1, -2)))


FOLLOWED = {
    "flatten method": _flat(lambda x: x.flatten(1)),
    "flatten from the end": _flat(lambda x: torch.flatten(x, start_dim=-3, end_dim=-1)),
    "flatten twice": _flat(lambda x: x.flatten(2).flatten(1)),
    "view": _flat(lambda x: x.view(x.size(0), -1)),
    "reshape": _flat(lambda x: torch.reshape(x, (x.shape[0], -1))),
    "mean": _pooled(lambda x: torch.mean(x, dim=(2, 3))),
    "mean and squeeze": _pooled(lambda x: x.mean(3, keepdim=True).squeeze(3).amax(-1)),
    "dimensions kept": _pooled(lambda x: (x.mean((2, 3), True) + x).mean(3, True)[..., 0, 0]),
    "sum": _pooled(lambda x: x.sum(dim=[2, 3])),
    "adaptive pool": _pooled(lambda x: F.adaptive_avg_pool2d(x, 1)[:, :, 0, 0]),
    "pools": _pooled(lambda x: F.avg_pool2d(F.max_pool2d(x, 2, 1), 2).flatten(1)),
    "padded average": _pooled(lambda x: F.avg_pool2d(x, 2, padding=1).relu().mean((2, 3))),
    "channels last": _pooled(lambda x: x.permute(0, 2, 3, 1).mean(1).mean(1)),
    "transposes": _pooled(lambda x: x.flatten(2).transpose(1, 2)[:, -1]),
    "first position": _pooled(lambda x: x[..., 0, 0]),
    "new dimension": _pooled(lambda x: x[:, :, None].squeeze(2).mean((2, 3))),
    "unsqueeze": _pooled(lambda x: x.unsqueeze(1).squeeze(1).mean((-2, -1))),
    "view of the last": _pooled(lambda x: (y := x.mean((2, 3))).view(-1, y.size(-1))),
    "scalars": _pooled(lambda x: (1 - (-x * 2 + 0.5) / 3).mean((2, 3))),
    "activations": _pooled(lambda x: F.gelu(torch.tanh(F.elu(x, 0.5)).sigmoid()).mean((2, 3))),
    "clamp": _pooled(lambda x: x.clamp(-0.1, 0.1).mean((2, 3))),
    "rrelu": _pooled(lambda x: F.rrelu(x).mean((2, 3))),
    "dropout": _pooled(lambda x: F.dropout(x, training=False).mean((2, 3))),
    "prelu": lambda net, x: net.slim(net.prelu(net.conv(x)).mean((2, 3))),
    "pad": _pooled(lambda x: F.pad(x, (1, 1, 1, 1)).relu().mean((2, 3))),
    "pad by reflection": _pooled(
        lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect").exp().mean((2, 3))
    ),
    "interpolate": _pooled(lambda x: F.interpolate(x, scale_factor=2).mean((2, 3))),
    "sum of two": _added(torch.add),
    "difference with a factor": _added(lambda a, b: torch.sub(a, b, alpha=2)),
    "product": _added(torch.mul),
    "sums of methods": _added(lambda a, b: a.add(b).mul(b)),
    "stacked batches": _added(lambda a, b: torch.cat([a, b], 0)),
    "in-place activation": in_place_activation,
    "in-place method": in_place_method,
    "in-place sum": in_place_sum,
}


def compare(model: nn.Module, x: Tensor, names: list[str], rows, prune_bias: bool) -> nn.Module:
    """Mask, compare the masked output with the pruned one; the pruned model."""
    pruner = RowPruner({"rows": rows, "prune_bias": prune_bias})
    pruner.prepare(model, [{"tensor_fqn": name} for name in names])
    pruner.step()
    with torch.no_grad():
        expected = copy.deepcopy(model)(x)
        pruned = pruner.prune()
        actual = pruned(x)
    if actual.shape != expected.shape:  # a masked layer that is an output has its kept rows
        expected = expected[:, [i for i in range(expected.shape[1]) if i not in rows]]
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9)
    return pruned


@pytest.mark.parametrize("case", FOLLOWED)
@pytest.mark.parametrize("prune_bias", [True, False])
def test_it_is_followed(case, prune_bias):
    torch.manual_seed(1)

    class Case(Net):
        def forward(self, x: Tensor) -> Tensor:
            return FOLLOWED[case](self, x)

    model = Case().double().eval()
    x = torch.randn(2, 2, 3, 3, dtype=torch.float64)
    both = case in ("sum of two", "difference with a factor", "product", "sums of methods",
                    "stacked batches", "in-place activation")  # fmt: skip
    names = ["conv.weight", "again.weight"] if both else ["conv.weight"]
    pruned = compare(model, x, names, [0, 2], prune_bias)
    if prune_bias or (both and case != "stacked batches"):  # whose constants differ
        assert pruned.conv.out_channels < 4


def test_flags_are_taken_at_their_default():
    class Flagged(Net):
        def forward(self, x: Tensor, pooled: bool = True) -> Tensor:
            x = self.conv(x)
            return self.slim(x.mean((2, 3))) if pooled else x

    x = torch.randn(2, 2, 3, 3, dtype=torch.float64)
    pruned = compare(Flagged().double(), x, ["conv.weight"], [0, 2], prune_bias=True)
    assert pruned.conv.out_channels == 2


ACTIVATIONS = [nn.ReLU, nn.Sigmoid, nn.Hardswish, nn.Softplus, nn.Tanh, nn.GELU, nn.ELU]


@st.composite
def networks(draw) -> nn.Sequential:
    """A random chain of convolutions with whatever may lie between them."""
    layers: list[nn.Module] = []
    channels = 2
    for _ in range(draw(st.integers(2, 4))):
        out = draw(st.sampled_from([4, 6]))
        kind = draw(st.sampled_from(["dense", "dense", "grouped", "depthwise"]))
        groups = {"dense": 1, "grouped": 2, "depthwise": channels}[kind]
        out = channels * draw(st.sampled_from([1, 2])) if kind == "depthwise" else out
        padding = draw(st.sampled_from([0, 1, "same"]))
        mode = draw(st.sampled_from(["zeros", "reflect"]))
        size = draw(st.sampled_from([1, 3]))
        bias = draw(st.booleans())
        layers.append(
            nn.Conv2d(channels, out, size, padding=padding, padding_mode=mode, groups=groups,
                      bias=bias)
        )  # fmt: skip
        channels = out
        between = [
            nn.BatchNorm2d(channels), nn.InstanceNorm2d(channels, affine=True),
            nn.GroupNorm(2, channels) if channels % 2 == 0 else nn.Identity(),
            nn.PReLU(channels), nn.Dropout2d(), nn.AvgPool2d(2, 1, padding=1),
            nn.MaxPool2d(3, 1, padding=1), nn.ZeroPad2d(1), nn.Upsample(scale_factor=2),
            *(kind() for kind in ACTIVATIONS),
        ]  # fmt: skip
        layers += [between[i] for i in draw(st.lists(st.integers(0, len(between) - 1), max_size=4))]
    layers += [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * channels, 3)]
    return nn.Sequential(*layers)


@settings(max_examples=150, deadline=None)
@given(model=networks(), seed=st.integers(0, 1000), prune_bias=st.booleans(), data=st.data())
def test_random_networks(model, seed, prune_bias, data):
    torch.manual_seed(seed)
    model = model.double().eval()
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            if tensor.is_floating_point():
                tensor.uniform_(0.1, 1.0)
        for parameter in model.parameters():
            parameter.sub_(0.5)
    names = [f"{i}.weight" for i, layer in enumerate(model) if isinstance(layer, nn.Conv2d)]
    rows = sorted(data.draw(st.sets(st.integers(0, 1)))) + data.draw(st.sampled_from([[], [-1]]))
    compare(model, torch.randn(2, 2, 9, 9, dtype=torch.float64), names, rows, prune_bias)
