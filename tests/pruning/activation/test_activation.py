"""ActivationSparsifier: aggregation of inputs, masks, their application, and state."""

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sparsebench.errors import ConfigError
from sparsebench.pruning import ActivationSparsifier
from tests.pruning.small_models import values


def add(x: Tensor, y: Tensor) -> Tensor:
    return x + y


def minimum(x: Tensor, y: Tensor) -> Tensor:
    return torch.minimum(x, y)


def concatenate(x: Tensor, y: Tensor) -> Tensor:
    return torch.cat([x, y])


def mean(x: Tensor) -> Tensor:
    return x.mean(dim=0)


def magnitude(x: Tensor, sparsity_level: float) -> Tensor:
    """Zeroes the smallest absolute values."""
    flat = x.abs().flatten()
    mask = torch.ones_like(flat)
    mask[flat.argsort()[: round(sparsity_level * len(flat))]] = 0
    return mask.view_as(x)


FUNCTIONS: dict[str, Any] = {"aggregate_fn": add, "reduce_fn": mean, "mask_fn": magnitude}


def make_model() -> nn.Sequential:
    return nn.Sequential(nn.Identity(), nn.Linear(6, 4))


def sparsifier_of(net: nn.Module, **settings: Any) -> ActivationSparsifier:
    return ActivationSparsifier(net, **{**FUNCTIONS, "sparsity_level": 0.5, **settings})


def registered(**settings: Any) -> ActivationSparsifier:
    sparsifier = sparsifier_of(make_model(), **settings)
    sparsifier.register_layer(sparsifier.model[0])
    return sparsifier


def batches(*sizes: int) -> list[Tensor]:
    return [values(size, 6, seed=seed) for seed, size in enumerate(sizes)]


def run(sparsifier: ActivationSparsifier, inputs: list[Tensor]) -> None:
    for x in inputs:
        sparsifier.model(x)


def test_the_mask_is_computed_from_all_inputs() -> None:
    sparsifier, inputs = registered(), batches(5, 5, 5)
    run(sparsifier, inputs)
    assert torch.equal(sparsifier.data_groups["0"]["data"], inputs[0] + inputs[1] + inputs[2])
    sparsifier.step()
    expected = magnitude(mean(inputs[0] + inputs[1] + inputs[2]), 0.5)
    assert torch.equal(sparsifier.get_mask("0"), expected)
    assert torch.equal(sparsifier.get_mask(layer=sparsifier.model[0]), expected)
    assert "data" not in sparsifier.data_groups["0"]


def test_the_aggregate_starts_from_the_first_input() -> None:
    sparsifier, inputs = registered(aggregate_fn=minimum), [x.abs() for x in batches(3, 3)]
    run(sparsifier, inputs)
    assert torch.equal(sparsifier.data_groups["0"]["data"], torch.minimum(*inputs))


def test_upstream_starts_from_zeros() -> None:
    upstream = pytest.importorskip(
        "torch.ao.pruning._experimental.activation_sparsifier.activation_sparsifier"
    )
    net = make_model()
    sparsifier = upstream.ActivationSparsifier(net, minimum, mean, magnitude, sparsity_level=0.5)
    sparsifier.register_layer(net[0])
    net(values(3, 6).abs())
    assert not sparsifier.data_groups["0"]["data"].any()


@pytest.mark.parametrize("sizes", [(5, 2), (2, 5), (5, 1), (5, 2, 4)])
def test_batches_of_any_size_are_summed(sizes: tuple[int, ...]) -> None:
    sparsifier, inputs = registered(), batches(*sizes)
    run(sparsifier, inputs)
    total = sparsifier.data_groups["0"]["data"].sum(0)
    torch.testing.assert_close(total, torch.cat(inputs).sum(0))


def test_an_aggregate_may_grow() -> None:
    sparsifier, inputs = registered(aggregate_fn=concatenate), batches(5, 2, 5)
    run(sparsifier, inputs)
    assert torch.equal(sparsifier.data_groups["0"]["data"], torch.cat(inputs))


def test_the_callers_input_is_neither_changed_nor_stored() -> None:
    sparsifier, x = registered(), values(3, 6).requires_grad_()
    before = x.detach().clone()
    sparsifier.model(x)
    data = sparsifier.data_groups["0"]["data"]
    assert not data.requires_grad
    assert data.data_ptr() != x.data_ptr()
    sparsifier.step()
    sparsifier.squash_mask()
    sparsifier.model(x).sum().backward()
    assert torch.equal(x.detach(), before)
    assert torch.equal(x.grad != 0, sparsifier.get_mask("0").bool().expand(3, 6))


def test_each_feature_has_a_mask_and_the_input_is_not_changed() -> None:
    sparsifier = sparsifier_of(make_model())
    sparsifier.register_layer(
        sparsifier.model[0], features=[1, [2, 4]], feature_dim=1, sparsity_level=1.0
    )
    x = values(3, 6)
    before = x.clone()
    sparsifier.model(x)
    sparsifier.step()
    sparsifier.squash_mask()
    out = sparsifier.model[0](x)
    assert torch.equal(x, before)
    assert not out[:, [1, 2, 4]].any()
    assert torch.equal(out[:, [0, 3, 5]], x[:, [0, 3, 5]])
    assert len(sparsifier.get_mask("0")) == 2


def test_each_step_uses_the_inputs_since_the_last_one() -> None:
    sparsifier, inputs = registered(), batches(4, 4)
    for x in inputs:
        sparsifier.model(x)
        sparsifier.step()
    assert torch.equal(sparsifier.get_mask("0"), magnitude(mean(inputs[1]), 0.5))


def test_a_step_without_inputs_keeps_the_mask() -> None:
    sparsifier = registered()
    sparsifier.step()
    run(sparsifier, batches(4))
    sparsifier.step()
    mask = sparsifier.get_mask("0")
    sparsifier.step()
    assert sparsifier.get_mask("0") is mask


def test_before_the_first_step_batches_of_any_size_are_unchanged() -> None:
    sparsifier = registered()
    run(sparsifier, batches(4))
    sparsifier.squash_mask()
    x = values(2, 6)
    assert torch.equal(sparsifier.model[0](x), x)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_masking_keeps_the_dtype(dtype: torch.dtype) -> None:
    sparsifier = registered()
    run(sparsifier, batches(4))
    sparsifier.step()
    sparsifier.squash_mask()
    assert sparsifier.model[0](values(2, 6, dtype=dtype)).dtype == dtype


def test_other_arguments_pass_through() -> None:
    class Scaled(nn.Module):
        def forward(self, x: Tensor, factor: float, *, shift: float = 0.0) -> Tensor:
            return x * factor + shift

    net = nn.Sequential(Scaled())
    sparsifier = sparsifier_of(net, sparsity_level=1.0)
    sparsifier.register_layer(net[0])
    net[0](values(2, 6), 2.0, shift=1.0)
    sparsifier.step()
    sparsifier.squash_mask()
    assert torch.equal(net[0](values(2, 6), 2.0, shift=1.0), torch.ones(2, 6))


def test_squash_without_sparsify_hook_removes_the_hook() -> None:
    sparsifier = registered()
    sparsifier.squash_mask(attach_sparsify_hook=False)
    assert not sparsifier.model[0]._forward_pre_hooks
    assert sparsifier.data_groups["0"]["hook_state"] == "None"


def test_squash_refuses_a_layer_without_mask_and_changes_nothing() -> None:
    sparsifier = registered()
    sparsifier.register_layer(sparsifier.model[1])
    sparsifier.model[0](values(2, 6))
    with pytest.raises(ConfigError, match="layer '1' must have had an input"):
        sparsifier.squash_mask()
    assert sparsifier.data_groups["0"]["hook_state"] == "aggregate"


def test_a_failing_mask_fn_changes_no_mask() -> None:
    def failing(x: Tensor, sparsity_level: float) -> Tensor:
        raise RuntimeError("on purpose")

    sparsifier = registered()
    sparsifier.register_layer(sparsifier.model[1], mask_fn=failing)
    run(sparsifier, batches(3))
    with pytest.raises(RuntimeError, match="on purpose"):
        sparsifier.step()
    assert sparsifier.get_mask("0").all()
    assert "data" in sparsifier.data_groups["0"]


def test_registering_again_resets_the_layer() -> None:
    sparsifier = registered()
    run(sparsifier, batches(3))
    with pytest.warns(UserWarning, match="mask are reset"):
        sparsifier.register_layer(sparsifier.model[0], sparsity_level=0.1)
    assert len(sparsifier.model[0]._forward_pre_hooks) == 1
    assert sparsifier.data_groups["0"]["sparse_config"] == {"sparsity_level": 0.1}
    assert sparsifier.defaults["sparse_config"] == {"sparsity_level": 0.5}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"features": [1]}, "features must come with feature_dim"),
        ({"mask_fn": "magnitude"}, "mask_fn must be callable"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    sparsifier = sparsifier_of(make_model())
    with pytest.raises(ConfigError, match=message):
        sparsifier.register_layer(sparsifier.model[0], **settings)
    assert not sparsifier.model[0]._forward_pre_hooks
    assert not sparsifier.data_groups


def test_unknown_layers_are_refused() -> None:
    sparsifier = registered()
    with pytest.raises(ConfigError, match="part of the model"):
        sparsifier.register_layer(nn.Linear(1, 1))
    for call in (sparsifier.get_mask, sparsifier.unregister_layer):
        with pytest.raises(ConfigError, match="unknown layer '7'"):
            call("7")
    with pytest.raises(ConfigError, match="neither"):
        sparsifier.get_mask()
    with pytest.raises(ConfigError, match="must have had an input"):
        sparsifier.get_mask("0")


# --- state ---------------------------------------------------------------------------------------


def stepped() -> ActivationSparsifier:
    sparsifier = registered()
    sparsifier.register_layer(sparsifier.model[1], features=[0, 3], feature_dim=1)
    run(sparsifier, batches(4, 4))
    sparsifier.step()
    return sparsifier


@pytest.mark.parametrize("squashed", [False, True])
def test_a_pickled_state_dict_restores_masks_and_hooks(squashed: bool) -> None:
    sparsifier, x = stepped(), values(2, 6, seed=7)
    if squashed:
        sparsifier.squash_mask()
    restored = ActivationSparsifier(copy.deepcopy(make_model()))
    restored.model.load_state_dict(sparsifier.model.state_dict())
    restored.load_state_dict(pickle.loads(pickle.dumps(sparsifier.state_dict())))
    assert torch.equal(restored.get_mask("0"), sparsifier.get_mask("0"))
    assert torch.equal(restored.model(x), sparsifier.model(x))
    assert restored.defaults == sparsifier.defaults


def test_masks_are_stored_sparse() -> None:
    state = stepped().state_dict()["state"]
    assert state["0"]["mask"].layout == torch.sparse_coo
    assert all(mask.layout == torch.sparse_coo for mask in state["1"]["mask"])


def test_loading_does_not_change_the_callers_dict() -> None:
    saved = stepped().state_dict()
    keys = {name: sorted(group) for name, group in saved["data_groups"].items()}
    sparsifier = ActivationSparsifier(make_model())
    sparsifier.load_state_dict(saved)
    run(sparsifier, batches(3))
    sparsifier.step()
    assert {name: sorted(group) for name, group in saved["data_groups"].items()} == keys
    assert saved["state"]["0"]["mask"].is_sparse


def test_loading_replaces_former_hooks() -> None:
    sparsifier = registered()
    sparsifier.load_state_dict(stepped().state_dict())
    assert len(sparsifier.model[0]._forward_pre_hooks) == 1


def test_loading_into_another_model_is_refused_and_changes_nothing() -> None:
    sparsifier = ActivationSparsifier(nn.Sequential(nn.Identity()))
    with pytest.raises(ConfigError, match="unknown layer '1'"):
        sparsifier.load_state_dict(stepped().state_dict())
    assert not sparsifier.data_groups


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))])
def test_a_copied_sparsifier_has_its_own_model(duplicate: Any) -> None:
    sparsifier = stepped()
    duplicated = duplicate(sparsifier)
    run(duplicated, batches(3))
    assert "data" in duplicated.data_groups["0"]
    assert "data" not in sparsifier.data_groups["0"]


def test_repr_names_the_layers() -> None:
    assert "name: 0" in repr(registered())


def with_local_functions() -> ActivationSparsifier:
    sparsifier = registered(reduce_fn=lambda x: x.mean(0))
    run(sparsifier, batches(4))
    sparsifier.step()
    return sparsifier


def test_masks_of_local_functions_can_be_pickled() -> None:
    sparsifier = with_local_functions()
    sparsifier.squash_mask()
    restored = ActivationSparsifier(make_model())
    restored.load_state_dict(pickle.loads(pickle.dumps(sparsifier.state_dict())))
    assert torch.equal(restored.get_mask("0"), sparsifier.get_mask("0"))
    duplicated = pickle.loads(pickle.dumps(sparsifier))
    x = values(3, 6, seed=9)
    assert torch.equal(duplicated.model[0](x), sparsifier.model[0](x))


def test_a_function_that_was_not_saved_is_taken_from_the_loading_sparsifier() -> None:
    saved = pickle.loads(pickle.dumps(with_local_functions().state_dict()))
    with pytest.raises(ConfigError, match="layer '0': reduce_fn must be callable, got None"):
        ActivationSparsifier(make_model()).load_state_dict(saved)
    restored = registered(reduce_fn=mean)
    restored.load_state_dict(saved)
    run(restored, batches(4))
    restored.step()


def test_within_a_process_local_functions_are_kept() -> None:
    sparsifier = with_local_functions()
    restored = ActivationSparsifier(make_model())
    restored.load_state_dict(sparsifier.state_dict())
    assert restored.defaults == sparsifier.defaults
    assert restored.data_groups["0"]["reduce_fn"] is sparsifier.data_groups["0"]["reduce_fn"]
    duplicated = copy.deepcopy(sparsifier)
    assert duplicated.data_groups["0"]["reduce_fn"] is sparsifier.data_groups["0"]["reduce_fn"]


def test_an_unpickled_sparsifier_names_the_function_it_lacks() -> None:
    duplicated = pickle.loads(pickle.dumps(with_local_functions()))
    with pytest.raises(ConfigError, match="reduce_fn must be callable"):
        duplicated.model(values(3, 6))
