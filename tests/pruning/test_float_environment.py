"""Masks do not depend on how the process rounds, or whether it flushes denormal numbers."""

import ctypes
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sparsebench.pruning import DataNormSparsifier, WandaSparsifier, WeightNormSparsifier, masks
from sparsebench.pruning.float_environment import (
    default_environment,
    in_default_environment,
    is_default,
)
from sparsebench.pruning.kernels import only, write_mask
from tests.pruning.small_models import values

TO_NEAREST, UPWARD, TOWARD_ZERO = 0, 0x800, 0xC00  # of x86


@contextmanager
def flushing() -> Iterator[None]:
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush denormal numbers")
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@contextmanager
def rounding(mode: int) -> Iterator[None]:
    if platform.machine() not in ("x86_64", "AMD64") or platform.system() != "Linux":
        pytest.skip("the numbers of rounding modes are those of Linux on x86")
    library = ctypes.CDLL(None)
    library.fesetround(mode)
    try:
        yield
        assert library.fegetround() == mode
    finally:
        library.fesetround(TO_NEAREST)


STATES: dict[str, Callable[[], Any]] = {
    "flushing": flushing,
    "upward": lambda: rounding(UPWARD),
    "toward zero": lambda: rounding(TOWARD_ZERO),
}


def weight(shape: tuple[int, int]) -> Tensor:
    """Half of the squares are denormal, and sums of four round."""
    scale = torch.where(values(*shape, seed=1) > 0, 1e-20, 1.0)
    return values(*shape) * scale


def by_step(tensor: Tensor, **settings: Any) -> Tensor:
    model = nn.Sequential(nn.Linear(tensor.shape[1], tensor.shape[0], bias=False))
    model[0].weight.data = tensor.clone()
    sparsifier = WeightNormSparsifier(0.5, (1, 4), settings.pop("zeros", None), **settings)
    sparsifier.prepare(model, None)
    for _ in range(2):  # the second step takes the fast path
        sparsifier.step()
    mask: Tensor = sparsifier.state["0.weight"]["mask"]
    return mask


def by_function(tensor: Tensor) -> Tensor:
    mask = torch.empty_like(tensor)
    write_mask(mask, tensor, masks.l2, 0.5, (1, 4), 2)
    return mask


def by_wanda(tensor: Tensor) -> Tensor:
    layer = nn.Linear(tensor.shape[1], tensor.shape[0], bias=False)
    layer.weight.data = tensor.clone()
    sparsifier = WandaSparsifier()
    sparsifier.prepare(layer, None)
    sparsifier.load_state_dict(
        {
            "state": {"weight": {"sum_of_squares": values(tensor.shape[1]).double().square()}},
            "groups": [
                {"tensor_fqn": "weight", "sparsity_level": 0.5, "semi_structured_block_size": None}
            ],
        }
    )
    sparsifier.step()
    mask: Tensor = sparsifier.state["weight"]["mask"]
    return mask


def by_data(tensor: Tensor) -> Tensor:
    sparsifier = DataNormSparsifier([("t", tensor.clone())], 0.5, (1, 4), 2)
    sparsifier.step()
    return sparsifier.get_mask("t")


WAYS: dict[str, Callable[[Tensor], Tensor]] = {
    "step": by_step,
    "zeros in blocks": lambda tensor: by_step(tensor, zeros=2),
    "global": lambda tensor: by_step(tensor, level_scope="global"),
    "callable norm": lambda tensor: by_step(tensor, norm=lambda w: w * w * w.abs()),
    "function": by_function,
    "reference": lambda tensor: masks.sparsity_mask(tensor, 0.5, (1, 4), 2),
    "wanda": by_wanda,
    "data": by_data,
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("path", ["compiled", "torch"])
def test_the_mask_is_that_of_the_default_state(way: str, path: str, state: str) -> None:
    tensor = weight((64, 68))
    with only(path):
        expected = WAYS[way](tensor)
        with STATES[state]():
            assert not is_default()
            actual = WAYS[way](tensor)
            assert not is_default()  # what the process had set is restored
    assert is_default()
    assert torch.equal(actual, expected)


@pytest.mark.parametrize("path", ["compiled", "torch"])
def test_each_thread_computes_in_the_default_state(path: str) -> None:
    """New threads inherit the state of the one that starts them."""
    tensor = weight((1024, 512))  # large enough for several threads
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        with only(path):
            expected = by_step(tensor)
            torch.set_num_threads(4)  # a pool of its own, whose threads start while flushing
            with flushing():
                assert torch.equal(by_step(tensor), expected)
                assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)


def test_the_state_is_restored_after_an_exception() -> None:
    @in_default_environment
    def fail() -> None:
        assert is_default()
        raise ValueError("in the block")

    with flushing():
        with pytest.raises(ValueError, match="in the block"):
            fail()
        assert not is_default()
        with default_environment(), default_environment():
            assert is_default()
        assert not is_default()
