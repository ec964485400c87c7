"""Masks that are given or loaded are of zeros and ones, or all of them are refused."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sparsebench.errors import ConfigError
from sparsebench.pruning import DataNormSparsifier, WeightNormSparsifier

NAMES = ["0.weight", "1.weight"]
BAD = {
    "complex": torch.ones(3, 4, dtype=torch.complex64),
    "nan": torch.full((3, 4), float("nan")),
    "seven": torch.ones(3, 4).index_fill(1, torch.tensor(2), 7.0),
    "negative": torch.ones(3, 4, dtype=torch.int64).index_fill(1, torch.tensor(2), -1),
    "half": torch.full((3, 4), 0.5),
}


def prepared() -> tuple[nn.Sequential, WeightNormSparsifier]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(4, 3))
    sparsifier = WeightNormSparsifier(0.5, (1, 1), 1)
    sparsifier.prepare(model, [{"tensor_fqn": name} for name in NAMES])
    return model, sparsifier


def masks(sparsifier: WeightNormSparsifier) -> list[Tensor]:
    return [sparsifier.state[name]["mask"].clone() for name in NAMES]


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_second_mask_leaves_the_first_one_as_it_was(kind: str) -> None:
    _, sparsifier = prepared()
    good = prepared()[1]
    good.step()
    state: Any = good.state_dict()
    state["state"]["1.weight"]["mask"] = BAD[kind]
    before = masks(sparsifier)
    with pytest.raises(
        ConfigError, match=r"1\.weight: a mask must be of zeros and ones, got torch"
    ):
        sparsifier.load_state_dict(state)
    assert all(map(torch.equal, masks(sparsifier), before))


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_mask_to_start_from_is_refused(kind: str) -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(4, 3))
    config = [{"tensor_fqn": NAMES[0]}, {"tensor_fqn": NAMES[1], "mask": BAD[kind]}]
    with pytest.raises(ConfigError, match=r"1\.weight: a mask must be of zeros and ones"):
        WeightNormSparsifier(0.5, (1, 1), 1).prepare(model, config)
    assert not hasattr(model[0], "parametrizations")


def test_a_bad_mask_of_data_is_refused() -> None:
    sparsifier = DataNormSparsifier([("t", torch.rand(3, 4))], 0.5, (1, 1), 1)
    state = sparsifier.state_dict()
    state["state"]["t"]["mask"] = BAD["seven"]
    with pytest.raises(ConfigError, match=r"zeros and ones, got torch.float32, such as 7\.0"):
        sparsifier.load_state_dict(state)
    assert sparsifier.get_mask("t").eq(1).all()


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float64])
def test_zeros_and_ones_of_any_real_dtype_are_loaded(dtype: torch.dtype) -> None:
    model, sparsifier = prepared()
    state: Any = sparsifier.state_dict()
    state["state"]["1.weight"]["mask"] = torch.eye(3, 4).to(dtype)
    sparsifier.load_state_dict(state)
    assert torch.equal(model[1].weight != 0, torch.eye(3, 4) != 0)
