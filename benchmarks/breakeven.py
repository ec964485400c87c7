"""The forward of a pruned Linear in every format, over level, block and batch.

`sparsebench devices` and `sparsebench report` compute from these times the level from which a
format is faster than dense.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from itertools import product

import torch
from torch import Tensor, nn

from benchmarks._cuda import (
    SETUP_SECONDS,
    Prepared,
    Results,
    _OnCUDA,
    _StepOnCUDA,
    measure,
    params_on,
)
from benchmarks._shared import (
    HAS_CUDA,
    IN_GATE,
    THREADS,
    TIMED_DEVICES,
    linear,
    synchronized,
)
from benchmarks.workloads import workload
from benchmarks.workloads.grid import MaskCase, Shape
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
MANY_ROWS = [  # of the half-precision grid only
    replace(case, batch=4096)
    for case in [*DENSE, *COMPRESSED, *SEMI_STRUCTURED]
    if case.batch == BATCHES[0]
]
_BY_NAME = {case.name: case for case in [*DENSE, *COMPRESSED, *SEMI_STRUCTURED, *MANY_ROWS]}


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
    timed = "time_forward"
    run: Callable[[], object]

    @staticmethod
    def prepare(name: str, device: str, dtype: str) -> Prepared:
        """Return the case for `_cuda.measure`."""
        model, x = ready(name, device, dtype)
        return Prepared(torch.no_grad()(lambda: model(x)))

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

    params = (_names(DENSE + COMPRESSED), TIMED_DEVICES, ["float32"])


class _MatmulHalf(_Matmul):
    """float16 on CUDA, up to 4096 rows; only there are kernels for 2:4."""

    params = (_names([*DENSE, *COMPRESSED, *SEMI_STRUCTURED, *MANY_ROWS]), ["cuda"], ["float16"])


MASKS = {
    case.name: case
    for case in [
        *(MaskCase(SHAPE, level, block, None) for block, level in product(BLOCKS, LEVELS)),
        MaskCase(SHAPE, 1.0, (1, 4), 2),
    ]
}


@lru_cache(maxsize=1)
def ready_mask(name: str, device: str, dtype: str) -> workload.Workload:
    """Return the workload of a pattern's mask, stepped once."""
    torch.set_num_threads(THREADS)
    stepped = workload.build(MASKS[name], device, dtype)
    stepped.step()
    return stepped


class Mask:
    """The mask that a compressed format needs; it pays for itself over enough forwards."""

    param_names = ["case", "device", "dtype"]
    params = (list(MASKS), TIMED_DEVICES, ["float32", "float16"])
    repeat = (5, 50, 0.2)
    timed = "time_step"

    @staticmethod
    def prepare(name: str, device: str, dtype: str) -> Prepared:
        """Return the case for `_cuda.measure`."""
        stepped = ready_mask(name, device, dtype)
        return Prepared(stepped.step, lambda: stepped.mask)

    def setup(self, name: str, device: str, dtype: str) -> None:
        self.run = synchronized(ready_mask(name, device, dtype).step, device)

    def time_step(self, *case: str) -> None:
        self.run()


if HAS_CUDA and IN_GATE:

    class MatmulHalf(_MatmulHalf):
        """As `_MatmulHalf`, timed by the gate."""


if HAS_CUDA and not IN_GATE:
    # Each class has a setup_cache of its own: asv takes those at one line of a file for one.

    class MatmulCUDA(_OnCUDA):
        """Matmul on CUDA."""

        param_names, params = Matmul.param_names, params_on(Matmul, "cuda")

        def setup_cache(self) -> Results:
            return measure(Matmul, "cuda")

        setup_cache.timeout = SETUP_SECONDS  # type: ignore[attr-defined]  # asv's way

    class MatmulHalfCUDA(_OnCUDA):
        """MatmulHalf on CUDA."""

        param_names, params = _MatmulHalf.param_names, params_on(_MatmulHalf, "cuda")

        def setup_cache(self) -> Results:
            return measure(_MatmulHalf, "cuda")

        setup_cache.timeout = SETUP_SECONDS  # type: ignore[attr-defined]  # asv's way

    class MaskCUDA(_StepOnCUDA):
        """Mask on CUDA."""

        param_names, params = Mask.param_names, params_on(Mask, "cuda")

        def setup_cache(self) -> Results:
            return measure(Mask, "cuda")

        setup_cache.timeout = SETUP_SECONDS  # type: ignore[attr-defined]  # asv's way
