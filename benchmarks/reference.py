"""The same steps by torch.ao.pruning, on the cases it supports: the reference of every ratio."""

from benchmarks._step import _Step, axes
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
