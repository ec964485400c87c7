"""The pruned model has the output of the masked model, for all models, levels and masks."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sparsebench.pruning import FPGMPruner, LSTMSaliencyPruner, SaliencyPruner
from tests.pruning.structured.structured_models import (
    EXAMPLES,
    PruningExample,
    RowPruner,
    parameter_count,
    seeded_model,
)


def masked_model(example: PruningExample, level: float, prune_bias: bool, seed: int = 0):
    model, x = seeded_model(example)
    names = [name for name in example.tensors if "lstm" not in name]
    units = [name for name in example.tensors if "lstm" in name]
    pruner = RowPruner({"level": level, "seed": seed, "prune_bias": prune_bias})
    pruner.prepare(model, [{"tensor_fqn": name} for name in names])
    pruner.step()
    if units:
        lstm = LSTMSaliencyPruner({"sparsity_level": level})
        lstm.prepare(model, [{"tensor_fqn": name} for name in units])
        lstm.step()
        pruner.groups += lstm.groups
    return model, x, pruner


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("prune_bias", [True, False])
@pytest.mark.parametrize("level", [0.0, 0.25, 0.5, 1.0])
def test_the_pruned_output_is_the_masked_output(name, prune_bias, level):
    model, x, pruner = masked_model(EXAMPLES[name], level, prune_bias)
    with torch.no_grad():
        expected = model(x)
        pruned = pruner.prune()(x)
    torch.testing.assert_close(pruned, expected, rtol=1e-9, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(EXAMPLES)),
    level=st.floats(0, 1),
    prune_bias=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_random_masks_keep_the_output(name, level, prune_bias, seed):
    model, x, pruner = masked_model(EXAMPLES[name], level, prune_bias, seed)
    with torch.no_grad():
        expected = model(x)
        pruned = pruner.prune()(x)
    torch.testing.assert_close(pruned, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_shrinks(name):
    """All layers have the same rows masked, so every masked channel can be removed."""
    example = EXAMPLES[name]
    model, x, pruner = masked_model(example, 0.0, prune_bias=True)
    for group in pruner.groups:
        mask = group["module"].parametrizations[group["tensor_name"]][0].mask
        gates = mask.view(4, -1) if "lstm" in group["tensor_fqn"] else mask.view(1, -1)
        gates[:, 1::2] = False  # the same rows of every gate
    before = parameter_count(model)
    with torch.no_grad():
        expected = model(x)
        pruned = pruner.prune()
        torch.testing.assert_close(pruned(x), expected, rtol=1e-9, atol=1e-9)
    assert parameter_count(pruned) < 0.95 * before


@pytest.mark.parametrize("name", EXAMPLES)
def test_prune_removes_parametrizations_and_hooks(name):
    model, _, pruner = masked_model(EXAMPLES[name], 0.25, prune_bias=False)
    modules = [group["module"] for group in pruner.groups]
    assert pruner.prune() is model
    for module in modules:
        assert not hasattr(module, "parametrizations")
        assert not hasattr(module, "_bias")
        assert not module._forward_hooks
    assert all(isinstance(parameter, nn.Parameter) for parameter in model.parameters())


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_pruned_model_trains_copies_and_saves(name):
    _, x, pruner = masked_model(EXAMPLES[name], 0.5, prune_bias=True)
    pruned = pruner.prune().train()
    pruned(x).square().sum().backward()
    assert all(parameter.grad is not None for parameter in pruned.parameters())
    copied = copy.deepcopy(pruned)
    copied.load_state_dict(pruned.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(copied.eval()(x), pruned.eval()(x))


@pytest.mark.parametrize("configured", [SaliencyPruner({"sparsity_level": 0.5}), FPGMPruner(0.5)])
def test_saliency_and_fpgm_prune_a_resnet(configured):
    model, x = seeded_model(EXAMPLES["resnet"])
    before = parameter_count(model)
    pruner = copy.deepcopy(configured)
    pruner.prepare(model, [{"tensor_fqn": name} for name in EXAMPLES["resnet"].tensors])
    pruner.step()
    with torch.no_grad():
        expected = model(x)
        pruned = pruner.prune()
        torch.testing.assert_close(pruned(x), expected, rtol=1e-9, atol=1e-9)
    assert parameter_count(pruned) < 0.6 * before
    # Half of 8, and the representative that the padded convolution after it needs.
    assert pruned.stem.out_channels == 5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("name", ["mlp", "convs", "mobile"])
def test_prune_preserves_the_dtype(name, dtype):
    model, x, pruner = masked_model(EXAMPLES[name], 0.5, prune_bias=False)
    model.to(dtype)
    with torch.no_grad():
        expected = model(x.to(dtype))
        pruned = pruner.prune()(x.to(dtype))
    assert pruned.dtype == expected.dtype == dtype
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}
    rounding = 8 * torch.finfo(dtype).eps * float(expected.abs().max())
    torch.testing.assert_close(pruned, expected, rtol=0, atol=rounding)
