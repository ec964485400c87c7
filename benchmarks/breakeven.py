"""The forward of a pruned Linear in every format, over level, block and batch.

`sparsebench devices` and `sparsebench report` compute from these times the level from which a
format is faster than dense.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache
from itertools import product

import torch
from torch import Tensor, nn

from benchmarks._shared import CUDA, DEVICES, THREADS, linear, synchronized
from benchmarks.workloads.grid import Shape
from benchmarks.workloads.weights import weights
from benchmarks.workloads.workload import DTYPES
from sparsebench.pruning import WeightNormSparsifier, to_bsr, to_csr, to_semi_structured

SHAPE = (2048, 2048)
LEVELS = [0.5, 0.8, 0.9, 0.95, 0.99]
BATCHES = [1, 16, 256]
BLOCKS = [(1, 1), (4, 4), (16, 16)]  # BSR on the CPU takes square ones only


@dataclass(frozen=True)
class FormatCase:
    """One format at one point; ``level`` and ``block`` are None where its time depends on neither.

    Times of a dense weight, and of a dense weight times its mask, are the same at every level and
    for every block, so they are measured once per batch.
    """

    format: str
    batch: int
    level: float | None = None
    block: Shape | None = None

    @property
    def name(self) -> str:
        """For example ``shape=2048x2048,format=bsr,batch=16,level=0.9,block=4x4``."""
        values = {"shape": SHAPE} | {
            field.name: getattr(self, field.name) for field in fields(self)
        }
        return ",".join(
            f"{key}={_text(value)}" for key, value in values.items() if value is not None
        )


def _text(value: object) -> str:
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)


DENSE = [FormatCase(form, batch) for form, batch in product(["dense", "masked"], BATCHES)]
COMPRESSED = [
    FormatCase(form, batch, level, block)
    for form, block, level, batch in product(["csr", "bsr"], BLOCKS, LEVELS, BATCHES)
    if (form, block) != ("bsr", (1, 1))  # the same as CSR, but larger
]
SEMI_STRUCTURED = [FormatCase("2:4", batch, 0.5, (1, 4)) for batch in BATCHES]
_BY_NAME = {case.name: case for case in [*DENSE, *COMPRESSED, *SEMI_STRUCTURED]}


@lru_cache(maxsize=1)
def ready(name: str, device: str, dtype: str) -> tuple[nn.Module, Tensor]:
    """Return the case's Linear in its format, and an input for it."""
    torch.set_num_threads(THREADS)
    case = _BY_NAME[name]
    model = nn.Sequential(linear(SHAPE, DTYPES[dtype])).to(device)
    if case.format != "dense":
        _prune(model, case)
    x = weights((case.batch, SHAPE[1]), "random", DTYPES[dtype]).to(device)
    return _convert(model, case), x


def _prune(model: nn.Module, case: FormatCase) -> None:
    """Mask the layer and, unless the format is "masked", write the zeros into its weight."""
    pattern = (1.0, (1, 4), 2) if case.format == "2:4" else (case.level, case.block, None)
    sparsifier = WeightNormSparsifier(*pattern) if case.block else WeightNormSparsifier(0.5)
    sparsifier.prepare(model, None)
    sparsifier.step()
    if case.format != "masked":
        sparsifier.squash_mask()


def _convert(model: nn.Module, case: FormatCase) -> nn.Module:
    """Return ``model`` with its Linear in the case's format."""
    if case.format == "csr":
        return to_csr(model)
    if case.format == "bsr":
        return to_bsr(model, case.block)
    return to_semi_structured(model) if case.format == "2:4" else model


class _Matmul:
    """2048x2048 on 1, 16 and 256 rows; complete blocks are zeroed, those of lowest magnitude."""

    param_names = ["case", "device", "dtype"]
    params: tuple[list[str], ...] = ()
    repeat = (5, 50, 0.4)
    run: Callable[[], object]

    def setup(self, name: str, device: str, dtype: str) -> None:
        model, x = ready(name, device, dtype)
        self.run = synchronized(lambda: model(x), device)

    @torch.no_grad()
    def time_forward(self, *case: str) -> None:
        self.run()


def _names(cases: list[FormatCase]) -> list[str]:
    return [case.name for case in cases]


class Matmul(_Matmul):
    """float32 on every device."""

    params = (_names(DENSE + COMPRESSED), DEVICES, ["float32"])


if CUDA:

    class MatmulHalf(_Matmul):
        """float16 on the GPU; only there are kernels for 2:4."""

        params = (_names(DENSE + COMPRESSED + SEMI_STRUCTURED), CUDA, ["float16"])
