"""The step of sparsebench's WeightNormSparsifier over the whole grid."""

from benchmarks._shared import DEVICES
from benchmarks._step import _DeviceTime, _Step, axes
from benchmarks.workloads import grid
from benchmarks.workloads.workload import DTYPES


def _params(
    cases: list[grid.MaskCase], dtypes: list[str], **kwargs: list[str]
) -> tuple[list[str], ...]:
    return axes([case.name for case in cases], "sparsebench", dtypes, **kwargs)


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


if "cuda" in DEVICES:

    class LongDevice(_DeviceTime):
        """Device time of Long, without the host's launch time."""

        params = _params(grid.LONG, ["float32"], devices=["cuda"])

    class LLMDevice(_DeviceTime):
        """Device time of LLM, without the host's launch time."""

        params = _params([*grid.LLM, *grid.NM], ["float32"], devices=["cuda"])
