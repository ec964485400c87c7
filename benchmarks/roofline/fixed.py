"""What does not grow with a tensor: a layer's share of a step, and the time of an import."""

import subprocess
import sys
from statistics import median
from time import perf_counter

import torch
from torch import nn

from benchmarks.roofline.clock import by_turns
from sparsebench.pruning import WeightNormSparsifier

_LAYERS = 400
_SIDE = 4  # the mask of so small a layer takes next to nothing itself


def layer_seconds(rounds: int) -> float:
    """Seconds of a step over hundreds of tiny Linears, by layer."""
    torch.set_num_threads(1)
    model = nn.Sequential(*(nn.Linear(_SIDE, _SIDE) for _ in range(_LAYERS)))
    sparsifier = WeightNormSparsifier()
    sparsifier.prepare(model, None)
    return by_turns({"step": sparsifier.step}, rounds)["step"] / _LAYERS


def import_seconds(rounds: int) -> float:
    """Median seconds that importing sparsebench.pruning adds to torch, over fresh processes."""
    code = (
        "import torch, time; start = time.perf_counter()\n"
        "import sparsebench.pruning; print(time.perf_counter() - start)"
    )
    return median(float(_output(code)) for _ in range(rounds))


def first_step_seconds() -> float:
    """Seconds of the first step in a fresh process, loading what is compiled included."""
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
