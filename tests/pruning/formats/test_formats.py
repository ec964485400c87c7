"""CSR, BSR and 2:4: a converted model computes the same, or the conversion is refused."""

import copy
import io
from typing import Any

import pytest
import torch
from torch import nn

from sparsebench.errors import ConfigError
from sparsebench.pruning import (
    SparseLinear,
    WeightNormSparsifier,
    to_bsr,
    to_csr,
    to_semi_structured,
)
from sparsebench.pruning.formats.semi_structured import check_two_of_four
from tests.pruning.small_models import MLP, values

pytestmark = pytest.mark.filterwarnings("ignore:Sparse (CSR|BSR) tensor support:UserWarning")
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")


def squashed(
    *pattern: Any, model: nn.Module | None = None, keep: tuple[str, ...] = ()
) -> nn.Module:
    model = model or MLP()
    sparsifier = WeightNormSparsifier(*pattern)
    sparsifier.prepare(model, None)
    sparsifier.step()
    sparsifier.squash_mask(params_to_keep=keep)
    return model


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("pattern", "convert"),
    [((0.7, (1, 1)), to_csr), ((0.5, (2, 2)), lambda model: to_bsr(model, (2, 2)))],
    ids=["csr", "bsr"],
)
def test_a_converted_model_computes_the_same(
    device: str, dtype: torch.dtype, pattern: Any, convert: Any
) -> None:
    model = squashed(*pattern).to(device, dtype)
    for x in (values(5, 8), values(2, 3, 8), values(8), values(0, 8)):
        inputs = x.to(device, dtype)
        expected = model(inputs)
        torch.testing.assert_close(convert(copy.deepcopy(model))(inputs), expected)


def test_only_kept_weights_are_stored() -> None:
    model = to_csr(squashed(0.75, (1, 1)))
    assert isinstance(model.first, SparseLinear)
    assert model.first.weight.layout == torch.sparse_csr
    assert model.first.weight.values().numel() == 24
    assert "stored=0.250" in repr(model.first)


def test_the_block_shape_may_be_kept_by_squash() -> None:
    model = to_bsr(squashed(0.5, (4, 4), keep=("sparse_block_shape",)))
    assert model.first.weight.values().shape[1:] == (4, 4)


def test_layers_without_zeros_are_not_converted() -> None:
    model = MLP()
    with torch.no_grad():
        model.last.weight[0] = 0
    to_csr(model)
    assert type(model.first) is nn.Linear
    assert isinstance(model.last, SparseLinear)


def test_a_converted_model_saves_and_loads() -> None:
    model, x = to_csr(squashed(0.7, (1, 1))), values(2, 8)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    restored = to_csr(squashed(0.7, (1, 1)))
    restored.load_state_dict(torch.load(file))
    torch.testing.assert_close(restored(x), model(x))


def masked() -> nn.Module:
    model = MLP()
    WeightNormSparsifier().prepare(model, None)
    return model


class LinearSubclass(nn.Linear):
    pass


@pytest.mark.parametrize(
    ("model", "convert", "message"),
    [
        (MLP(), to_csr, "a Linear with zeros must be in the model"),
        (masked(), to_csr, "'first' must not be masked;"),
        (squashed(0.5, (1, 1), model=nn.Linear(4, 4)), to_csr, "wrap it"),
        (
            squashed(0.5, (1, 1), model=nn.Sequential(LinearSubclass(4, 4))),
            to_csr,
            "plain Linear, got LinearSubclass",
        ),
        (squashed(0.5, (1, 1)).bfloat16(), to_csr, "kernel for torch.sparse_csr of torch.bfloat16"),
        (squashed(0.5, (1, 4)), to_bsr, "block_shape must be given"),
        (squashed(0.5, (1, 4)), lambda m: to_bsr(m, 4), "block_shape: must be two positive"),
        (squashed(0.5, (1, 4)), lambda m: to_bsr(m, (0, 4)), "block_shape: must be two positive"),
        (squashed(0.5, (1, 4)), lambda m: to_bsr(m, (5, 4)), r"must divide the weight's \(12, 8\)"),
        (squashed(0.1, (1, 1)), lambda m: to_bsr(m, (4, 4)), "must be zero, got none"),
        (squashed(0.5, (2, 4)), lambda m: to_bsr(m, (2, 4)), "on cpu, got its error: .*non-square"),
        (squashed(1.0, (1, 4), 2), to_semi_structured, "must be on CUDA, got cpu"),
        (squashed(0.5, (1, 1)), lambda m: to_csr(m, lambda m, n: n == ""), "must be a Linear"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_model_that_cannot_be_converted_is_refused_and_unchanged(
    model: Any, convert: Any, message: str
) -> None:
    modules = list(model.modules())
    with pytest.raises(ConfigError, match=message):
        convert(model)
    assert list(model.modules()) == modules


def test_a_fast_path_that_needs_dense_weights_is_refused() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    model = nn.Sequential(layer)
    for linear in (layer.linear1, layer.linear2):
        with torch.no_grad():
            linear.weight[::2] = 0
    with torch.no_grad():
        expected = model(x := values(2, 3, 8))
        with pytest.raises(ConfigError, match="'0', a TransformerEncoderLayer, must not take"):
            to_csr(model)
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            torch.testing.assert_close(to_csr(model)(x), expected)
        finally:
            torch.backends.mha.set_fastpath_enabled(True)


def test_a_filter_selects_layers() -> None:
    model = to_csr(squashed(0.5, (1, 1)), lambda module, name: name == "last")
    assert type(model.first) is nn.Linear
    assert isinstance(model.last, SparseLinear)


def test_a_violation_of_two_of_four_is_located() -> None:
    check_two_of_four("w", torch.tensor([[0.0, 0, 1, 1, 1, 1, 0, 0]]))
    with pytest.raises(ConfigError, match="at row 1, columns from 4"):
        check_two_of_four("w", torch.tensor([[0.0] * 8, [0.0, 0, 1, 1, 1, 1, 1, 0]]))
    with pytest.raises(ConfigError, match="4n columns"):
        check_two_of_four("w", torch.zeros(2, 6))


@cuda
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_two_of_four_computes_the_same(dtype: torch.dtype) -> None:
    model = squashed(1.0, (1, 4), 2, model=nn.Sequential(nn.Linear(128, 128), nn.ReLU()))
    model.to("cuda", dtype)
    x = values(64, 128).to("cuda", dtype)
    expected = model(x)
    torch.testing.assert_close(to_semi_structured(model)(x), expected, atol=2e-2, rtol=2e-2)
    assert type(model[0].weight.data).__name__.startswith("SparseSemiStructured")


@cuda
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("rows", [1, 5, 64])
def test_half_blocks_compute_the_same_on_cuda(dtype: torch.dtype, rows: int) -> None:
    model = squashed(0.5, (16, 16), model=nn.Sequential(nn.Linear(128, 64))).to("cuda", dtype)
    x = values(rows, 128).to("cuda", dtype)
    expected = model(x)
    torch.testing.assert_close(to_bsr(model, (16, 16))(x), expected, atol=2e-2, rtol=2e-2)
