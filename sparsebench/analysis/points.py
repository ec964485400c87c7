"""A benchmark's history as points: one value of one case at one commit, with its interval.

`benchmark_groups` says which benchmarks share a history, `benchmark_history` returns it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from sparsebench.analysis.dimensions import (
    ENVIRONMENT,
    dimensions,
    labels,
    natural_order,
    varying,
)
from sparsebench.analysis.environments import are_successive
from sparsebench.analysis.history import Step
from sparsebench.stats import median_intervals

# A line joins values of one harness only: a change of it would look like a regression.
HARNESS: Final = ("fingerprint", "benchmark_version")
SERIES: Final = ("benchmark", "machine", "env_name", "case", *HARNESS)
_STEP: Final = ("benchmark", "machine", "env_name", "case", "fingerprint", "commit_hash")


@dataclass(frozen=True, eq=False)
class BenchmarkHistory:
    """The points of one benchmark, and of its other implementations, over the commits.

    Attributes:
        name: the title that a figure of it has.
        unit: of the values; None where none is known.
        direction: "lower", "higher" or "exact".
        commits: hashes of the commits with a row, oldest first.
        dates: the commits' dates, one per row.
        steps: the steps of the rows' project, most important first.
        points: one row per point, sorted by ``x``. Columns:
            x: index into ``commits``;
            value: NaN unless the status is ok;
            low, high: interval of the median; NaN with fewer than six samples;
            status: "failed" also for an infinite value;
            series: number of the line that the point belongs to;
            case: number of the case on its host, whatever the harness;
            host: number of the (benchmark, machine, environment);
            harness: number of what a line may not cross (fingerprint, version of the benchmark);
            step: index into ``steps`` of the step that begins here; -1: none.
        dims: the dimensions of each point as texts, on the index of ``points``.
    """

    name: str
    unit: str | None
    direction: str
    commits: list[str]
    dates: pd.Series
    steps: tuple[Step, ...]
    points: pd.DataFrame
    dims: pd.DataFrame

    @property
    def is_exact(self) -> bool:
        """Whether values are compared for equality only."""
        return self.direction == "exact"

    @property
    def cases(self) -> int:
        """Return how many cases ran, each host's counted."""
        return self.points.loc[self.points["status"] != "skipped", "case"].nunique()

    def dims_of(self, points: pd.DataFrame) -> pd.DataFrame:
        """Return the dimensions of some of the points."""
        return self.dims.loc[points.index]

    def series_labels(self) -> pd.Series:
        """Return a readable label per series, of the dimensions that vary; indexed by series."""
        first = self.points.drop_duplicates("series")
        dims = self.dims_of(first).set_axis(pd.Index(first["series"]), axis=0)
        return labels(dims, list(varying(dims)))

    def harness_changes(self) -> list[int]:
        """Return the indices of the commits at which some host's harness changes."""
        begins = self.points.groupby(["host", "harness"])["x"].min()
        first = begins.groupby(level="host").transform("min")
        return sorted(set(begins[begins > first].astype(int)))

    def as_table(self, points: pd.DataFrame) -> pd.DataFrame:
        """Return some of the points for other programs: full hashes, one column per dimension."""
        commits = np.array(self.commits, dtype=object)[points["x"].to_numpy(dtype=int)]
        columns = points[["value", "low", "high", "status"]].assign(unit=self.unit)
        commit = pd.DataFrame({"commit": commits}, index=points.index)
        return pd.concat([commit, self.dims_of(points), columns], axis=1)


def benchmark_history(
    name: str, rows: pd.DataFrame, commits: Sequence[str], steps: Sequence[Step] = ()
) -> BenchmarkHistory:
    """Return the history of the rows of one figure.

    Args:
        name: the figure's title.
        rows: of the dataset. If a point was measured twice with one harness, the newer is taken.
            Environments that replaced each other are one host with two harnesses and make no
            dimension.
        commits: the project's, oldest first; those without a row are left out.
        steps: of the rows' project, most important first.
    """
    present = set(rows["commit_hash"])
    commits = [commit for commit in commits if commit in present]
    units, directions = rows["unit"].dropna(), rows["direction"].dropna()
    dates = rows["commit_date"]
    rows = rows.sort_values("started_at", kind="stable", na_position="first")
    rows = rows.drop_duplicates([*SERIES, "commit_hash"], keep="last").reset_index(drop=True)
    successive = are_successive(rows)
    dims = dimensions(rows)
    if successive:
        dims = dims.assign(**{ENVIRONMENT: ""})
    x = rows["commit_hash"].map({commit: index for index, commit in enumerate(commits)})
    points = _points(rows.assign(x=x), dims, steps, successive=successive)
    by_commit = np.argsort(x.to_numpy(), kind="stable")
    return BenchmarkHistory(
        name=name,
        unit=str(units.iloc[-1]) if len(units) else None,
        direction=str(directions.iloc[-1]) if len(directions) else "lower",
        commits=commits,
        dates=dates,
        steps=tuple(steps),
        points=points.iloc[by_commit].reset_index(drop=True),
        dims=dims.iloc[by_commit].reset_index(drop=True),
    )


def benchmark_groups(sizes: pd.DataFrame) -> dict[str, list[str]]:
    """Return the benchmarks that share a history, by its name, in natural order.

    Benchmarks share one if class, method and unit are the same and each has one implementation:
    one is the reference of the other. The one with the most rows gives the name.

    Args:
        sizes: ``rows`` of each (benchmark, implementation, unit), of one project.
    """
    rows = sizes.groupby("benchmark", observed=True)["rows"].sum()
    names = natural_order(rows.index)
    groups: dict[tuple[str, ...], list[str]] = {}
    for name in sorted(names):
        own = sizes[sizes["benchmark"] == name]
        _module, *class_and_method = name.rsplit(".", 2)
        implementations = own["implementation"].unique()
        has_one = len(implementations) == 1 and pd.notna(implementations[0])
        key: tuple[str, ...] = (name,)
        if has_one and len(class_and_method) == 2:
            key = ("implementations of", *class_and_method, str(own["unit"].iloc[0]))
        groups.setdefault(key, []).append(name)
    by_name = {max(members, key=rows.__getitem__): members for members in groups.values()}
    return {name: by_name[name] for name in names if name in by_name}


def rows_by_group(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the rows of one project per group of `benchmark_groups`, by its name."""
    columns = ["benchmark", "implementation", "unit"]
    sizes = frame.groupby(columns, dropna=False, sort=False).size().reset_index(name="rows")
    groups = benchmark_groups(sizes)
    return {name: frame[frame["benchmark"].isin(members)] for name, members in groups.items()}


def _points(
    rows: pd.DataFrame, dims: pd.DataFrame, steps: Sequence[Step], *, successive: bool
) -> pd.DataFrame:
    """Return the points as `BenchmarkHistory` has them, in the order of ``rows``."""
    # A reader may hand out NaN for null samples.
    samples = [sample if np.ndim(sample) else None for sample in rows["samples"]]
    low, high = median_intervals(samples)
    is_ok = rows["status"].eq("ok") & np.isfinite(rows["value"].astype(float))
    index_of_step = {
        (step.benchmark, step.machine, step.env_name, step.case, step.fingerprint, step.commit): at
        for at, step in enumerate(steps)
    }
    keys = zip(*(rows[name].fillna("") for name in _STEP), strict=True)
    host = _numbers(rows, ["benchmark", "machine", *([] if successive else ["env_name"])])
    return pd.DataFrame(
        {
            "x": rows["x"],
            "value": rows["value"].where(is_ok),
            "low": np.where(is_ok, low, np.nan),
            "high": np.where(is_ok, high, np.nan),
            "status": rows["status"].where(is_ok | rows["status"].ne("ok"), "failed"),
            "series": _numbers(rows, SERIES),
            "case": _numbers(rows, [host, *(dims[name] for name in dims)]),
            "host": host,
            "harness": _numbers(rows, [*HARNESS, *(["env_name"] if successive else [])]),
            "step": [index_of_step.get(key, -1) for key in keys],
        }
    )


def _numbers(rows: pd.DataFrame, keys: Sequence[str | pd.Series]) -> pd.Series:
    """Return a number per combination of the keys; null is a value of its own."""
    return rows.groupby(list(keys), dropna=False, sort=False).ngroup()
