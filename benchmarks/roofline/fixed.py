"""Fixed costs, which do not depend on a tensor's size: step time per layer, import, first step."""

import subprocess
import sys
from statistics import median
from time import perf_counter

import torch
from torch import nn

from benchmarks.roofline.clock import interleaved_medians
from sparsebench.pruning import WeightNormSparsifier

_LAYERS = 400
_SIDE = 4  # so small that its mask takes almost no time


def layer_seconds(rounds: int) -> float:
    """Return the seconds per layer of a step over hundreds of tiny Linears."""
    torch.set_num_threads(1)
    model = nn.Sequential(*(nn.Linear(_SIDE, _SIDE) for _ in range(_LAYERS)))
    sparsifier = WeightNormSparsifier()
    sparsifier.prepare(model, None)
    return interleaved_medians({"step": sparsifier.step}, rounds)["step"] / _LAYERS


def import_seconds(rounds: int) -> float:
    """Return the median seconds that importing sparsebench.pruning takes after torch."""
    code = (
        "import torch, time; start = time.perf_counter()\n"
        "import sparsebench.pruning; print(time.perf_counter() - start)"
    )
    return median(float(_output(code)) for _ in range(rounds))


def first_step_seconds() -> float:
    """Return the seconds of the first step of a process, loading compiled code included."""
    code = (
        "import time; from benchmarks.workloads import grid, workload\n"
        "step = workload.build(grid.SHORT[0]).step; start = time.perf_counter()\n"
        "step(); print(time.perf_counter() - start)"
    )
    start = perf_counter()
    seconds = float(_output(code))
    assert seconds < perf_counter() - start
    return seconds


def _output(code: str) -> str:
    command = [sys.executable, "-W", "ignore", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
