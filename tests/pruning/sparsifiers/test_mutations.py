"""No change of a model between steps makes a step write outside its memory, or a wrong mask."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.skipif(sys.platform != "linux", reason="guard pages by Linux's mprotect")
@pytest.mark.parametrize("seed", [1, 2])
def test_each_random_change_is_refused_or_gives_the_references_mask(seed: int) -> None:
    """See `mutations`; 10,000 changes take a minute and a half."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.pruning.sparsifiers.mutations", str(seed), "250"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    ends = {tuple(line.split()[:2]) for line in done.stdout.splitlines()}
    assert ("freed_mask", "refused") in ends
    assert ("new_values", "stepped") in ends
    assert len({name for name, _ in ends}) == 15
