import numpy as np
import pytest

from sparsebench.errors import SparsebenchError
from sparsebench.stats import round_effect, round_error

ORDER = "BHHBHBBHBHHBHBBH"


def blocks(order: str, effect: float, start: float = 1e-3) -> np.ndarray:
    return start * np.exp(effect * np.array([side == "H" for side in order]))


def test_the_effect_is_the_log_of_head_over_base() -> None:
    assert round_effect("BHHB", [2, 3, 3, 2]) == pytest.approx(np.log(1.5))
    assert round_effect("HBBH", [3, 2, 2, 3]) == pytest.approx(np.log(1.5))


@pytest.mark.parametrize("order", [ORDER, "HBBH" * 4, "BHHB" * 10])
@pytest.mark.parametrize("drift", [0.2, -0.2])
def test_a_drift_moves_it_by_no_more_than_its_share_of_a_block(order: str, drift: float) -> None:
    along = np.linspace(0, 1, len(order))
    for shape in (along, along**2, along > 0.4):  # even, growing, sudden
        found = round_effect(order, np.exp(drift * shape) * blocks(order, 0.1))
        assert abs(found - 0.1) <= abs(drift) / (len(order) - 1) * 2


def test_many_slow_blocks_hardly_count() -> None:
    rng = np.random.default_rng(4)
    order = "BHHBHBBH" * 5
    for _ in range(100):
        noise = np.exp(0.005 * rng.standard_normal(40) + rng.exponential(rng.random(40) < 0.3))
        assert round_effect(order, noise) == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("block", range(16))
def test_one_disturbed_block_hardly_counts(block: int) -> None:
    noise = np.exp(0.005 * np.random.default_rng(block).standard_normal(16))
    seconds = blocks(ORDER, 0.1) * noise
    seconds[block] *= 50
    assert round_effect(ORDER, seconds) == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("bad", [0, -1, np.nan, np.inf])
def test_a_quadruple_without_a_time_is_left_out(bad: float) -> None:
    seconds = blocks(ORDER, 0.1)
    seconds[5] = bad
    assert round_effect(ORDER, seconds) == pytest.approx(0.1)
    assert np.isnan(round_effect("BHHB", [1, bad, 1, 1]))


def test_no_blocks_have_no_effect() -> None:
    assert np.isnan(round_effect("", []))


@pytest.mark.parametrize(
    ("order", "seconds", "message"),
    [
        ("BHBH", [1, 1, 1, 1], "quadruples BHHB or HBBH, got order='BHBH'"),
        ("BHHBB", [1] * 5, "quadruples BHHB or HBBH, got order='BHHBB'"),
        ("BHHB", [1, 1], "one time per block, got 2 for 4 blocks"),
    ],
)
def test_what_is_no_round_is_refused(order: str, seconds: list[float], message: str) -> None:
    with pytest.raises(SparsebenchError, match=message):
        round_effect(order, seconds)


def test_the_error_is_that_of_the_effect() -> None:
    """Over many rounds of independent blocks it tells how much the effects scatter."""
    rng = np.random.default_rng(5)
    for quadruples in (4, 10):
        order = "BHHBHBBH" * (quadruples // 2)
        draws = [np.exp(rng.normal(0, 0.02, len(order))) for _ in range(600)]
        scatter = np.std([round_effect(order, seconds) for seconds in draws])
        estimated = np.mean([round_error(order, seconds) for seconds in draws])
        assert 0.75 < estimated / scatter < 1.3, quadruples


def test_the_error_is_unknown_without_a_whole_quadruple() -> None:
    assert round_error("BHHB", [1.0, 0.0, 1.0, 1.0]) == float("inf")
