"""Operations that prune() follows, each written in several ways, and random networks of them."""

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.pruning.structured.structured_models import RowPruner


class SmallNet(nn.Module):
    """Layers for the functions below, which are forwards of a model."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.again = nn.Conv2d(4, 4, 3, padding=1)
        self.wide = nn.Linear(4 * 9, 3)
        self.narrow = nn.Linear(4, 3)
        self.prelu = nn.PReLU()


def _flattened(function):
    return lambda net, x: net.wide(function(net.conv(x)))


def _pooled(function):
    return lambda net, x: net.narrow(function(net.conv(x)))


def _added(function):
    def forward(net: SmallNet, x: Tensor) -> Tensor:
        joined = function(net.conv(x), net.again(x.repeat(1, 2, 1, 1)))
        return net.narrow(joined.mean((2, 3)))

    return forward


def in_place_activation(net: SmallNet, x: Tensor) -> Tensor:
    y = net.conv(x)
    z = net.again(x.repeat(1, 2, 1, 1)) - 1
    F.relu(y, inplace=True)
    return net.narrow((y + z).mean((2, 3)))


def in_place_method(net: SmallNet, x: Tensor) -> Tensor:
    y = net.conv(x)
    z = y.clone()
    y.sigmoid_()
    return net.again(y + z)


def in_place_sum(net: SmallNet, x: Tensor) -> Tensor:
    y = net.conv(x)
    z = y
    z += 1.0
    return net.narrow(y.mean((-1, -2)))


FOLLOWED = {
    "flatten method": _flattened(lambda x: x.flatten(1)),
    "flatten from the end": _flattened(lambda x: torch.flatten(x, start_dim=-3, end_dim=-1)),
    "flatten twice": _flattened(lambda x: x.flatten(2).flatten(1)),
    "view": _flattened(lambda x: x.view(x.size(0), -1)),
    "reshape": _flattened(lambda x: torch.reshape(x, (x.shape[0], -1))),
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
    "prelu": lambda net, x: net.narrow(net.prelu(net.conv(x)).mean((2, 3))),
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


def prune_and_compare(
    model: nn.Module, x: Tensor, names: list[str], rows: list[int], prune_bias: bool
) -> nn.Module:
    """Prune a model, compare its output with the masked model's, and return it."""
    pruner = RowPruner({"rows": rows, "prune_bias": prune_bias})
    pruner.prepare(model, [{"tensor_fqn": name} for name in names])
    pruner.step()
    with torch.no_grad():
        expected = copy.deepcopy(model)(x)
        pruned = pruner.prune()
        actual = pruned(x)
    if actual.shape != expected.shape:  # a masked layer that is an output has its kept rows
        kept = [i for i in range(expected.shape[1]) if i not in rows]
        expected = expected[:, kept]
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9)
    return pruned


@pytest.mark.parametrize("operation", FOLLOWED)
@pytest.mark.parametrize("prune_bias", [True, False])
def test_the_operation_is_followed(operation, prune_bias):
    torch.manual_seed(1)

    class FollowedModel(SmallNet):
        def forward(self, x: Tensor) -> Tensor:
            return FOLLOWED[operation](self, x)

    model = FollowedModel().double().eval()
    x = torch.randn(2, 2, 3, 3, dtype=torch.float64)
    both = operation in ("sum of two", "difference with a factor", "product", "sums of methods",
                    "stacked batches", "in-place activation")  # fmt: skip
    names = ["conv.weight", "again.weight"] if both else ["conv.weight"]
    pruned = prune_and_compare(model, x, names, [0, 2], prune_bias)
    if prune_bias or (both and operation != "stacked batches"):  # whose constants differ
        assert pruned.conv.out_channels < 4


def test_a_flag_has_its_default_in_the_graph():
    class FlaggedModel(SmallNet):
        def forward(self, x: Tensor, pooled: bool = True) -> Tensor:
            x = self.conv(x)
            return self.narrow(x.mean((2, 3))) if pooled else x

    x = torch.randn(2, 2, 3, 3, dtype=torch.float64)
    pruned = prune_and_compare(FlaggedModel().double(), x, ["conv.weight"], [0, 2], prune_bias=True)
    assert pruned.conv.out_channels == 2


ACTIVATIONS = [nn.ReLU, nn.Sigmoid, nn.Hardswish, nn.Softplus, nn.Tanh, nn.GELU, nn.ELU]


@st.composite
def networks(draw) -> nn.Sequential:
    """A random chain of convolutions and layers between them."""
    layers: list[nn.Module] = []
    channels = 2
    for _ in range(draw(st.integers(2, 4))):
        kind = draw(st.sampled_from(["dense", "dense", "grouped", "depthwise"]))
        groups = {"dense": 1, "grouped": 2, "depthwise": channels}[kind]
        widths = [channels, 2 * channels] if kind == "depthwise" else [4, 6]
        conv = nn.Conv2d(
            channels,
            draw(st.sampled_from(widths)),
            draw(st.sampled_from([1, 3])),
            padding=draw(st.sampled_from([0, 1, "same"])),
            padding_mode=draw(st.sampled_from(["zeros", "reflect"])),
            groups=groups,
            bias=draw(st.booleans()),
        )
        channels = conv.out_channels
        candidates = [
            nn.BatchNorm2d(channels), nn.InstanceNorm2d(channels, affine=True),
            nn.GroupNorm(2, channels) if channels % 2 == 0 else nn.Identity(),
            nn.PReLU(channels), nn.Dropout2d(), nn.AvgPool2d(2, 1, padding=1),
            nn.MaxPool2d(3, 1, padding=1), nn.ZeroPad2d(1), nn.Upsample(scale_factor=2),
            *(activation() for activation in ACTIVATIONS),
        ]  # fmt: skip
        indices = draw(st.lists(st.integers(0, len(candidates) - 1), max_size=4))
        layers += [conv, *(candidates[i] for i in indices)]
    layers += [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * channels, 3)]
    return nn.Sequential(*layers)


@settings(max_examples=150, deadline=None)
@given(model=networks(), seed=st.integers(0, 1000), prune_bias=st.booleans(), data=st.data())
def test_random_networks_keep_their_output(model, seed, prune_bias, data):
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
    prune_and_compare(model, torch.randn(2, 2, 9, 9, dtype=torch.float64), names, rows, prune_bias)
