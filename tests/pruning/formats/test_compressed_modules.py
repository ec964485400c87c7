"""CSR and BSR layers are modules like any other."""

import copy
import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sparsebench.errors import ConfigError
from sparsebench.pruning import to_bsr, to_csr
from tests.pruning.small_models import values

pytestmark = pytest.mark.filterwarnings("ignore:Sparse (CSR|BSR) tensor support:UserWarning")
Convert = Callable[[nn.Module], nn.Module]
FORMATS: dict[str, Convert] = {"csr": to_csr, "bsr": lambda model: to_bsr(model, (4, 4))}


def dense() -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 12))
    model[0].weight.data[:8] = 0
    return model


@pytest.fixture(params=FORMATS)
def convert(request: pytest.FixtureRequest) -> Convert:
    return FORMATS[request.param]


def test_a_copy_computes_the_same_and_is_independent(convert: Convert) -> None:
    model, x = convert(dense()), values(5, 16)
    calls: list[str] = []
    model[0].register_forward_hook(lambda *_: calls.append("hook"))  # type: ignore[operator]  # Sequential's index
    model.eval()
    copied: Any = copy.deepcopy(model)
    assert torch.equal(copied(x), model(x))
    assert calls == ["hook", "hook"]
    assert not copied[0].training
    copied[0].weight.values().zero_()
    torch.testing.assert_close(model(x), dense()(x))


@pytest.mark.parametrize("cast", [nn.Module.double, lambda model: model.to(torch.float64)])
def test_a_cast_changes_values_and_kernel(convert: Convert, cast: Any) -> None:
    x = values(5, 16).double()
    model = cast(convert(dense()))
    assert model[0].weight.values().dtype == torch.float64
    assert [name for name, _ in model.named_parameters()] == ["0.weight", "0.bias"]
    torch.testing.assert_close(model(x), cast(dense())(x))
    torch.testing.assert_close(model.float()(x.float()), dense()(x.float()))


def test_a_cast_without_a_kernel_is_refused_by_the_forward(convert: Convert) -> None:
    model = convert(dense()).half()
    x = values(5, 16).half()
    try:
        torch.testing.assert_close(model(x), dense().half()(x), rtol=1e-2, atol=1e-2)
    except ConfigError as error:
        assert "torch must have a kernel for" in str(error)  # noqa: PT017  # not on each machine
    assert model.float()(x.float()).dtype == torch.float32


def test_the_gradient_of_the_input_is_that_of_the_dense_layer(convert: Convert) -> None:
    inputs = [values(2, 5, 16).requires_grad_() for _ in range(2)]
    outputs: list[Tensor] = []
    for model, x in zip((convert(dense()), dense()), inputs, strict=True):
        outputs.append(model(x))
        outputs[-1].square().sum().backward()
    torch.testing.assert_close(*outputs)
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad)


def test_autocast_computes_in_the_weights_dtype(convert: Convert) -> None:
    model, x = convert(dense()), values(5, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(model(x), convert(dense())(x))
        assert model(x.bfloat16()).dtype == torch.float32


def test_states_are_saved_and_loaded(convert: Convert) -> None:
    model, x = convert(dense()), values(5, 16)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    other = convert(dense())
    other[0].bias.data.zero_()  # type: ignore[operator]  # Sequential's index
    other.load_state_dict(torch.load(file))
    assert torch.equal(other(x), model(x))
