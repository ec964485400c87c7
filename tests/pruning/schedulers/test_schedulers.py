"""Schedulers: their levels, how often masks change, their state and their refusals."""

import copy
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from sparsebench.errors import ConfigError
from sparsebench.pruning import (
    BaseScheduler,
    CubicSL,
    LambdaSL,
    NearlyDiagonalSparsifier,
    WeightNormSparsifier,
)
from tests.pruning.small_models import MLP, values

LEVELS = st.floats(0, 1)


class HalvingScheduler(BaseScheduler):
    def get_sl(self) -> list[float]:
        if self.last_epoch == 0:
            return list(self.base_sl)
        return [group["sparsity_level"] / 2 for group in self.sparsifier.groups]


class Slope:
    """A callable of the epoch that has attributes."""

    def __init__(self, slope: float) -> None:
        self.slope = slope

    def __call__(self, epoch: int) -> float:
        return self.slope * epoch


def prepared(*levels: float) -> WeightNormSparsifier:
    names = ["first.weight", "last.weight", "middle.0.weight"]
    sparsifier = WeightNormSparsifier(sparse_block_shape=(1, 1))
    config = [{"tensor_fqn": n, "sparsity_level": s} for n, s in zip(names, levels, strict=False)]
    sparsifier.prepare(MLP(), config)
    return sparsifier


def levels_of(sparsifier: WeightNormSparsifier) -> list[float]:
    return [group["sparsity_level"] for group in sparsifier.groups]


def run(scheduler: BaseScheduler, epochs: int) -> list[float]:
    """Return the first group's level per epoch."""
    levels = levels_of(scheduler.sparsifier)[:1]
    for _ in range(epochs):
        scheduler.sparsifier.step()
        scheduler.step()
        levels += levels_of(scheduler.sparsifier)[:1]
    return levels


def mask_changes(scheduler: BaseScheduler, epochs: int) -> int:
    """Return in how many epochs the first mask changed, with new weights in each."""
    module, count = scheduler.sparsifier.groups[0]["module"], 0
    for epoch in range(epochs):
        with torch.no_grad():
            module.parametrizations.weight.original.copy_(values(12, 8, seed=100 + epoch))
        before = module.parametrizations.weight[0].mask.clone()
        scheduler.sparsifier.step()
        scheduler.step()
        count += not torch.equal(before, module.parametrizations.weight[0].mask)
    return count


def test_the_constructor_takes_the_first_step() -> None:
    sparsifier = prepared(0.5, 0.7)
    scheduler = HalvingScheduler(sparsifier)
    assert (scheduler.last_epoch, scheduler.state_dict()["_step_count"]) == (0, 1)
    assert scheduler.base_sl == scheduler.get_last_sl() == [0.5, 0.7]
    assert run(scheduler, 2) == [0.5, 0.25, 0.125]


def test_the_base_has_no_levels() -> None:
    with pytest.raises(NotImplementedError):
        BaseScheduler(prepared(0.5))


# --- order of steps ------------------------------------------------------------------------------


def test_scheduler_before_sparsifier_warns() -> None:
    scheduler = HalvingScheduler(prepared(0.5))
    with pytest.warns(UserWarning, match="before sparsifier.step") as warned:
        scheduler.step()
    assert warned[0].filename == __file__


def test_the_right_order_does_not_warn() -> None:
    scheduler = HalvingScheduler(prepared(0.5))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run(scheduler, 2) == [0.5, 0.25, 0.125]
    assert (scheduler.last_epoch, scheduler.sparsifier.step_count) == (2, 2)


def test_get_sl_outside_a_step_warns() -> None:
    scheduler = HalvingScheduler(prepared(0.5))
    with pytest.warns(UserWarning, match="get_last_sl"):
        LambdaSL(scheduler.sparsifier, float).get_sl()


# --- cubic ---------------------------------------------------------------------------------------


def test_cubic_follows_its_formula() -> None:
    sparsifier = prepared(0.8, 0.4)
    scheduler = CubicSL(sparsifier, 0.1, init_t=3, delta_t=2, total_t=5, initially_zero=True)
    levels = run(scheduler, 13)
    assert levels[:4] == [0, 0, 0, 0.1]
    assert levels[4] == pytest.approx(0.8 - 0.7 * 0.9**3)
    assert levels[13] == 0.8
    assert levels_of(sparsifier) == [0.8, 0.4]


@given(LEVELS, LEVELS, st.integers(0, 4), st.integers(1, 4), st.integers(0, 5))
def test_cubic_is_monotonic_from_first_to_last(
    first: float, last: float, start: int, every: int, updates: int
) -> None:
    end = start + every * updates
    levels = [CubicSL.sparsity_compute_fn(first, last, t, start, every, updates) for t in range(30)]
    if updates:
        assert levels[start] == first
    assert set(levels[end:]) == {last}
    assert levels == sorted(levels, reverse=first > last)


def test_cubic_goes_down() -> None:
    levels = run(CubicSL(prepared(0.2), 0.8, delta_t=1, total_t=4), 4)
    assert levels == sorted(levels, reverse=True)
    assert (levels[0], levels[-1]) == (0.8, 0.2)


def test_upstream_does_not_go_down() -> None:
    upstream = pytest.importorskip("torch.ao.pruning")
    level = upstream.CubicSL.sparsity_compute_fn(s_0=0.8, s_f=0.2, t=1, t_0=0, dt=1, n=4)
    assert level == 0.8


def test_cubic_without_updates_jumps() -> None:
    assert run(CubicSL(prepared(0.7), 0.1, init_t=2, total_t=0), 3) == [0.1, 0.1, 0.7, 0.7]


@pytest.mark.parametrize(("delta_t", "changes"), [(1, 12), (3, 4), (5, 3), (20, 1)])
def test_delta_t_is_how_often_masks_change(delta_t: int, changes: int) -> None:
    scheduler = CubicSL(prepared(0.5), 0.3, delta_t=delta_t, total_t=4)
    assert mask_changes(scheduler, 12) == changes


def test_without_a_schedule_masks_change_in_every_epoch() -> None:
    assert mask_changes(LambdaSL(prepared(0.5), lambda _: 1), 6) == 6


def test_the_last_update_of_the_ramp_uses_the_target() -> None:
    sparsifier = prepared(0.75)
    run(CubicSL(sparsifier, delta_t=3, total_t=2), 7)
    mask = sparsifier.state["first.weight"]["mask"]
    assert (mask == 0).double().mean() == 0.75


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"delta_t": 0}, "delta_t must be at least 1"),
        ({"total_t": -1}, "total_t must be at least 0"),
        ({"init_sl": [0.1, 0.2, 0.3]}, "one value for each of 2 groups, got 3"),
    ],
)
def test_cubic_refuses(settings: dict[str, Any], message: str) -> None:
    sparsifier = prepared(0.5, 0.6)
    with pytest.raises(ConfigError, match=message):
        CubicSL(sparsifier, **settings)
    assert levels_of(sparsifier) == [0.5, 0.6]


# --- lambda --------------------------------------------------------------------------------------


def test_lambda_multiplies_the_base() -> None:
    sparsifier = prepared(0.5, 0.25)
    scheduler = LambdaSL(sparsifier, [lambda epoch: epoch * 10, lambda _: 2])
    assert levels_of(sparsifier) == [0.0, 0.5]
    sparsifier.step()
    scheduler.step()
    assert levels_of(sparsifier) == [5.0, 0.5]


def test_a_level_above_one_acts_as_one() -> None:
    sparsifier = prepared(0.5)
    LambdaSL(sparsifier, lambda _: 10)
    sparsifier.step()
    assert not sparsifier.state["first.weight"]["mask"].any()


def test_lambda_requires_one_function_per_group() -> None:
    with pytest.raises(ConfigError, match="one value for each of 2 groups, got 1"):
        LambdaSL(prepared(0.5, 0.5), [lambda epoch: epoch])


# --- refusals ------------------------------------------------------------------------------------


def test_a_step_does_not_enable_updates() -> None:
    sparsifier = prepared(0.5)
    scheduler = LambdaSL(sparsifier, lambda _: 1)
    sparsifier.enable_mask_update = False
    run(scheduler, 2)
    assert not sparsifier.enable_mask_update
    assert sparsifier.state["first.weight"]["mask"].all()


def test_a_sparsifier_without_levels_is_refused_by_name() -> None:
    sparsifier = NearlyDiagonalSparsifier()
    sparsifier.prepare(MLP(), None)
    with pytest.raises(ConfigError, match=r"'first\.weight' of NearlyDiagonalSparsifier"):
        CubicSL(sparsifier)


def test_an_unprepared_sparsifier_is_refused() -> None:
    with pytest.raises(ConfigError, match="must be prepared"):
        CubicSL(WeightNormSparsifier())


def test_an_object_of_another_type_is_refused() -> None:
    with pytest.raises(TypeError, match="must be a BaseSparsifier, got Linear"):
        CubicSL(nn.Linear(1, 1))


@pytest.mark.parametrize(
    "factor", [lambda epoch: float("nan") if epoch else 1, lambda epoch: float("inf") * bool(epoch)]
)
def test_levels_that_are_not_finite_are_refused_and_nothing_changes(
    factor: Callable[[int], float],
) -> None:
    sparsifier = prepared(0.5, 0.5)
    with pytest.raises(ConfigError, match="finite"):
        run(LambdaSL(sparsifier, [lambda _: 1, factor]), 1)
    scheduler = LambdaSL(sparsifier, lambda _: 1)
    scheduler.sl_lambdas[1] = lambda _: float("nan")
    sparsifier.step()
    with pytest.raises(ConfigError, match="finite"):
        scheduler.step()
    assert (scheduler.last_epoch, scheduler.state_dict()["_step_count"]) == (0, 1)
    assert levels_of(sparsifier)[0] == 0.5


# --- state ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda s: CubicSL(s, 0.9, delta_t=2, total_t=3),
        lambda s: LambdaSL(s, Slope(0.1)),
        lambda s: LambdaSL(s, lambda epoch: 1 / (epoch + 1)),
    ],
)
def test_a_schedule_continues_from_a_pickled_state(
    make: Callable[[WeightNormSparsifier], BaseScheduler],
) -> None:
    uninterrupted, first = make(prepared(0.5, 0.6)), make(prepared(0.5, 0.6))
    run(uninterrupted, 7)
    run(first, 3)
    saved = pickle.dumps((first.sparsifier.state_dict(), first.state_dict()))
    sparsifier_state, scheduler_state = pickle.loads(saved)
    second = make(prepared(0.5, 0.6))
    second.sparsifier.load_state_dict(sparsifier_state)
    second.load_state_dict(scheduler_state)
    run(second, 4)
    assert levels_of(second.sparsifier) == levels_of(uninterrupted.sparsifier)
    assert second.sparsifier.state == uninterrupted.sparsifier.state


def test_the_state_of_a_callable_object_is_restored() -> None:
    saved = LambdaSL(prepared(0.5), Slope(0.25)).state_dict()
    scheduler = LambdaSL(prepared(0.5), Slope(0.0))
    scheduler.load_state_dict(saved)
    assert scheduler.sl_lambdas[0](1) == 0.25
    assert saved["sl_lambdas"] == [{"slope": 0.25}]


def test_a_state_shares_no_containers() -> None:
    scheduler = HalvingScheduler(prepared(0.5))
    saved = scheduler.state_dict()
    before = copy.deepcopy(saved)
    run(scheduler, 2)
    loaded = HalvingScheduler(prepared(0.5))
    loaded.load_state_dict(saved)
    run(loaded, 1)
    assert saved == before
    assert "sparsifier" not in saved


def test_a_state_of_another_number_of_groups_is_refused() -> None:
    saved = HalvingScheduler(prepared(0.5, 0.5)).state_dict()
    with pytest.raises(ConfigError, match="must be of a sparsifier with 1 groups, got 2"):
        HalvingScheduler(prepared(0.5)).load_state_dict(saved)


def test_verbose_prints(capsys: pytest.CaptureFixture[str]) -> None:
    LambdaSL(prepared(0.5), lambda _: 1, verbose=True)
    assert "group 0 is now 5.0000e-01" in capsys.readouterr().out


def test_a_deep_copied_scheduler_has_its_own_sparsifier() -> None:
    scheduler = HalvingScheduler(prepared(0.5))
    duplicate = copy.deepcopy(scheduler)
    run(duplicate, 1)
    assert levels_of(scheduler.sparsifier) == [0.5]
