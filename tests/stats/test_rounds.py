import numpy as np
import pytest

from sparsebench.errors import SparsebenchError
from sparsebench.stats import round_effect

ORDER = "BHHBHBBHBHHBHBBH"


def blocks(order: str, effect: float, start: float = 1e-3) -> np.ndarray:
    return start * np.exp(effect * np.array([side == "H" for side in order]))


def test_the_effect_is_the_log_of_head_over_base() -> None:
    assert round_effect("BHHB", [2, 3, 3, 2]) == pytest.approx(np.log(1.5))
    assert round_effect("HBBH", [3, 2, 2, 3]) == pytest.approx(np.log(1.5))


def test_an_even_drift_cancels() -> None:
    drift = np.exp(0.3 * np.arange(16))
    assert round_effect(ORDER, drift * blocks(ORDER, 0.1)) == pytest.approx(0.1)


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
        ("BHHB", [1, 1], "one time a block, got 2 for 4 blocks"),
    ],
)
def test_what_is_no_round_is_refused(order: str, seconds: list[float], message: str) -> None:
    with pytest.raises(SparsebenchError, match=message):
        round_effect(order, seconds)
