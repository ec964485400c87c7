"""One figure's rows as points of a history: where, how high, how sure, and in which series."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sparsebench.analysis.dimensions import ENVIRONMENT, dimensions, labels, varying
from sparsebench.analysis.environments import in_turn
from sparsebench.analysis.history import Step
from sparsebench.stats import median_intervals

# A line joins values of one such combination only: what else changed would pass for a regression.
HARNESS: Final = ("fingerprint", "benchmark_version")
SERIES: Final = ("benchmark", "machine", "env_name", "case", *HARNESS)
_STEP: Final = ("benchmark", "machine", "env_name", "case", "fingerprint", "commit_hash")


def points(rows: pd.DataFrame, commits: list[str], steps: Sequence[Step] = ()) -> pd.DataFrame:
    """Return a point a row of one figure, sorted by commit, with the rows' dimensions beside it.

    Columns: ``x`` (the commit's place in ``commits``), ``value`` (NaN unless the status is ok),
    ``low`` and ``high`` (the median's interval from the samples; NaN without six of them),
    ``status`` (of an infinite value: failed); ``series``, ``harness`` and ``host`` (whole numbers;
    a host is one benchmark in one environment of one machine), ``step`` (the place in ``steps``,
    which are of the rows' project, of the one that begins at this point; -1: none), and each
    dimension under "dim:" and its name. Of a point measured twice under one harness the newer
    measurement stays. Environments that came one after the other are no dimension but another
    harness of the same host.
    """
    rows = rows.sort_values("started_at", kind="stable", na_position="first")
    rows = rows.drop_duplicates([*SERIES, "commit_hash"], keep="last")
    low, high = median_intervals(_samples(rows["samples"]))
    ok = rows["status"].eq("ok") & np.isfinite(rows["value"].astype(float))
    turns = in_turn(rows)
    environment = () if turns else ("env_name",)
    table = pd.DataFrame(
        {
            "x": rows["commit_hash"].map({commit: place for place, commit in enumerate(commits)}),
            "value": rows["value"].where(ok),
            "low": np.where(ok, low, np.nan),
            "high": np.where(ok, high, np.nan),
            "status": rows["status"].where(ok | rows["status"].ne("ok"), "failed"),
            "series": _numbers(rows, SERIES),
            "harness": _numbers(rows, (*HARNESS, "env_name") if turns else HARNESS),
            "host": _numbers(rows, ("benchmark", "machine", *environment)),
            "step": _step_places(rows, steps),
        },
        index=rows.index,
    )
    dims = dimensions(rows)
    dims = dims.assign(**{ENVIRONMENT: ""}) if turns else dims
    table = pd.concat([table, dims.add_prefix("dim:")], axis=1)
    return table.sort_values("x", kind="stable").reset_index(drop=True)


def dims_of(table: pd.DataFrame) -> pd.DataFrame:
    """Return the dimensions of :func:`points` under their own names."""
    chosen = [name for name in table if str(name).startswith("dim:")]
    return table[chosen].rename(columns=lambda name: str(name).removeprefix("dim:"))


def series_names(table: pd.DataFrame) -> pd.Series:
    """Return a readable name for each series, by what varies; the index is the series' number."""
    first = table.drop_duplicates("series").set_index("series")
    dims = dims_of(first)
    return labels(dims, list(varying(dims)))


def breaks(table: pd.DataFrame) -> list[int]:
    """Return the places at which some host's harness changes."""
    begins = table.groupby(["host", "harness"])["x"].min()
    first = begins.groupby(level="host").transform("min")
    return sorted(set(begins[begins > first].astype(int)))


def _step_places(rows: pd.DataFrame, steps: Sequence[Step]) -> list[int]:
    places = {
        (step.benchmark, step.machine, step.env_name, step.case, step.fingerprint, step.commit): at
        for at, step in enumerate(steps)
    }
    keys = zip(*(rows[name].fillna("") for name in _STEP), strict=True)
    return [places.get(key, -1) for key in keys]


def _numbers(rows: pd.DataFrame, names: tuple[str, ...]) -> pd.Series:
    """Return a whole number a combination of the named columns, null being a value too."""
    return rows.groupby(list(names), dropna=False, sort=False).ngroup()


def _samples(column: pd.Series) -> list[ArrayLike | None]:
    """Return the samples, None where there are none (a reader may hand out NaN for null)."""
    return [None if sample is None or np.ndim(sample) == 0 else sample for sample in column]
