"""The step of sparsebench's WeightNormSparsifier over the whole grid."""

from benchmarks._cuda import SETUP_SECONDS, Results, _StepOnCUDA, measure, params_on
from benchmarks._shared import HAS_CUDA, IN_GATE
from benchmarks._step import PARAM_NAMES, _Step, axes
from benchmarks.workloads import grid
from benchmarks.workloads.workload import DTYPES


def _params(cases: list[grid.MaskCase], dtypes: list[str]) -> tuple[list[str], ...]:
    return axes([case.name for case in cases], "sparsebench", dtypes)


class Short(_Step):
    """Three small cases, in every dtype: the smoke test."""

    params = _params(grid.SHORT, list(DTYPES))


class Long(_Step):
    """The 288 cases of PyTorch's own benchmark grid."""

    params = _params(grid.LONG, ["float32"])


class LLM(_Step):
    """Weights of language models; few samples, because a call takes long."""

    params = _params([*grid.LLM, *grid.NM], ["float32"])
    repeat = (3, 20, 2.0)
    rounds = 1


if HAS_CUDA and not IN_GATE:
    # Each class has a setup_cache of its own: asv takes those at one line of a file for one.

    class ShortCUDA(_StepOnCUDA):
        """Short on CUDA."""

        param_names, params = PARAM_NAMES, params_on(Short, "cuda")

        def setup_cache(self) -> Results:
            return measure(Short, "cuda")

        setup_cache.timeout = SETUP_SECONDS  # type: ignore[attr-defined]  # asv's way

    class LongCUDA(_StepOnCUDA):
        """Long on CUDA."""

        param_names, params = PARAM_NAMES, params_on(Long, "cuda")

        def setup_cache(self) -> Results:
            return measure(Long, "cuda")

        setup_cache.timeout = SETUP_SECONDS  # type: ignore[attr-defined]  # asv's way

    class LLMCUDA(_StepOnCUDA):
        """LLM on CUDA."""

        param_names, params = PARAM_NAMES, params_on(LLM, "cuda")

        def setup_cache(self) -> Results:
            return measure(LLM, "cuda")

        setup_cache.timeout = SETUP_SECONDS  # type: ignore[attr-defined]  # asv's way
