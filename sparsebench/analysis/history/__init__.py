"""History: the order of commits, and what changed over them.

``steps(frame)`` gives the regressions and improvements, ``survey(frame)`` also what moved a whole
machine and where a series begins anew, ``explained(shifts, rows)`` why a machine may have moved.
"""

from sparsebench.analysis.history.findings import History, NewSeries, Shift, Step
from sparsebench.analysis.history.order import commit_order, short_hash, since
from sparsebench.analysis.history.reasons import REASON_COLUMNS, explained
from sparsebench.analysis.history.survey import COLUMNS, steps, survey

__all__ = [
    "COLUMNS",
    "REASON_COLUMNS",
    "History",
    "NewSeries",
    "Shift",
    "Step",
    "commit_order",
    "explained",
    "short_hash",
    "since",
    "steps",
    "survey",
]
