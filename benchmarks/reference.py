"""The same steps by torch.ao.pruning, on the cases it supports: the reference of every ratio."""

from benchmarks._cuda import SETUP_SECONDS, Results, _HostStepOnCUDA, measure, params_on
from benchmarks._shared import HAS_CUDA, IN_GATE
from benchmarks._step import PARAM_NAMES, _Step, axes
from benchmarks.workloads import grid
from benchmarks.workloads.workload import runs_upstream


def _params(cases: list[grid.MaskCase]) -> tuple[list[str], ...]:
    return axes([case.name for case in cases if runs_upstream(case)], "torch.ao", ["float32"])


class Short(_Step):
    """The short grid."""

    params = _params(grid.SHORT)


class Long(_Step):
    """233 of the long grid's 288 cases; on the others torch.ao.pruning raises."""

    params = _params(grid.LONG)


class LLM(_Step):
    """The LLM grid; its calls take up to seconds."""

    params = _params([*grid.LLM, *grid.NM])
    repeat = (1, 5, 2.0)
    rounds = 1


if HAS_CUDA and not IN_GATE:
    # Each class has a setup_cache of its own: asv takes those at one line of a file for one.

    class ShortCUDA(_HostStepOnCUDA):
        """Short on CUDA."""

        param_names, params = PARAM_NAMES, params_on(Short, "cuda")

        def setup_cache(self) -> Results:
            return measure(Short, "cuda")

        setup_cache.timeout = SETUP_SECONDS  # type: ignore[attr-defined]  # asv's way

    class LongCUDA(_HostStepOnCUDA):
        """Long on CUDA."""

        param_names, params = PARAM_NAMES, params_on(Long, "cuda")

        def setup_cache(self) -> Results:
            return measure(Long, "cuda")

        setup_cache.timeout = SETUP_SECONDS  # type: ignore[attr-defined]  # asv's way

    class LLMCUDA(_HostStepOnCUDA):
        """LLM on CUDA."""

        param_names, params = PARAM_NAMES, params_on(LLM, "cuda")

        def setup_cache(self) -> Results:
            return measure(LLM, "cuda")

        setup_cache.timeout = SETUP_SECONDS  # type: ignore[attr-defined]  # asv's way
