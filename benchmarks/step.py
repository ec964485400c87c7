"""The step of our WeightNormSparsifier over the whole grid."""

from benchmarks._shared import DEVICES
from benchmarks._step import _DeviceTime, _Step, axes
from benchmarks.workloads import grid
from benchmarks.workloads.workload import DTYPES


def _ours(cases: list[grid.Case], dtypes: list[str], **kwargs: list[str]) -> tuple[list[str], ...]:
    return axes([case.name for case in cases], "sparsebench", dtypes, **kwargs)


class Short(_Step):
    """Three small cases, in every dtype: the smoke test."""

    params = _ours(grid.SHORT, list(DTYPES))


class Long(_Step):
    """The 288 cases of PyTorch's own benchmark grid."""

    params = _ours(grid.LONG, ["float32"])


class LLM(_Step):
    """Weights of language models; few samples, because a call is long."""

    params = _ours([*grid.LLM, *grid.NM], ["float32"])
    repeat = (3, 20, 2.0)
    rounds = 1


if "cuda" in DEVICES:

    class LongDevice(_DeviceTime):
        """Long, without the time that launching takes on the host."""

        params = _ours(grid.LONG, ["float32"], devices=["cuda"])

    class LLMDevice(_DeviceTime):
        """LLM, without the time that launching takes on the host."""

        params = _ours([*grid.LLM, *grid.NM], ["float32"], devices=["cuda"])
