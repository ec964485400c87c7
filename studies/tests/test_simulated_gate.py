from functools import cache

import numpy as np
import pytest

from studies.gate_candidates import CANDIDATES, criteria
from studies.gate_simulation import CASES, TRUTHS, verdicts
from studies.simulated_gate import Rule, run_gate
from tests.simulated_noise import NOISES, machine


@pytest.mark.parametrize("noise", NOISES)
def test_the_same_code_is_never_called_slower(noise: str) -> None:
    false, _, _, still_open, rounds = verdicts(NOISES[noise], Rule(), "same code", 10, 3)
    assert false == 0
    assert still_open < 0.02
    assert rounds < 4.5  # most cases stop at the first look


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize(
    ("truth", "least"),
    [
        ("one +10 %", 0.9),
        ("all +10 %", 0.985),
        ("all +20 %", 0.995),
        ("all +5 %, tolerance 2 %", 0.95),
    ],
)
def test_slower_cases_are_found(noise: str, truth: str, least: float) -> None:
    false, found, missed, _, _ = verdicts(NOISES[noise], Rule(), truth, 5, 3)
    assert found >= least
    assert false == 0
    assert missed < 0.002


def test_a_change_of_exactly_the_tolerance_is_rarely_called_more() -> None:
    rng = np.random.default_rng(0)
    outcome = run_gate(machine(NOISES["light"], 600, rng), np.full(600, Rule().tolerance), Rule())
    assert outcome.regressed.mean() < 0.01


@cache
def judged(name: str, noise: str) -> list[float]:
    return criteria(CANDIDATES[name], NOISES[noise], 4, runs=6, seed=5)


def test_the_chosen_way_finds_most_where_tails_are_heavy() -> None:
    chosen = judged("robust variance, Huber (chosen)", "heavy")
    for name in ("plain t", "moderated t, mean", "moderated, median"):
        other = judged(name, "heavy")
        assert chosen[1] > other[1] + 0.02  # all +10 %
        assert chosen[3] > other[3] + 0.05  # one +10 %


def test_it_costs_little_where_they_are_light() -> None:
    chosen = judged("robust variance, Huber (chosen)", "light")
    best = judged("moderated t, mean", "light")
    assert chosen[1] > best[1] - 0.01
    assert chosen[4] == best[4] == 0


def test_every_truth_is_of_the_same_cases() -> None:
    assert {effects.size for effects, _ in TRUTHS.values()} == {CASES}
