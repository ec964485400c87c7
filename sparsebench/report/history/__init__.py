"""History: the order of commits, and what changed over them.

``steps(frame)`` gives the regressions and improvements, ``survey(frame)`` also what moved a whole
machine and where a series begins anew.
"""

from sparsebench.report.history.findings import History, NewSeries, Shift, Step
from sparsebench.report.history.order import commit_order, short_hash, since
from sparsebench.report.history.survey import COLUMNS, HARDWARE, steps, survey

__all__ = [
    "COLUMNS",
    "HARDWARE",
    "History",
    "NewSeries",
    "Shift",
    "Step",
    "commit_order",
    "short_hash",
    "since",
    "steps",
    "survey",
]
