"""A pruned Linear's forward: dense with zeros in it, against the formats that leave them out."""

from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks._shared import CUDA, DEVICES, THREADS, linear, synchronized
from benchmarks.workloads.weights import weights
from sparsebench.pruning import WeightNormSparsifier, to_bsr, to_csr, to_semi_structured

SHAPE = (2048, 2048)
BATCH = 256
BLOCK = (16, 16)
CONVERT: dict[str, Any] = {
    "csr": to_csr,
    "bsr": partial(to_bsr, block_shape=BLOCK),
    "2:4": to_semi_structured,
}


@lru_cache(maxsize=1)
def ready(form: str, level: float, device: str, dtype: torch.dtype) -> tuple[nn.Module, Tensor]:
    """A squashed Linear in the given format (dense stays as it is), and an input for it."""
    torch.set_num_threads(THREADS)
    model = nn.Sequential(linear(SHAPE, dtype))
    pattern = (1.0, (1, 4), 2) if dtype == torch.float16 else (level, BLOCK, None)
    sparsifier = WeightNormSparsifier(*pattern)
    sparsifier.prepare(model, None)
    sparsifier.step()
    sparsifier.squash_mask()
    model.to(device)
    convert = CONVERT.get(form, lambda model: model)
    return convert(model), weights((BATCH, SHAPE[1]), "random", dtype).to(device)


class Compressed:
    """float32, 2048x2048 on 256 rows, blocks of 16x16 zeroed."""

    param_names = ["format", "level", "device"]
    params = (["dense", "csr", "bsr"], [0.5, 0.9, 0.99], DEVICES)
    repeat = (5, 50, 0.5)

    def setup(self, form: str, level: float, device: str) -> None:
        model, x = ready(form, level, device, torch.float32)
        self.run = synchronized(lambda: model(x), device)

    def time_forward(self, form: str, level: float, device: str) -> None:
        self.run()


if CUDA:

    class SemiStructured:
        """float16, 2048x2048 on 256 rows, 2 of 4 zeroed."""

        param_names = ["format", "device"]
        params = (["dense", "2:4"], CUDA)
        repeat = (5, 50, 0.5)

        def setup(self, form: str, device: str) -> None:
            model, x = ready(form, 0.5, device, torch.float16)
            self.run = synchronized(lambda: model(x), device)

        def time_forward(self, form: str, device: str) -> None:
            self.run()
