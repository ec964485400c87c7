"""Changes over the commits of stored results: change points, shifts of machines, new series.

Rows in, frozen dataclasses out (`findings`). Read `survey` first: `machine_tables` arranges rows as
series, `search` finds their change points, `reverted` decides which later step undid one.
"""

from sparsebench.analysis.history.findings import HistoryFindings, NewSeries, Shift, Step
from sparsebench.analysis.history.order import commit_order, short_hash, since
from sparsebench.analysis.history.survey import COLUMNS, REASON_COLUMNS, explained, steps, survey

__all__ = [
    "COLUMNS",
    "REASON_COLUMNS",
    "HistoryFindings",
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
