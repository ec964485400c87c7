"""CPU masks in other processes: forks, threads, no cache folder, numba or Triton missing."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PREAMBLE = """
import os, sys, torch
from concurrent.futures import ThreadPoolExecutor
from sparsebench.pruning import masks
from sparsebench.pruning.kernels import only, write_mask
torch.set_num_threads(1)  # torch's own OpenMP threads hang a forked child
torch.get_num_threads = lambda: 2
weight = torch.arange(700 * 400).sin().view(700, 400)
expected = masks.sparsity_mask(masks.element_scores(weight), 0.5, (1, 4), None)
def is_correct(_=None):
    mask = torch.zeros_like(weight)
    write_mask(mask, weight, masks.l2, 0.5, (1, 4), None)
    return torch.equal(mask.bool(), expected)
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(
            "assert is_correct()\npid = os.fork()\n"
            "if pid == 0: os._exit(0 if is_correct() else 1)\n"
            "assert os.waitpid(pid, 0)[1] == 0 and is_correct()",
            id="a forked child after the parent's threads ran",
        ),
        pytest.param(
            "with ThreadPoolExecutor(4) as pool: assert all(pool.map(is_correct, range(16)))",
            id="four threads at once",
        ),
    ],
)
def test_the_mask_is_correct(code: str) -> None:
    result = run(PREAMBLE + code)
    assert result.returncode == 0, result.stderr


def test_without_numba_and_triton_the_masks_are_equal_and_their_paths_are_refused() -> None:
    mask = (
        "mask = torch.zeros_like(weight, dtype=torch.float16)\n"
        "write_mask(mask, weight.half(), masks.l2, 0.5, (1, 4), 2)\n"
        "print(bytes(mask.bool().numpy()).hex())\n"
    )
    with_numba = run(PREAMBLE + mask + "assert 'numba' in sys.modules")
    without = run(
        "import sys\nsys.modules['numba'] = sys.modules['triton'] = None  # importing them fails\n"
        + PREAMBLE
        + mask
        + "for path in ('compiled', 'triton'):\n"
        "    try:\n        with only(path): print(path, 'was accepted')\n"
        "    except ValueError as error: print(error)"
    )
    assert with_numba.returncode == without.returncode == 0, with_numba.stderr + without.stderr
    bits, *messages = without.stdout.splitlines()
    assert bits == with_numba.stdout.strip()
    assert messages == [
        "path: compiled needs numba, which is not installed; pip install numba",
        "path: triton needs the package triton, a C compiler and no ROCm; pip install triton",
    ]


def test_without_a_folder_for_the_cache_it_compiles_anyway() -> None:
    code = (
        "from numba.core import caching\ncaching.CacheImpl._locator_classes = []\n"
        "from sparsebench.pruning.kernels import loops\nimport numpy as np\n"
        "assert loops.count(np.ones(5, np.int32), np.int32(1)) == 5"
    )
    result = run(code)
    assert result.returncode == 0, result.stderr


def test_the_package_imports_without_numba() -> None:
    result = run("import sys, sparsebench.pruning\nassert 'numba' not in sys.modules")
    assert result.returncode == 0, result.stderr
