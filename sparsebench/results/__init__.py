"""Stored results: asv's JSON into a Parquet dataset, and back as a DataFrame.

``ingest(sources, dataset)`` stores asv results. ``read(dataset, benchmark="time_", status="ok")``
returns them as a pandas DataFrame, ``latest(frame)`` selects the newest commit of each case, and
``read_latest`` reads only that. ``compact(dataset)`` merges small files. ``export`` writes CSV,
JSON lines or asv's own files. A dataset is a folder or a URI (s3://, gs://, ...).

On the way in, `asv` parses asv's files, `table` makes Arrow tables of them, and `dataset` stores
these as Parquet files. Read `ingestion` first. The columns are documented in `table.schema`, files
and guarantees in docs/results.md.

Names are loaded on first use, so that the schema can be imported without pandas.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sparsebench.results.dataset.compaction import Compacted, compact
    from sparsebench.results.dataset.scan import DatasetWarning
    from sparsebench.results.exporter import export
    from sparsebench.results.ingestion import FileOutcome, Report, ingest
    from sparsebench.results.reader import Filters, latest, read, read_latest

__all__ = [
    "Compacted",
    "DatasetWarning",
    "FileOutcome",
    "Filters",
    "Report",
    "compact",
    "export",
    "ingest",
    "latest",
    "read",
    "read_latest",
]

_MODULES = {
    "Compacted": "dataset.compaction",
    "DatasetWarning": "dataset.scan",
    "FileOutcome": "ingestion",
    "Report": "ingestion",
    "compact": "dataset.compaction",
    "export": "exporter",
    "ingest": "ingestion",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = _MODULES.get(name, "reader")
    return getattr(import_module(f"{__name__}.{module}"), name)
