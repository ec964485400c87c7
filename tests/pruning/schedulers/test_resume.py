"""A schedule that is resumed ends where an uninterrupted one does, or is refused."""

import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from sparsebench.errors import ConfigError
from sparsebench.pruning import CubicSL, LambdaSL, WeightNormSparsifier
from sparsebench.pruning.schedulers.base_scheduler import BaseScheduler

EPOCHS, BREAK = 12, 4

Schedule = Callable[..., BaseScheduler]


def cubic(sparsifier: WeightNormSparsifier, **kwargs: Any) -> BaseScheduler:
    return CubicSL(sparsifier, delta_t=2, total_t=4, **kwargs)


def ramp(sparsifier: WeightNormSparsifier, **kwargs: Any) -> BaseScheduler:
    return LambdaSL(sparsifier, lambda epoch: min(epoch / 8, 1.0), **kwargs)


def prepared() -> WeightNormSparsifier:
    torch.manual_seed(0)
    sparsifier = WeightNormSparsifier(0.8, (1, 1), 1)
    model = nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 4))
    sparsifier.prepare(
        model, [{"tensor_fqn": "0.weight"}, {"tensor_fqn": "1.weight", "sparsity_level": 0.4}]
    )
    return sparsifier


def run(sparsifier: WeightNormSparsifier, schedule: BaseScheduler, epochs: int) -> list[list[Any]]:
    """Return per epoch the levels and the numbers of pruned weights."""
    seen = []
    for _ in range(epochs):
        sparsifier.step()
        levels = [group["sparsity_level"] for group in sparsifier.groups]
        masks = [entry["mask"].eq(0).sum().item() for entry in sparsifier.state.values()]
        seen.append([levels, masks])
        schedule.step()
    return seen


def saved(sparsifier: WeightNormSparsifier, schedule: BaseScheduler) -> Any:
    file = io.BytesIO()
    torch.save([sparsifier.state_dict(), schedule.state_dict()], file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def by_last_epoch(make: Schedule, sparsifier: WeightNormSparsifier, states: Any) -> BaseScheduler:
    sparsifier.load_state_dict(states[0])
    # the constructor takes the step to `last_epoch + 1`
    return make(sparsifier, last_epoch=states[1]["last_epoch"] - 1)


def by_states(make: Schedule, sparsifier: WeightNormSparsifier, states: Any) -> BaseScheduler:
    sparsifier.load_state_dict(states[0])
    schedule = make(sparsifier)
    schedule.load_state_dict(states[1])
    return schedule


def made_before_loading(
    make: Schedule, sparsifier: WeightNormSparsifier, states: Any
) -> BaseScheduler:
    schedule = make(sparsifier)
    sparsifier.load_state_dict(states[0])
    schedule.load_state_dict(states[1])
    return schedule


def schedule_first(make: Schedule, sparsifier: WeightNormSparsifier, states: Any) -> BaseScheduler:
    schedule = make(sparsifier)
    schedule.load_state_dict(states[1])
    sparsifier.load_state_dict(states[0])
    return schedule


@pytest.mark.parametrize("make", [cubic, ramp])
@pytest.mark.parametrize("resume", [by_last_epoch, by_states, made_before_loading, schedule_first])
def test_a_resumed_schedule_goes_on_as_if_it_had_not_been_interrupted(
    make: Schedule, resume: Callable[..., BaseScheduler]
) -> None:
    whole = prepared()
    expected = run(whole, make(whole), EPOCHS)
    first = prepared()
    schedule = make(first)
    run(first, schedule, BREAK)
    second = prepared()
    resumed = resume(make, second, saved(first, schedule))
    assert run(second, resumed, EPOCHS - BREAK) == expected[BREAK:]
    assert [group["sparsity_level"] for group in second.groups] == [0.8, 0.4]


def test_a_last_epoch_without_a_former_schedule_is_refused() -> None:
    with pytest.raises(ConfigError, match="last_epoch must be -1 where no schedule ran before"):
        cubic(prepared(), last_epoch=3)


def test_a_second_schedule_starts_from_the_present_levels() -> None:
    sparsifier = prepared()
    run(sparsifier, cubic(sparsifier), EPOCHS)
    for group in sparsifier.groups:
        group["sparsity_level"] = 0.9
    schedule = cubic(sparsifier, init_sl=0.8)
    run(sparsifier, schedule, EPOCHS)
    assert [group["sparsity_level"] for group in sparsifier.groups] == [0.9, 0.9]
