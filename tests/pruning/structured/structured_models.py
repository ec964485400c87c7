"""Small models with every kind of layer that pruning supports, and a pruner of given rows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sparsebench.pruning import BaseStructuredSparsifier


class RowPruner(BaseStructuredSparsifier):
    """Prunes the rows that ``rows`` names, or a seeded random fraction ``level``."""

    def update_mask(
        self,
        module: nn.Module,
        tensor_name: str,
        rows: list[int] | None = None,
        level: float = 0.0,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        mask = module.parametrizations[tensor_name][0].mask
        mask.fill_(1)
        if rows is None:
            generator = torch.Generator().manual_seed(seed + len(kwargs["tensor_fqn"]))
            rows = torch.randperm(len(mask), generator=generator)[: int(level * len(mask))]
        mask[rows] = False


class ResidualBlock(nn.Module):
    """Residual block with BatchNorm."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.skip = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
            nn.BatchNorm2d(out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.skip(x)
        return F.relu(out)


class TinyResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.bn = nn.BatchNorm2d(8)
        self.blocks = nn.Sequential(ResidualBlock(8, 8, 1), ResidualBlock(8, 12, 2))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(F.relu(self.bn(self.stem(x))))
        return self.fc(torch.flatten(self.pool(x), 1))


class MobileNetBlock(nn.Module):
    """Depthwise separable, with squeeze and excitation."""

    def __init__(self, multiplier: int = 1) -> None:
        super().__init__()
        self.expand = nn.Conv2d(3, 8, 1)
        self.depthwise = nn.Conv2d(8, 8 * multiplier, 3, padding=1, groups=8)
        self.squeeze = nn.Linear(8 * multiplier, 4)
        self.excite = nn.Linear(4, 8 * multiplier)
        self.project = nn.Conv2d(8 * multiplier, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.hardswish(self.depthwise(F.hardswish(self.expand(x))))
        b, c, _, _ = x.size()
        s = x.mean((2, 3))
        s = torch.sigmoid(self.excite(F.relu(self.squeeze(s)))).view(b, c, 1, 1)
        return self.project(x * s)


class Concatenations(nn.Module):
    """Concatenated channels, as in DenseNet and U-Net."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 6, 3, padding=1)
        self.b = nn.Conv2d(6, 4, 3, padding=1)
        self.c = nn.Conv2d(10, 4, 3, padding=1)
        self.d = nn.Conv2d(14, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = F.relu(self.a(x))
        b = F.relu(self.b(a))
        c = F.interpolate(F.max_pool2d(F.relu(self.c(torch.cat([a, b], 1))), 2), scale_factor=2)
        return self.d(torch.cat((a, b, c), dim=1))


class LstmAndHead(nn.Module):
    """An LSTM, and a Linear on the part that ``reads`` names of ``(output, (h, c))``."""

    def __init__(self, reads: str = "output", norm: bool = False, **options: Any) -> None:
        super().__init__()
        self.embed = nn.Linear(5, 6)
        self.lstm = nn.LSTM(6, 8, batch_first=True, **options)
        width = 16 if options.get("bidirectional") else 8
        self.norm = nn.LayerNorm(width) if norm else nn.Identity()
        self.head = nn.Linear(width, 3)
        self.reads = reads

    def forward(self, x: Tensor) -> Tensor:
        out, (h, c) = self.lstm(torch.tanh(self.embed(x)))
        if self.reads == "last step":
            out = out[:, -1]
        elif self.reads == "states":
            out = torch.cat([h[-2], c[-1]], dim=1) if self.lstm.bidirectional else h[-1] + c[-1]
        return self.head(self.norm(out))


class SharedLayer(nn.Module):
    """A module that is called twice, and a layer whose output two layers read."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(5, 6)
        self.shared = nn.Linear(6, 6)
        self.left = nn.Linear(6, 4)
        self.right = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.shared(F.relu(self.shared(F.relu(self.first(x)))))
        return self.left(x) + 2 * self.right(x)


class TextConvolutions(nn.Module):
    """Conv1d over time, transposes, BatchNorm1d, mean over time."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(4, 8, 3, padding="same")
        self.bn = nn.BatchNorm1d(8)
        self.conv2 = nn.Conv1d(8, 6, 3, padding="same")
        self.fc1 = nn.Linear(6, 6)
        self.fc2 = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.bn(self.conv1(x.transpose(1, 2))))
        x = F.leaky_relu(self.conv2(x), 0.1).transpose(1, 2)
        return self.fc2(self.fc1(x).relu()[:, 0] + x.mean(dim=1))


class ResidualSums(nn.Module):
    """Residual sums with the model's input and between masked layers."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(6, 6)
        self.b = nn.Linear(6, 6)
        self.c = nn.Linear(6, 6)
        self.out = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.a(x)
        return self.out(torch.relu(self.b(x) - 0.5 * self.c(x)))


@dataclass(frozen=True)
class PruningExample:
    """A model, the shape of its input, and the tensors to mask."""

    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    tensors: tuple[str, ...]


def _lstm_weights(layers: int = 1, directions: int = 1) -> tuple[str, ...]:
    suffixes = [
        f"_l{i}{direction}" for i in range(layers) for direction in ("", "_reverse")[:directions]
    ]
    return tuple(f"lstm.weight_{kind}{suffix}" for suffix in suffixes for kind in ("ih", "hh"))


EXAMPLES: dict[str, PruningExample] = {
    "mlp": PruningExample(
        lambda: nn.Sequential(
            nn.Linear(5, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 8), nn.BatchNorm1d(8),
            nn.Identity(), nn.Linear(8, 3),
        ),
        (4, 5), ("0.weight", "3.weight"),
    ),
    "sigmoid": PruningExample(
        lambda: nn.Sequential(
            nn.Linear(5, 8), nn.Sigmoid(), nn.Linear(8, 6, bias=False), nn.Softplus(),
            nn.Linear(6, 3, bias=False),
        ),
        (4, 5), ("0.weight", "2.weight"),
    ),
    "three dimensions": PruningExample(
        lambda: nn.Sequential(nn.Linear(5, 8), nn.GELU(), nn.Linear(8, 3)), (2, 4, 5), ("0.weight",)
    ),
    "convs": PruningExample(
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.Tanh(), nn.AvgPool2d(2, padding=1),
            nn.Conv2d(8, 6, 3, padding=1), nn.BatchNorm2d(6), nn.PReLU(6),
            nn.MaxPool2d(2), nn.Conv2d(6, 4, 3, padding="same"),
            nn.Sigmoid(), nn.AdaptiveMaxPool2d(2), nn.Flatten(), nn.Linear(16, 3),
        ),
        (2, 3, 12, 12), ("0.weight", "3.weight", "7.weight"),
    ),
    "borders": PruningExample(
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect"), nn.Sigmoid(),
            nn.Conv2d(8, 6, 3, padding=1, padding_mode="circular"), nn.Sigmoid(),
            nn.ZeroPad2d(1), nn.Conv2d(6, 6, 3), nn.ReLU(), nn.ZeroPad2d(1), nn.Conv2d(6, 2, 3),
        ),
        (2, 3, 6, 6), ("0.weight", "2.weight", "5.weight"),
    ),
    "groups": PruningExample(
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 12, 3, groups=2), nn.InstanceNorm2d(12),
            nn.Conv2d(12, 4, 1, groups=4), nn.GroupNorm(2, 4), nn.Conv2d(4, 2, 1),
        ),
        (2, 3, 6, 6), ("0.weight", "2.weight", "4.weight"),
    ),
    "volumes": PruningExample(
        lambda: nn.Sequential(
            nn.Conv3d(1, 4, 3), nn.ReLU(), nn.MaxPool3d(2), nn.Flatten(1), nn.Linear(32, 3)
        ),
        (2, 1, 6, 6, 6), ("0.weight",),
    ),
    "resnet": PruningExample(
        TinyResNet, (2, 3, 8, 8),
        ("stem.weight", "blocks.0.conv1.weight", "blocks.0.conv2.weight",
         "blocks.0.skip.0.weight", "blocks.1.conv1.weight", "blocks.1.conv2.weight",
         "blocks.1.skip.0.weight"),
    ),
    "mobile": PruningExample(
        MobileNetBlock, (2, 3, 6, 6),
        ("expand.weight", "depthwise.weight", "squeeze.weight", "excite.weight"),
    ),
    "depth multiplier": PruningExample(
        lambda: MobileNetBlock(2), (2, 3, 6, 6),
        ("expand.weight", "squeeze.weight", "excite.weight"),
    ),
    "dense": PruningExample(Concatenations, (2, 3, 8, 8), ("a.weight", "b.weight", "c.weight")),
    "twice": PruningExample(SharedLayer, (4, 5), ("first.weight", "shared.weight")),
    "text": PruningExample(
        TextConvolutions, (2, 7, 4), ("conv1.weight", "conv2.weight", "fc1.weight")
    ),
    "sums": PruningExample(ResidualSums, (4, 6), ("a.weight", "b.weight", "c.weight")),
    "lstm": PruningExample(LstmAndHead, (2, 7, 5), ("embed.weight", *_lstm_weights())),
    "lstm without bias": PruningExample(
        lambda: LstmAndHead(bias=False), (2, 7, 5), ("embed.weight", *_lstm_weights())
    ),
    "stacked lstm": PruningExample(
        lambda: LstmAndHead("last step", num_layers=2), (2, 7, 5),
        ("embed.weight", *_lstm_weights(2)),
    ),
    "bidirectional lstm": PruningExample(
        lambda: LstmAndHead("states", num_layers=2, bidirectional=True), (2, 7, 5),
        ("embed.weight", *_lstm_weights(2, 2)),
    ),
    "lstm states": PruningExample(
        lambda: LstmAndHead("states"), (2, 7, 5), ("embed.weight", *_lstm_weights())
    ),
    "lstm and norm": PruningExample(
        lambda: LstmAndHead(norm=True), (2, 7, 5), ("embed.weight", *_lstm_weights())
    ),
}  # fmt: skip


def seeded_model(example: PruningExample) -> tuple[nn.Module, Tensor]:
    """Return the model in float64, with statistics other than the initial ones, and an input."""
    torch.manual_seed(0)
    model = example.build().double()
    x = torch.randn(example.shape, dtype=torch.float64)
    for _ in range(3):  # running statistics that are not the initial ones
        model(x)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model.eval(), x


def parameter_count(model: nn.Module) -> int:
    """Return the number of entries of all parameters."""
    return sum(parameter.numel() for parameter in model.parameters())
