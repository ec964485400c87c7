import numpy as np
import pytest
from scipy.stats import nct, t

from sparsebench.stats import Effect, VariancePrior, variance_prior
from sparsebench.stats.robust import scale, scale_freedom
from tests.simulated_noise import NOISES, machine

KNOWN = VariancePrior((0.0,), (4e-4,), (np.inf,), 6.0)
UNKNOWN = VariancePrior((0.0,), (np.inf,), (np.inf,), 6.0)


def run_of(
    rng: np.random.Generator, cases: int, rounds: int, noise: str = "light"
) -> tuple[np.ndarray, np.ndarray]:
    """Round effects of identical code, and log times."""
    made = machine(NOISES[noise], cases, rng)
    return made.rounds(np.zeros(cases), rounds), made.log_times


def effects(rounds: np.ndarray, log_times: np.ndarray) -> list[Effect]:
    prior = variance_prior(list(rounds), log_times)
    return [prior.effect(row, time) for row, time in zip(rounds, log_times, strict=True)]


def margin(effect: Effect) -> float:
    interval = effect.interval(0.95)
    return interval.high - interval.low


def test_the_moderated_t_is_smyths() -> None:
    rounds = np.array([0.05, 0.06, 0.03, 0.04, 0.07, 0.02])
    own, freedom = float(scale(rounds)) ** 2, scale_freedom(6)
    effect = KNOWN.effect(rounds, 1.0)
    variance = (6 * 4e-4 + freedom * own) / (6 + freedom)
    assert effect.value == pytest.approx(0.045)  # nothing is far off, so it is the mean
    assert (effect.freedom, effect.count) == (6 + freedom, 6)
    assert effect.error == pytest.approx(np.sqrt(variance / 6))
    statistic = (0.045 - 0.02) / effect.error
    assert effect.p_above(0.02) == pytest.approx(t.sf(statistic, 6 + freedom))
    assert effect.p_below(0.02) == pytest.approx(t.cdf(statistic, 6 + freedom))
    margin = t.ppf(0.975, 6 + freedom) * effect.error
    assert effect.interval(0.95).low == pytest.approx(0.045 - margin)
    assert effect.interval(0.95).high == pytest.approx(0.045 + margin)


def test_one_round_is_judged_by_the_prior_alone() -> None:
    effect = KNOWN.effect([0.03, np.nan], 1.0)
    assert (effect.value, effect.error, effect.freedom, effect.count) == (0.03, 0.02, 6.0, 1)


def test_where_nothing_is_known_nothing_is_concluded() -> None:
    prior = variance_prior([[0.3], [0.1], []], [0, 1, 2])
    assert prior == UNKNOWN
    for effect in (prior.effect([0.3], 0), prior.effect([], 0)):
        assert (effect.p_above(0), effect.p_below(0), effect.detectable(0.05, 0.9)) == (
            1,
            1,
            np.inf,
        )
        assert (effect.interval().low, effect.interval().high) == (-np.inf, np.inf)
    assert prior.effect([0.1, 0.1, 0.2, 0.3], 0).freedom == scale_freedom(4)


def test_exact_counts_have_no_error() -> None:
    prior = variance_prior([[0, 0, 0], [0.1, 0.1], [0.2]], [0, 0, 0])
    effect = prior.effect([0.1, 0.1], 0)
    assert (effect.value, effect.error, effect.detectable(0.05, 0.9)) == (0.1, 0, 0)
    assert (effect.p_above(0.05), effect.p_below(0.05), effect.p_above(0.1)) == (0, 1, 1)
    assert (effect.interval().low, effect.interval().high) == (0.1, 0.1)
    moving = prior.effect([0.1, 0.2, 0.3, 0.5], 0)  # the prior was wrong here and does not count
    assert moving.freedom == scale_freedom(4)


def test_a_single_case_is_judged_by_its_own_rounds() -> None:
    rounds = [0.01, 0.03, 0.02, 0.04, 0.025]
    effect = variance_prior([rounds], [0.0]).effect(rounds, 0.0)
    assert effect.freedom == pytest.approx(scale_freedom(5))
    assert effect.error == pytest.approx(float(scale(np.array(rounds))) / np.sqrt(5), rel=0.25)


def test_the_prior_finds_the_trend_and_the_spread_of_the_variances() -> None:
    rounds, log_times = run_of(np.random.default_rng(0), 600, 6)
    prior = variance_prior(list(rounds), log_times)
    assert 6 <= prior.freedom <= 14  # 8 were put in, and what all cases share is alike
    for seconds in (2e-5, 3e-5, 1e-4, 5e-4):
        deviation = np.hypot(0.012 * (seconds / 1e-4) ** -0.5, 0.006)
        found = np.interp(np.log(seconds), prior.log_times, prior.variances)
        assert np.sqrt(found) == pytest.approx(deviation, rel=0.1)


def test_a_few_wild_cases_do_not_blur_the_others() -> None:
    rounds, log_times = run_of(np.random.default_rng(1), 291, 5)
    calm = np.array([margin(effect) for effect in effects(rounds, log_times)])
    rounds[:10] *= 100
    wild = np.array([margin(effect) for effect in effects(rounds, log_times)])
    assert 0.9 < np.median(wild[10:] / calm[10:]) < 1.2
    assert min(wild[:10]) > 10 * np.median(calm)


def test_order_of_cases_and_rounds_and_the_sides_do_not_matter() -> None:
    rng = np.random.default_rng(2)
    rounds, log_times = run_of(rng, 40, 5)
    order = rng.permutation(40)
    there = effects(rounds, log_times)
    back = effects(-rounds[order, ::-1], log_times[order])
    for position, effect in zip(order, back, strict=True):
        assert effect.value == pytest.approx(-there[position].value, abs=1e-12)
        assert effect.error == pytest.approx(there[position].error)


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("rounds", [4, 6, 8])
@pytest.mark.parametrize("cases", [5, 100])
def test_intervals_cover_what_they_promise(cases: int, rounds: int, noise: str) -> None:
    rng = np.random.default_rng(cases * rounds)
    covered = [
        0 in effect.interval(0.95)
        for _ in range(2000 // cases)
        for effect in effects(*run_of(rng, cases, rounds, noise))
    ]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.03)


def test_it_finds_more_than_students_t_where_tails_are_heavy() -> None:
    rng = np.random.default_rng(3)
    moderated, plain = [], []
    for _ in range(10):
        rounds, log_times = run_of(rng, 200, 5, "heavy")
        rounds += np.log(1.10)
        moderated += [e.p_above(np.log(1.05)) for e in effects(rounds, log_times)]
        error = rounds.std(axis=1, ddof=1) / np.sqrt(5)
        plain += [*t.sf((rounds.mean(axis=1) - np.log(1.05)) / error, 4)]
    strict = 0.05 / 200
    assert np.mean(np.array(moderated) <= 0.05) > np.mean(np.array(plain) <= 0.05) + 0.02
    assert np.mean(np.array(moderated) <= strict) > np.mean(np.array(plain) <= strict) + 0.3


def test_what_is_detectable_is_found_with_that_power() -> None:
    effect = Effect(0.0, 0.01, 10.0, 5)
    limit = t.ppf(0.95, 10)
    shift = effect.detectable(0.05, 0.9) / effect.error
    assert nct.sf(limit, 10, shift) == pytest.approx(0.9, abs=0.02)


def test_many_cases_share_a_trend_that_is_computed_at_some_places() -> None:
    """As with few, and in memory that does not grow with their square."""
    rng = np.random.default_rng(11)
    times = np.sort(rng.uniform(-12, -2, 3000))
    rounds = [rng.normal(0, 0.01 * np.exp(-0.1 * (time + 7)), 5) for time in times]
    many = variance_prior(rounds, times)
    assert len(many.log_times) == 512
    for time in (-11.0, -7.0, -3.0):
        expected = (0.01 * np.exp(-0.1 * (time + 7))) ** 2
        found = np.interp(time, many.log_times, many.variances)
        assert found == pytest.approx(expected, rel=0.2)
