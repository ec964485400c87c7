"""Comparison of two sides case by case: rows equal in all but one column, and their ratios.

A ratio is B / A, so above 1 B takes longer or needs more. Cases that only one side has, or that
failed on one side, are listed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

import numpy as np
import pandas as pd

from sparsebench.analysis.dimensions import (
    ENVIRONMENT,
    MACHINE,
    constants,
    dimensions,
    labels,
    natural_ranks,
    varying,
)
from sparsebench.analysis.history import short_hash
from sparsebench.analysis.sides import Sides
from sparsebench.analysis.units import counted
from sparsebench.stats import Estimate, geometric_mean, ratio_of_medians

# Columns that two rows of a pair share: the first of these for which a partner exists.
_HOSTS: Final = (("machine", "env_name"), ("machine", "torch", "python"), ("machine",), ())
# Columns that should be equal on both sides; differences are reported.
_CONDITIONS: Final = {
    "machine": "machine",
    "torch": "torch",
    "python": "python",
    "commit_hash": "commit",
    "fingerprint": "harness",
}
_FLAGS: Final = {
    "throttle": "while the GPU was slowed down",
    "mismatch": "with other versions than declared",
}


@dataclass(frozen=True)
class ComparedBenchmark:
    """One benchmark with its pairs of cases.

    Attributes:
        pairs: one row per pair, sorted by dimension. Columns: the varying dimensions, ``case`` (a
            label), the values ``a`` and ``b``, ``ratio``, and its interval ``low`` and ``high``
            (NaN without one).
        dims: names of the varying dimensions.
        constants: what all pairs have in common on both sides, by name.
        mean: geometric mean of the ratios.
    """

    name: str
    unit: str | None
    direction: str
    dims: tuple[str, ...]
    constants: dict[str, str]
    pairs: pd.DataFrame
    mean: Estimate

    @property
    def exact(self) -> bool:
        """Whether values are compared exactly, so that ratios have no meaning."""
        return self.direction == "exact"

    @property
    def above(self) -> pd.Series:
        """Whether each pair's interval is above 1."""
        return self.pairs["low"] > 1

    @property
    def below(self) -> pd.Series:
        """Whether each pair's interval is below 1."""
        return self.pairs["high"] < 1

    @property
    def unclear(self) -> pd.Series:
        """Whether each pair's interval contains 1."""
        return (self.pairs["low"] <= 1) & (self.pairs["high"] >= 1)


@dataclass(frozen=True)
class Comparison:
    """The benchmarks of a comparison, and the cases without a partner or a value.

    Attributes:
        alone: per side the cases without a partner, as "benchmark: case".
        failed: per side the cases without a value, as "benchmark: case".
        differences: sentences on other differences between the sides.
    """

    sides: Sides
    groups: tuple[ComparedBenchmark, ...]
    alone: dict[str, list[str]]
    failed: dict[str, list[str]]
    differences: tuple[str, ...]


def compare(frame: pd.DataFrame, sides: Sides) -> Comparison:
    """Return the comparison of the rows of both sides.

    Args:
        frame: at most one row of each (project, machine, environment, benchmark, case), usually the
            newest; in the columns of the dataset's schema.
        sides: what to compare.

    Rows are partners when project, benchmark, unit and all other parameters are equal. Two
    implementations may be in different modules or classes: then class and method, or the method
    alone, must be equal. Between GPUs, rows of the CPU are left out. Of several possible partners
    the one in the same environment is used, then the one on the same machine; rows with an
    ambiguous partner have none.
    """
    if sides.by == "gpu":
        frame = frame[frame["device"].ne("cpu")]
    rows = frame.reset_index(drop=True)
    dims = dimensions(rows)
    rows["parameters"] = _parameter_keys(dims, sides.by)
    a, b = (rows[rows[sides.by] == name] for name in (sides.a, sides.b))
    partners = _partners(a, b, sides.by)
    alone = {
        sides.a: _lines(a[~a.index.isin(partners["a"])]),
        sides.b: _lines(b[~b.index.isin(partners["b"])]),
    }
    left, right = rows.loc[partners["a"]], rows.loc[partners["b"]]
    ok = _has_value(left).to_numpy() & _has_value(right).to_numpy()
    failed = {
        name: _lines(side[~_has_value(side)]) for name, side in ((sides.a, left), (sides.b, right))
    }
    groups = _groups(left[ok], right[ok], dims.drop(columns=sides.by, errors="ignore"))
    return Comparison(sides, groups, alone, failed, _differences(left[ok], right[ok], sides))


def _has_value(rows: pd.DataFrame) -> pd.Series:
    return rows["status"].eq("ok") & np.isfinite(rows["value"].astype(float))


def _parameter_keys(dims: pd.DataFrame, by: str) -> pd.Series:
    """Return a text per row of all parameters but ``by``, sorted by name."""
    names = sorted(map(str, dims.columns.difference([by, MACHINE, ENVIRONMENT])))
    present = dims[names].where(dims[names] == "", lambda values: values.columns + "=" + values)
    return present.agg(";".join, axis=1) if names else pd.Series("", index=dims.index)


def _partners(a: pd.DataFrame, b: pd.DataFrame, by: str) -> pd.DataFrame:
    """Return the row labels of partners in columns ``a`` and ``b``, the best matches first."""
    names = [_full_name, _class_and_method, _method] if by == "implementation" else [_full_name]
    matches = [pd.DataFrame({"a": [], "b": []}, dtype=int)]
    for name_of in names:
        for host in _HOSTS:
            columns = [
                "project",
                "unit",
                "parameters",
                *(column for column in host if column != by),
            ]
            pairs = _unique_matches(_keyed(a, name_of, columns), _keyed(b, name_of, columns))
            matches.append(pairs)
            a, b = a[~a.index.isin(pairs["a"])], b[~b.index.isin(pairs["b"])]
    return pd.concat(matches, ignore_index=True)


def _keyed(rows: pd.DataFrame, name_of: Callable[[str], str], columns: list[str]) -> pd.Series:
    """Return each row's key without keys that several rows share; the index is kept."""
    texts = rows[columns].astype(object).fillna("").astype(str)
    key = rows["benchmark"].map(name_of).astype(object)
    for column in columns:
        key = key + "\n" + texts[column]
    return key[~key.duplicated(keep=False)]


def _unique_matches(a: pd.Series, b: pd.Series) -> pd.DataFrame:
    left = pd.DataFrame({"key": a, "a": a.index})
    right = pd.DataFrame({"key": b, "b": b.index})
    return left.merge(right, on="key")[["a", "b"]]


def _full_name(benchmark: str) -> str:
    return benchmark


def _class_and_method(benchmark: str) -> str:
    return ".".join(benchmark.split(".")[-2:])


def _method(benchmark: str) -> str:
    return benchmark.rpartition(".")[2]


def _groups(
    left: pd.DataFrame, right: pd.DataFrame, dims: pd.DataFrame
) -> tuple[ComparedBenchmark, ...]:
    names = _group_names(left, right)
    return tuple(
        _group(str(name), left[members], right[members], dims)
        for name in names.unique()
        if (members := (names == name).to_numpy()).any()
    )


def _group_names(left: pd.DataFrame, right: pd.DataFrame) -> pd.Series:
    """Return the benchmark's name; if the sides differ, the end of the names that is equal."""
    both = zip(left["benchmark"], right["benchmark"], strict=True)
    return pd.Series([_shared_end(a.split("."), b.split(".")) for a, b in both], dtype=object)


def _shared_end(a: list[str], b: list[str]) -> str:
    pairs = zip(reversed(a), reversed(b), strict=False)
    shared = [part for part, _ in takewhile(lambda pair: pair[0] == pair[1], pairs)]
    return ".".join(reversed(shared))


def _group(
    name: str, left: pd.DataFrame, right: pd.DataFrame, dims: pd.DataFrame
) -> ComparedBenchmark:
    exact = left["direction"].iloc[0] == "exact"
    ratios = [
        _ratio(a, b) for (_, a), (_, b) in zip(left.iterrows(), right.iterrows(), strict=True)
    ]
    varied = dims.loc[left.index]
    names = tuple(varying(varied))
    varied = varied[list(names)].reset_index(drop=True)
    pairs = varied.assign(
        case=labels(varied, names),
        a=left["value"].to_numpy(),
        b=right["value"].to_numpy(),
        ratio=[ratio.value for ratio in ratios],
        low=[ratio.interval.low if ratio.interval else np.nan for ratio in ratios],
        high=[ratio.interval.high if ratio.interval else np.nan for ratio in ratios],
    )
    if names:
        order = natural_ranks(varied, names).sort_values(list(names)).index
        pairs = pairs.loc[order].reset_index(drop=True)
    return ComparedBenchmark(
        name=name,
        unit=None if pd.isna(left["unit"].iloc[0]) else str(left["unit"].iloc[0]),
        direction=str(left["direction"].iloc[0]),
        dims=names,
        constants=_constants(pd.concat([left, right]), dims),
        pairs=pairs,
        mean=ratios[0] if len(ratios) == 1 else geometric_mean([] if exact else pairs["ratio"]),
    )


def _constants(rows: pd.DataFrame, dims: pd.DataFrame) -> dict[str, str]:
    """Return what all rows of both sides have in common: dimensions, then torch and commit."""
    versions = pd.DataFrame(
        {"torch": rows["torch"], "commit": rows["commit_hash"].map(short_hash)}, dtype=object
    ).fillna("")
    return constants(dims.loc[rows.index]) | constants(versions)


def _ratio(a: pd.Series, b: pd.Series) -> Estimate:
    """Return B / A from the samples, or from the values if one side has no samples."""
    if np.ndim(a["samples"]) and np.ndim(b["samples"]):
        return ratio_of_medians(b["samples"], a["samples"])
    positive = a["value"] > 0 and b["value"] > 0
    return Estimate(b["value"] / a["value"] if positive else np.nan, None, 0, ("no samples",))


def _lines(rows: pd.DataFrame) -> list[str]:
    return [f"{name}: {case}" for name, case in zip(rows["benchmark"], rows["case"], strict=True)]


def _differences(left: pd.DataFrame, right: pd.DataFrame, sides: Sides) -> tuple[str, ...]:
    """Return sentences on what else differs between the sides and may be the cause."""
    notes = []
    for column, word in _CONDITIONS.items():
        a, b = (side[column].astype(object).fillna("unknown") for side in (left, right))
        differ = a.to_numpy() != b.to_numpy()
        if column != sides.by and (count := int(differ.sum())):
            names = [", ".join(_shown(column, side[differ])) for side in (a, b)]
            notes.append(f"{counted(count, 'pair')} with another {word}: {' against '.join(names)}")
    for column, text in _FLAGS.items():
        reasons = pd.concat([left[column], right[column]]).dropna()
        if count := int((reasons != "").sum()):
            shown = ", ".join(_shown(column, reasons[reasons != ""]))
            notes.append(f"{counted(count, 'value')} measured {text} ({shown})")
    return tuple(notes)


def _shown(column: str, values: pd.Series, most: int = 3) -> list[str]:
    texts = sorted(map(str, values.unique()))
    shown = [short_hash(text) if column == "commit_hash" else text for text in texts[:most]]
    return [*shown, f"{len(texts) - most} more"] if len(texts) > most else shown
