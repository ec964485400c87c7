"""Stored results: asv's JSON into a Parquet dataset, and back as a DataFrame.

``ingest(sources, dataset)`` stores asv results, ``read(dataset, benchmark="time_", status="ok")``
gives them back as a pandas DataFrame, ``latest(frame)`` keeps the newest commit of every case and
``read_latest`` reads only that; ``compact(dataset)`` merges small files, ``export`` writes CSV,
JSON lines or asv's own files. A dataset is a folder or a URI (s3://, gs://, ...). The columns are
documented in `sparsebench.results.table.schema`, files and guarantees in docs/results.md.

The names are loaded on first use, so that the schema can be imported without pandas.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sparsebench.results.dataset.compaction import Compacted, compact
    from sparsebench.results.dataset.scan import DatasetWarning
    from sparsebench.results.exporter import export
    from sparsebench.results.ingestion import Outcome, Report, ingest
    from sparsebench.results.reader import Filters, latest, read, read_latest

__all__ = [
    "Compacted",
    "DatasetWarning",
    "Filters",
    "Outcome",
    "Report",
    "compact",
    "export",
    "ingest",
    "latest",
    "read",
    "read_latest",
]

_HOMES = {
    "Compacted": "dataset.compaction",
    "DatasetWarning": "dataset.scan",
    "Outcome": "ingestion",
    "Report": "ingestion",
    "compact": "dataset.compaction",
    "export": "exporter",
    "ingest": "ingestion",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOMES.get(name, "reader")
    return getattr(import_module(f"{__name__}.{home}"), name)
