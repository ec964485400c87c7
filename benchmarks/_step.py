"""Base classes of the step benchmarks; asv ignores classes whose names start with _."""

from functools import lru_cache

import torch

from benchmarks._cuda import Prepared
from benchmarks._shared import THREADS, TIMED_DEVICES, synchronized
from benchmarks.workloads import digest, workload
from benchmarks.workloads.grid import SHORT, by_name
from benchmarks.workloads.memory import temporary_memory
from benchmarks.workloads.weights import KINDS

PARAM_NAMES = ["case", "device", "dtype", "weights", "implementation"]


@lru_cache(maxsize=1)
def ready(case: str, *axes: str) -> workload.Workload:
    """Return the workload, stepped once; cached, as asv calls setup before every timed call."""
    torch.set_num_threads(THREADS)
    stepped = workload.build(by_name(case), *axes)
    stepped.step()
    return stepped


class _Step:
    """One call of ``sparsifier.step()``: its time, and the digest, sparsity and memory of its mask.

    Subclasses set ``params``. Because ``setup`` exists, asv times single calls. ``repeat`` asks for
    many: the median of 150 calls varies 2 to 3.5 times less than that of asv's default of 5.
    """

    param_names = PARAM_NAMES
    params: tuple[list[str], ...] = ()
    warmup_time = 0.05
    repeat = (5, 150, 0.1)
    timed = "time_step"

    @staticmethod
    def prepare(case: str, *axes: str) -> Prepared:
        """Return the case for `_cuda.measure`; torch.ao's step waits for the device."""
        workload = ready(case, *axes)
        return Prepared(workload.step, lambda: workload.mask, queues=axes[-1] == "sparsebench")

    def setup(self, case: str, *axes: str) -> None:
        self.workload = ready(case, *axes)
        self.run = synchronized(self.workload.step, axes[0])

    def time_step(self, *case: str) -> None:
        self.run()

    def track_digest(self, *case: str) -> int:
        self.run()
        return digest.tracked(self.workload.mask)

    def track_measured_sparsity(self, *case: str) -> float:
        self.run()
        return self.workload.measured_sparsity()

    def track_temporary_memory(self, case: str, device: str, *axes: str) -> int:
        return temporary_memory(self.workload.step, device)

    track_digest.unit = "sha256/48"  # type: ignore[attr-defined]  # asv's way to give a unit
    track_measured_sparsity.unit = "fraction"  # type: ignore[attr-defined]  # as above
    track_temporary_memory.unit = "bytes"  # type: ignore[attr-defined]  # as above


def axes(
    cases: list[str], implementation: str, dtypes: list[str], devices: list[str] = TIMED_DEVICES
) -> tuple[list[str], ...]:
    """Return ``params`` for ``PARAM_NAMES``."""
    return cases, devices, dtypes, KINDS, [implementation]


# asv's fork server imports this module once and forks one process per case. A step here compiles
# and loads everything before the fork (0.7 s, or 9 s where nothing is compiled yet). The case is
# far smaller than those for which torch starts threads, which a forked process would lack.
workload.build(SHORT[0]).step()
