"""Small models of usual architectures, each with inputs: (model, inputs) by name."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.pruning.small_models import MLP, values


class ResNet(nn.Module):
    """A convolution, a block with BatchNorm and a skip, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.first, self.first_norm = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.second, self.second_norm = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        y = self.second_norm(self.second(self.first_norm(self.first(x)).relu()))
        return self.head((x + y).relu().mean((2, 3)))


class LanguageModel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 8)
        self.lstm = nn.LSTM(8, 12, num_layers=2, batch_first=True)
        self.head = nn.Linear(12, 4)

    def forward(self, tokens: Tensor) -> Tensor:
        out, _ = self.lstm(self.embedding(tokens))
        return self.head(out[:, -1])


class Transformer(nn.Module):
    """One pre-norm block that computes its attention itself, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.first_norm, self.second_norm = nn.LayerNorm(8), nn.LayerNorm(8)
        self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)
        self.up, self.down = nn.Linear(8, 32), nn.Linear(32, 8)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            part.unflatten(-1, (2, 4)).transpose(1, 2)
            for part in self.qkv(self.first_norm(x)).chunk(3, -1)
        )
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + self.out(attended)
        x = x + self.down(F.gelu(self.up(self.second_norm(x))))
        return self.head(x.mean(1))


class Recommender(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.history = nn.EmbeddingBag(30, 8, mode="sum")
        self.hidden = nn.Linear(8, 16)
        self.head = nn.Linear(16, 4)

    def forward(self, items: Tensor) -> Tensor:
        return self.head(self.hidden(self.history(items)).relu())


def random_tokens(rows: int, columns: int, below: int) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(below, (rows, columns), generator=generator)


ARCHITECTURES = {
    "mlp": (MLP, lambda: values(16, 8)),
    "resnet": (ResNet, lambda: values(16, 3, 6, 6)),
    "lstm": (LanguageModel, lambda: random_tokens(16, 5, below=20)),
    "transformer": (Transformer, lambda: values(16, 5, 8)),
    "recommender": (Recommender, lambda: random_tokens(16, 5, below=30)),
}


def build(name: str) -> tuple[nn.Module, Tensor]:
    """Return the architecture with seeded weights, and a batch of 16 for it."""
    torch.manual_seed(0)
    model, inputs = ARCHITECTURES[name]
    return model(), inputs()
