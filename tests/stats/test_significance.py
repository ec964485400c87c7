import numpy as np
import pytest
from asv.commands.compare import _is_result_better

from sparsebench.stats import adjusted, asv_finds_slower

# Benjamini and Hochberg's own example: 15 p-values, of which 4 are found at 0.05.
PUBLISHED = [
    *(0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344),
    *(0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000),
]


def test_the_published_example() -> None:
    found = adjusted(PUBLISHED)
    assert np.count_nonzero(found <= 0.05) == 4
    np.testing.assert_allclose(found[:4], [0.0015, 0.003, 0.0095, 0.0095 * 15 / 4])


def test_what_was_not_tested_counts_for_nothing() -> None:
    order = np.random.default_rng(0).permutation(15)
    found = adjusted([*np.array(PUBLISHED)[order], np.nan, np.nan])
    np.testing.assert_allclose(found[:15], adjusted(PUBLISHED)[order])
    assert np.isnan(found[15:]).all()


@pytest.mark.parametrize("p_values", [[], [np.nan]])
def test_nothing_tested_finds_nothing(p_values: list[float]) -> None:
    assert not np.any(adjusted(p_values) <= 1)


def test_the_share_of_false_discoveries_is_held() -> None:
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(400):
        p_values = rng.uniform(size=200)
        p_values[:20] *= 1e-4  # the true ones
        found = adjusted(p_values) <= 0.1
        shares.append(found[20:].sum() / max(found.sum(), 1))
    assert np.mean(shares) == pytest.approx(0.1 * 180 / 200, abs=0.01)


def asv_result(base: list[float], head: list[float]) -> bool:
    stats = {"repeat": len(base), "ci_99_a": 0.0, "ci_99_b": 0.0}
    before, after = float(np.median(base)), float(np.median(head))
    return bool(_is_result_better(before, after, (stats, base), (stats, head), 1.1))


@pytest.mark.parametrize("slower", [0.9, 1.0, 1.09, 1.12, 1.3])
@pytest.mark.parametrize("spread", [0.001, 0.05, 0.3])
def test_the_rule_agrees_with_asv(slower: float, spread: float) -> None:
    rng = np.random.default_rng(int(1000 * slower + 1e6 * spread))
    base = rng.lognormal(0, spread, 24).tolist()
    head = (slower * rng.lognormal(0, spread, 24)).tolist()
    assert asv_finds_slower(base, head) == asv_result(base, head)


def test_both_answers_occur() -> None:
    quiet = [1.0, 1.01, 1.02, 1.03, 1.04, 1.05, 1.06, 1.07]
    assert asv_finds_slower(quiet, [1.2 * value for value in quiet])
    assert not asv_finds_slower(quiet, [1.05 * value for value in quiet])
    assert not asv_finds_slower(quiet, [])
