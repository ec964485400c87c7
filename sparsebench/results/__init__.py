"""Stored results: asv's JSON into a Parquet dataset, and back as a DataFrame.

``ingest(sources, dataset)`` stores asv results, ``read(dataset, benchmark="time_", status="ok")``
gives them back as a pandas DataFrame, and ``latest(frame)`` keeps the newest commit of every case.
The columns are documented in `sparsebench.results.schema`.

The names are loaded on first use, so that the schema can be imported without pandas.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sparsebench.results.ingestion import Outcome, Report, ingest
    from sparsebench.results.reader import DatasetWarning, Filters, latest, read

__all__ = ["DatasetWarning", "Filters", "Outcome", "Report", "ingest", "latest", "read"]

_INGESTION = {"Outcome", "Report", "ingest"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "ingestion" if name in _INGESTION else "reader"
    return getattr(import_module(f"{__name__}.{home}"), name)
