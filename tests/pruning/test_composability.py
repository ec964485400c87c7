"""Sparsity with torch's quantisation: either first, eager, QAT and FX, and the sparse kernels."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from sparsebench.errors import ConfigError
from sparsebench.pruning import (
    WeightNormSparsifier,
    fqn_to_module,
    get_dynamic_sparse_quantized_mapping,
    get_static_sparse_quantized_mapping,
)
from sparsebench.pruning.formats.quantized import check_engine
from tests.pruning.small_models import seeded, values

tq = pytest.importorskip("torch.ao.quantization")
fx = pytest.importorskip("torch.ao.quantization.quantize_fx")
pytestmark = pytest.mark.filterwarnings("ignore")  # torch.ao deprecates most of itself
FBGEMM = "fbgemm" in torch.backends.quantized.supported_engines
QNNPACK = "qnnpack" in torch.backends.quantized.supported_engines

LEVEL, X = 0.7, values(1, 4, 4, 4, seed=5)


@pytest.fixture(autouse=True)
def engine() -> Iterator[None]:
    former = torch.backends.quantized.engine
    if FBGEMM:
        torch.backends.quantized.engine = "fbgemm"
    yield
    torch.backends.quantized.engine = former


def network(qconfig: Any = None) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU()]
    layers += [tq.QuantStub(), nn.Linear(4, 4), nn.ReLU(), tq.DeQuantStub()]
    model = nn.Sequential(*layers)
    seeded(model)
    if qconfig is not None:
        model[4].qconfig = model[5].qconfig = qconfig
    return model


def sparsifier_on(model: nn.Module, *names: str) -> WeightNormSparsifier:
    sparsifier = WeightNormSparsifier(LEVEL, (1, 4), 4)
    sparsifier.prepare(model, [{"tensor_fqn": name} for name in names or ("5.weight", "0.weight")])
    return sparsifier


def sparsity(tensor: torch.Tensor) -> float:
    dense = tensor.dequantize() if tensor.is_quantized else tensor
    return (dense == 0).double().mean().item()


def step_and_quantise(model: nn.Module, sparsifier: WeightNormSparsifier) -> None:
    sparsifier.step()
    sparsifier.squash_mask()
    model(X)
    tq.convert(model, inplace=True)


def assert_sparse_and_quantised(model: nn.Module, kind: type[nn.Module]) -> None:
    layer = fqn_to_module(model, "5")
    assert isinstance(layer, kind)
    assert model(X).shape == X.shape
    assert sparsity(layer._weight_bias()[0]) >= LEVEL


@pytest.mark.skipif(not FBGEMM, reason="needs fbgemm")
@pytest.mark.parametrize("quantise_first", [True, False])
def test_eager(quantise_first: bool) -> None:
    model = network(tq.get_default_qconfig("fbgemm"))
    if quantise_first:
        tq.prepare(model, inplace=True)
        sparsifier = sparsifier_on(model)
    else:
        sparsifier = sparsifier_on(model)
        tq.prepare(model, inplace=True)
    assert hasattr(model[5], "parametrizations")
    assert hasattr(model[5], "activation_post_process")
    step_and_quantise(model, sparsifier)
    assert_sparse_and_quantised(model, torch.ao.nn.quantized.Linear)


@pytest.mark.skipif(not FBGEMM, reason="needs fbgemm")
@pytest.mark.parametrize("fuse_first", [True, False])
def test_fusion(fuse_first: bool) -> None:
    model = network(tq.get_default_qconfig("fbgemm")).eval()
    if fuse_first:
        tq.fuse_modules(model, [["5", "6"]], inplace=True)
        sparsifier = sparsifier_on(model, "5.0.weight", "0.weight")
    else:
        sparsifier = sparsifier_on(model)
        tq.fuse_modules(model, [["5", "6"]], inplace=True)
    model[5].qconfig = tq.get_default_qconfig("fbgemm")
    tq.prepare(model, inplace=True)
    assert hasattr(model[5][0], "parametrizations")
    step_and_quantise(model, sparsifier)
    assert_sparse_and_quantised(model, torch.ao.nn.intrinsic.quantized.LinearReLU)


@pytest.mark.skipif(not FBGEMM, reason="needs fbgemm")
@pytest.mark.parametrize("quantise_first", [True, False])
def test_quantisation_aware_training(quantise_first: bool) -> None:
    model = network(tq.get_default_qat_qconfig("fbgemm")).train()
    if quantise_first:
        tq.prepare_qat(model, inplace=True)
        sparsifier = sparsifier_on(model)
    else:
        sparsifier = sparsifier_on(model)
        tq.prepare_qat(model, inplace=True)
    assert isinstance(model[5], torch.ao.nn.qat.Linear)
    step_and_quantise(model, sparsifier)
    assert_sparse_and_quantised(model, torch.ao.nn.quantized.Linear)


def test_groups_follow_the_module_that_prepare_qat_inserts() -> None:
    model = network(tq.get_default_qat_qconfig("fbgemm")).train()
    sparsifier = sparsifier_on(model)
    tq.prepare_qat(model, inplace=True)
    with torch.no_grad():  # as training would
        model[5].parametrizations.weight.original.copy_(torch.arange(16.0).view(4, 4))
    sparsifier.step()
    assert sparsifier.groups[0]["module"] is model[5]
    assert model[5].weight.count_nonzero(dim=1).tolist() == [0, 0, 0, 4]
    sparsifier.squash_mask()
    assert not hasattr(model[5], "parametrizations")


@pytest.mark.skipif(not FBGEMM, reason="needs fbgemm")
@pytest.mark.parametrize("quantise_first", [True, False])
@pytest.mark.parametrize("train", [True, False])
def test_fx(quantise_first: bool, train: bool) -> None:
    model = network().train(train)
    get = tq.get_default_qat_qconfig if train else tq.get_default_qconfig
    mapping = tq.QConfigMapping().set_module_name("4", get("fbgemm"))
    mapping = mapping.set_module_name("5", get("fbgemm"))
    prepare = fx.prepare_qat_fx if train else fx.prepare_fx
    if quantise_first:
        model = prepare(model, mapping, (X,))
        name = "5.weight" if train else "5.0.weight"
        sparsifier = sparsifier_on(model, name)
    else:
        sparsifier = sparsifier_on(model, "5.weight")
        model = prepare(model, mapping, (X,))
    sparsifier.step()
    model(X)
    assert_sparse_and_quantised(fx.convert_fx(model), torch.ao.nn.intrinsic.quantized.LinearReLU)


# --- kernels -------------------------------------------------------------------------------------


def pruned(**settings: Any) -> nn.Sequential:
    model = seeded(nn.Sequential(nn.Linear(16, 8)))
    sparsifier = WeightNormSparsifier(0.5, (1, 4))
    sparsifier.prepare(model, None)
    sparsifier.step()
    sparsifier.squash_mask(params_to_keep=("sparse_block_shape",))
    return model


@pytest.mark.skipif(not FBGEMM, reason="needs fbgemm")
def test_static_sparse_kernels() -> None:
    model = nn.Sequential(tq.QuantStub(), pruned()[0], tq.DeQuantStub())
    x = values(3, 16)
    expected = model[1](x)
    model.qconfig = tq.get_default_qconfig("fbgemm")
    model.qconfig = tq.QConfig(
        activation=model.qconfig.activation, weight=tq.default_weight_observer
    )
    tq.prepare(model, inplace=True)
    model(x)
    mapping = {**tq.get_default_static_quant_module_mappings()}
    mapping.update(get_static_sparse_quantized_mapping())
    tq.convert(model, inplace=True, mapping=mapping)
    assert isinstance(model[1], torch.ao.nn.sparse.quantized.Linear)
    torch.testing.assert_close(model(x), expected, atol=0.2, rtol=0.1)


@pytest.mark.skipif(not QNNPACK, reason="needs qnnpack")
def test_dynamic_sparse_kernels() -> None:
    torch.backends.quantized.engine = "qnnpack"
    model, x = pruned(), values(3, 16)
    expected = model(x)
    model[0].qconfig = tq.QConfig(
        activation=tq.default_dynamic_quant_observer, weight=tq.default_weight_observer
    )
    tq.convert(model, inplace=True, mapping=get_dynamic_sparse_quantized_mapping())
    assert isinstance(model[0], torch.ao.nn.sparse.quantized.dynamic.Linear)
    torch.testing.assert_close(model(x), expected, atol=0.3, rtol=0.1)


@pytest.mark.parametrize(
    ("mapping", "needed"),
    [
        (get_static_sparse_quantized_mapping, "fbgemm"),
        (get_dynamic_sparse_quantized_mapping, "qnnpack"),
    ],
)
def test_another_engine_is_refused(mapping: Any, needed: str) -> None:
    others = [e for e in torch.backends.quantized.supported_engines if e != needed]
    for other in others:
        torch.backends.quantized.engine = other
        with pytest.raises(ConfigError, match=f"'{needed}', which has the kernels, got '{other}'"):
            mapping()


def test_a_torch_without_the_kernels_is_refused() -> None:
    with pytest.raises(ConfigError, match="must be built with tpu"):
        check_engine("tpu", "static")
