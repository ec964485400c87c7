"""asv's decision rule, against asv's own code."""

import numpy as np
import pytest
from asv.commands.compare import _is_result_better

from sparsebench.stats import asv_finds_slower


def asv_says(base: list[float], head: list[float]) -> bool:
    stats = {"repeat": len(base), "ci_99_a": 0.0, "ci_99_b": 0.0}
    before, after = float(np.median(base)), float(np.median(head))
    return bool(_is_result_better(before, after, (stats, base), (stats, head), 1.1))


@pytest.mark.parametrize("slower", [0.9, 1.0, 1.09, 1.12, 1.3])
@pytest.mark.parametrize("spread", [0.001, 0.05, 0.3])
def test_it_agrees_with_asv(slower: float, spread: float) -> None:
    rng = np.random.default_rng(int(1000 * slower + 1e6 * spread))
    base = rng.lognormal(0, spread, 24).tolist()
    head = (slower * rng.lognormal(0, spread, 24)).tolist()
    assert asv_finds_slower(base, head) == asv_says(base, head)


def test_it_says_both() -> None:
    quiet = [1.0, 1.01, 1.02, 1.03, 1.04, 1.05, 1.06, 1.07]
    assert asv_finds_slower(quiet, [1.2 * value for value in quiet])
    assert not asv_finds_slower(quiet, [1.05 * value for value in quiet])
    assert not asv_finds_slower(quiet, [])
