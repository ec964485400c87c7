"""Checks of faults of torch.ao.pruning: each check fails on torch.ao and passes on sparsebench.

A check raises if the library has the fault. It is run on torch.ao too, so that a check that cannot
fail is noticed.
"""

import copy
import io
import pickle
import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

import sparsebench.pruning
from sparsebench.errors import ConfigError
from tests.pruning.small_models import MLP, values

Check = Callable[[Any], None]
CHECKS: list[Check] = []
FIRST = {"tensor_fqn": "first.weight"}


def fault(check: Check) -> Check:
    """Register a check of one fault."""
    CHECKS.append(check)
    return check


def upstream() -> Any:
    """Return torch.ao's public names, its experimental ones included."""
    import torch.ao.pruning as stable
    from torch.ao.pruning._experimental.activation_sparsifier import activation_sparsifier
    from torch.ao.pruning._experimental.data_sparsifier import DataNormSparsifier

    names = {name: getattr(stable, name) for name in dir(stable) if name[0].isupper()}
    names["ActivationSparsifier"] = activation_sparsifier.ActivationSparsifier
    return SimpleNamespace(**names, DataNormSparsifier=DataNormSparsifier)


def prepared(library: Any, model: nn.Module, *config: dict[str, Any], **settings: Any) -> Any:
    sparsifier = library.WeightNormSparsifier(**{"sparse_block_shape": (1, 1), **settings})
    sparsifier.prepare(model, [dict(entry) for entry in config or (FIRST,)])
    return sparsifier


def mask_of(module: nn.Module) -> Tensor:
    return module.parametrizations["weight"][0].mask


def assert_refused(call: Callable[[], object], model: nn.Module) -> None:
    """Assert that ``call`` raises ConfigError, and puts a mask on no tensor of the model."""
    before = [parametrize.is_parametrized(module) for module in model.modules()]
    with pytest.raises(ConfigError):
        call()
    assert [parametrize.is_parametrized(module) for module in model.modules()] == before


# --- masks ---------------------------------------------------------------------------------------


@fault
def lower_level_brings_back_the_right_weights(library: Any) -> None:
    model = MLP()
    sparsifier = prepared(library, model, sparsity_level=0.9)
    weight = torch.arange(96.0).view(12, 8)
    model.first.parametrizations.weight.original.data = weight
    sparsifier.step()
    sparsifier.groups[0]["sparsity_level"] = 0.5
    sparsifier.step()
    assert torch.equal(mask_of(model.first) != 0, weight >= 48)


@fault
def bfloat16_layers_keep_their_dtype(library: Any) -> None:
    model = MLP().to(torch.bfloat16)
    prepared(library, model, zeros_per_block=None).step()
    model(values(2, 8, dtype=torch.bfloat16))


@fault
def a_pruned_infinity_is_zero(library: Any) -> None:
    model = MLP()
    sparsifier = prepared(library, model, sparsity_level=1.0)
    model.first.parametrizations.weight.original.data[0, 0] = float("inf")
    sparsifier.step()
    assert not model.first.weight.isnan().any()


@fault
def the_mask_dtype_does_not_depend_on_the_configuration(library: Any) -> None:
    dtypes = set()
    for zeros in (2, 4):
        model = MLP()
        prepared(library, model, sparse_block_shape=(1, 4), zeros_per_block=zeros).step()
        dtypes.add(mask_of(model.first).dtype)
    assert dtypes == {torch.float32}


@fault
def the_saved_mask_follows_the_model(library: Any) -> None:
    model = MLP()
    sparsifier = prepared(library, model)
    model.double()
    sparsifier.step()
    assert torch.equal(
        sparsifier.state_dict()["state"]["first.weight"]["mask"], mask_of(model.first)
    )


@fault
def nearly_diagonal_refuses_before_it_zeroes(library: Any) -> None:
    model = MLP()
    sparsifier = library.NearlyDiagonalSparsifier(2)
    sparsifier.prepare(model, [dict(FIRST)])
    with pytest.raises(ValueError, match="earl"):
        sparsifier.step()
    assert mask_of(model.first).all()


# --- state ---------------------------------------------------------------------------------------


@fault
def loading_does_not_change_the_callers_dict(library: Any) -> None:
    saved = prepared(library, MLP()).state_dict()
    prepared(library, MLP()).load_state_dict(saved)
    assert "mask" in saved["state"]["first.weight"]


@fault
def loading_aliases_nothing(library: Any) -> None:
    source, loaded = prepared(library, MLP()), prepared(library, MLP())
    loaded.load_state_dict(source.state_dict())
    source.step()
    assert mask_of(loaded.groups[0]["module"]).all()
    assert loaded.state is not source.state


@fault
def a_second_load_restores(library: Any) -> None:
    source = prepared(library, MLP())
    source.step()
    saved, expected = source.state_dict(), mask_of(source.groups[0]["module"]).clone()
    for _ in range(2):
        model = MLP()
        prepared(library, model).load_state_dict(saved)
        assert torch.equal(mask_of(model.first), expected)


@fault
def copies_keep_their_attributes(library: Any) -> None:
    sparsifier = prepared(library, MLP())
    sparsifier.enable_mask_update = False
    assert copy.deepcopy(sparsifier).enable_mask_update is False


@fault
def pickles_keep_their_attributes(library: Any) -> None:
    sparsifier = library.WeightNormSparsifier(norm=1)
    assert pickle.loads(pickle.dumps(sparsifier)).norm_fn is not None


@fault
def loading_before_prepare_is_refused(library: Any) -> None:
    saved = prepared(library, MLP()).state_dict()
    with pytest.raises(ConfigError):
        library.WeightNormSparsifier().load_state_dict(saved)


@fault
def loading_without_strict_ignores_unknown_tensors(library: Any) -> None:
    saved = prepared(library, MLP()).state_dict()
    sparsifier = library.WeightNormSparsifier()
    sparsifier.prepare(nn.Sequential(nn.Linear(2, 2)), None)
    sparsifier.load_state_dict(saved, strict=False)


@fault
def a_prepared_model_loads_its_own_state_strictly(library: Any) -> None:
    model = MLP()
    prepared(library, model)
    model.load_state_dict(model.state_dict())


@fault
def the_state_of_a_lambda_schedule_can_be_pickled(library: Any) -> None:
    pickle.dumps(library.LambdaSL(prepared(library, MLP()), lambda epoch: epoch).state_dict())


class HalvingParametrization(nn.Module):
    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.mask / 2


@fault
def a_load_keeps_a_custom_parametrization(library: Any) -> None:
    saved = prepared(
        library, MLP(), {**FIRST, "parametrization": HalvingParametrization}
    ).state_dict()
    model = MLP()
    prepared(library, model).load_state_dict(saved)
    assert [type(p) for p in model.first.parametrizations.weight] == [HalvingParametrization]


# --- prepare and squash --------------------------------------------------------------------------


@fault
def an_unknown_tensor_is_refused(library: Any) -> None:
    model = MLP()
    assert_refused(lambda: prepared(library, model, FIRST, {"tensor_fqn": "no.weight"}), model)


@fault
def a_missing_bias_is_refused(library: Any) -> None:
    model = MLP()
    assert_refused(lambda: prepared(library, model, FIRST, {"tensor_fqn": "last.bias"}), model)


@fault
def a_root_linear_is_masked_by_default(library: Any) -> None:
    sparsifier = library.WeightNormSparsifier()
    sparsifier.prepare(nn.Linear(4, 4), None)
    assert sparsifier.groups


@fault
def a_subclass_is_masked_by_default(library: Any) -> None:
    sparsifier = library.WeightNormSparsifier()
    sparsifier.prepare(nn.Sequential(type("Mine", (nn.Linear,), {})(4, 4)), None)
    assert sparsifier.groups


@fault
def a_shared_module_gets_one_mask(library: Any) -> None:
    shared = nn.Linear(4, 4)
    model = nn.ModuleDict({"a": shared, "b": shared})
    names = ({"tensor_fqn": "a.weight"}, {"tensor_fqn": "b.weight"})
    assert_refused(lambda: prepared(library, model, *names), model)


@fault
def a_second_prepare_adds_no_second_mask(library: Any) -> None:
    model = MLP()
    for _ in range(2):
        prepared(library, model)
    assert len(model.first.parametrizations.weight) == 1


@fault
def a_second_squash_is_refused(library: Any) -> None:
    model = MLP()
    sparsifier = prepared(library, model)
    sparsifier.squash_mask()
    assert_refused(sparsifier.squash_mask, model)


@fault
def a_step_after_squash_is_refused(library: Any) -> None:
    model = MLP()
    sparsifier = prepared(library, model)
    sparsifier.squash_mask()
    assert_refused(sparsifier.step, model)


@fault
def unknown_keys_to_keep_are_refused(library: Any) -> None:
    model = MLP()
    sparsifier = prepared(library, model, FIRST, {"tensor_fqn": "last.weight"})
    assert_refused(lambda: sparsifier.squash_mask(("colour",)), model)


# --- schedulers ----------------------------------------------------------------------------------


@fault
def a_cubic_schedule_goes_down(library: Any) -> None:
    scheduler = library.CubicSL(prepared(library, MLP(), sparsity_level=0.2), 0.8, total_t=1)
    assert scheduler.sparsity_compute_fn(0.8, 0.2, 5, 0, 10, 1) < 0.8


@fault
def delta_t_is_how_often_masks_change(library: Any) -> None:
    model = MLP()
    sparsifier = prepared(library, model)
    scheduler, masks = library.CubicSL(sparsifier, 0.5, delta_t=3, total_t=4), set()
    for epoch in range(6):
        model.first.parametrizations.weight.original.data = values(12, 8, seed=epoch)
        sparsifier.step()
        scheduler.step()
        masks.add(tuple(mask_of(model.first).flatten().tolist()))
    assert len(masks) == 2


@fault
def a_schedule_without_updates_works(library: Any) -> None:
    library.CubicSL(prepared(library, MLP()), total_t=0)


@fault
def a_schedule_does_not_change_enable_mask_update(library: Any) -> None:
    sparsifier = prepared(library, MLP())
    scheduler = library.LambdaSL(sparsifier, lambda _: 1)
    sparsifier.enable_mask_update = False
    sparsifier.step()
    scheduler.step()
    assert not sparsifier.enable_mask_update


@fault
def a_sparsifier_without_levels_is_refused(library: Any) -> None:
    model = MLP()
    sparsifier = library.NearlyDiagonalSparsifier()
    sparsifier.prepare(model, [dict(FIRST)])
    assert_refused(lambda: library.CubicSL(sparsifier), model)


# --- activation ----------------------------------------------------------------------------------


def mean(x: Tensor) -> Tensor:
    return x.mean(0)


def prune_all(x: Tensor) -> Tensor:
    return torch.zeros_like(x)


def activation(library: Any, aggregate: Any = torch.add, **settings: Any) -> Any:
    model = nn.Sequential(nn.Identity())
    sparsifier = library.ActivationSparsifier(model, aggregate, mean, prune_all)
    sparsifier.register_layer(model[0], **settings)
    return sparsifier


@fault
def aggregation_starts_from_the_first_input(library: Any) -> None:
    sparsifier, x = activation(library, torch.minimum), values(3, 4).abs() + 1
    sparsifier.model(x)
    assert torch.equal(sparsifier.data_groups["0"]["data"], x)


@fault
def a_hook_does_not_change_the_callers_input(library: Any) -> None:
    sparsifier, x = activation(library, features=[0], feature_dim=1), values(3, 4)
    before = x.clone()
    sparsifier.model(x)
    sparsifier.step()
    sparsifier.squash_mask()
    sparsifier.model(x)
    assert torch.equal(x, before)


@fault
def aggregation_keeps_no_graph(library: Any) -> None:
    sparsifier = activation(library)
    sparsifier.model(values(3, 4).requires_grad_())
    assert not sparsifier.data_groups["0"]["data"].requires_grad


@fault
def a_second_step_works(library: Any) -> None:
    sparsifier = activation(library)
    sparsifier.model(values(3, 4))
    sparsifier.step()
    sparsifier.step()


@fault
def a_smaller_last_batch_works(library: Any) -> None:
    sparsifier = activation(library)
    sparsifier.model(values(5, 4))
    sparsifier.model(values(3, 4))


@fault
def an_activation_sparsifier_can_be_pickled(library: Any) -> None:
    sparsifier = activation(library)
    sparsifier.model(values(3, 4))
    file = io.BytesIO()
    torch.save(sparsifier, file)


@fault
def loading_writes_no_hooks_into_the_callers_dict(library: Any) -> None:
    sparsifier = activation(library)
    sparsifier.model(values(3, 4))
    saved = sparsifier.state_dict()
    sparsifier.load_state_dict(saved)
    assert "hook" not in saved["data_groups"]["0"]


# --- data ----------------------------------------------------------------------------------------


@fault
def names_may_have_dots(library: Any) -> None:
    library.DataNormSparsifier([("a.b", values(2, 2)), ("a_b", values(2, 2))])


@fault
def a_level_below_zero_prunes_nothing(library: Any) -> None:
    sparsifier = library.DataNormSparsifier([("w", values(4, 8))], sparsity_level=-0.5)
    sparsifier.step()
    assert sparsifier.get_mask("w").all()


@fault
def zeros_per_block_none_is_the_block_of_the_data(library: Any) -> None:
    sparsifier = library.DataNormSparsifier(sparsity_level=1.0)
    sparsifier.add_data("w", values(4, 8), sparse_block_shape=(2, 4))
    sparsifier.step()
    assert not sparsifier.get_mask("w").any()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_check_passes_here(check: Check) -> None:
    check(sparsebench.pruning)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_check_fails_upstream(check: Check) -> None:
    pytest.importorskip("torch.ao.pruning")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        library = upstream()
        with pytest.raises((Exception, pytest.fail.Exception)):  # a fault may raise anything
            check(library)
