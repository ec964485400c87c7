"""The same steps by torch.ao.pruning, on the cases that it survives: the other side of a ratio."""

from benchmarks._step import _Step, axes
from benchmarks.workloads import grid
from benchmarks.workloads.workload import runs_upstream


def _reference(cases: list[grid.Case]) -> tuple[list[str], ...]:
    return axes([case.name for case in cases if runs_upstream(case)], "torch.ao", ["float32"])


class Short(_Step):
    """The short grid."""

    params = _reference(grid.SHORT)


class Long(_Step):
    """233 of the long grid's 288 cases; on the others torch.ao.pruning raises."""

    params = _reference(grid.LONG)


class LLM(_Step):
    """The LLM grid; its calls take up to seconds."""

    params = _reference([*grid.LLM, *grid.NM])
    repeat = (1, 5, 2.0)
    rounds = 1
