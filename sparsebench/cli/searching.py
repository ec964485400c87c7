"""The search of a history as the verbs share it: one memory, all cores, progress on stderr."""

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from sparsebench.analysis.history import COLUMNS, HistoryFindings, survey
from sparsebench.analysis.history.cache import SearchCache, default_path
from sparsebench.cli.progress import progress
from sparsebench.results import read
from sparsebench.results.dataset.scan import open_dataset
from sparsebench.stats.change_points import TOLERANCE


def rows(dataset: str | Path, benchmark: str | None, machines: Sequence[str]) -> pd.DataFrame:
    """Return what `survey` needs of a dataset; where it is all benchmarks, texts as categories.

    A history of millions of rows takes a fifth of the memory so, and a fraction of the time.
    """
    if benchmark is None:
        host = pc.field("machine").isin(pa.array(machines, pa.string())) if machines else None
        table = open_dataset(dataset).table(COLUMNS, machines=host)
        if set(machines) <= set(pc.unique(table["machine"]).to_pylist()):
            return _with_categories(table)
    return read(dataset, columns=COLUMNS, benchmark=benchmark, machine=machines or None)


def _with_categories(table: pa.Table) -> pd.DataFrame:
    for place, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            zoned = pc.assume_timezone(table[place], "UTC")
            table = table.set_column(place, field.name, zoned)
    frame: pd.DataFrame = table.to_pandas()
    return frame


def searched(frame: pd.DataFrame, tolerance: float = TOLERANCE) -> HistoryFindings:
    """Return what changed over the commits of ``frame``, as `survey` has it."""
    with progress("searching series") as tell:
        return survey(
            frame,
            tolerance,
            cache=SearchCache(default_path()),
            processes=os.cpu_count() or 1,
            progress=tell,
        )
