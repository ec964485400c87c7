"""The two sides of a comparison: a column of the dataset and two of its values."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import pandas as pd

from sparsebench.analysis.dimensions import natural_order
from sparsebench.errors import SparsebenchError, unknown_name
from sparsebench.results.reader import VERSIONED

# Columns of the dataset that can be compared, the most likely first.
COMPARABLE: Final = (
    "device",
    "machine",
    "implementation",
    "torch",
    "gpu",
    "python",
    "dtype",
    "weights",
    "env_name",
)


@dataclass(frozen=True)
class Sides:
    """Rows with ``a`` in column ``by`` against rows with ``b``; ``a`` is the base."""

    by: str
    a: str
    b: str


def choose_sides(frame: pd.DataFrame, names: tuple[str, ...], by: str | None) -> Sides:
    """Return the two sides that ``names`` (none, or two) and ``by`` ask for.

    Without ``by`` it is the column that holds both names; without names, ``by`` (or device) must
    have exactly two values. A version may lack its last parts: 2.13 is "2.13.0+cpu", if no other
    version begins so.

    Raises:
        SparsebenchError: the names do not exist or are ambiguous; the message lists what can be
            compared.
    """
    if not names:
        return _only_two(frame, by or "device")
    if len(names) != 2 or names[0] == names[1]:
        got = " ".join(names)
        raise SparsebenchError(f"devices: must be given two different names, or none, got {got}")
    by = by or _column_with(frame, names)
    return Sides(by, *_checked(frame, names, by))


def with_known_builds(frame: pd.DataFrame) -> pd.DataFrame:
    """Return ``frame`` with torch "2.13.0" as "2.13.0+cpu", where no other build of it is there.

    asv declares versions, recorded ones have the build: without this, rows from before and after
    recording would be compared as two versions.
    """
    values = values_of(frame, "torch")
    builds = {value: [v for v in values if v.startswith(f"{value}+")] for value in values}
    known = {value: found[0] for value, found in builds.items() if len(found) == 1}
    return frame.assign(torch=frame["torch"].astype(object).replace(known)) if known else frame


def values_of(frame: pd.DataFrame, column: str) -> list[str]:
    """Return the different values of a column without null, in natural order."""
    return natural_order(frame[column].dropna().unique())


def _only_two(frame: pd.DataFrame, by: str) -> Sides:
    values = values_of(frame, by)
    if len(values) == 2:
        return Sides(by, *values)
    if len(values) > 2:
        raise SparsebenchError(
            f"--by {by}: must name two of {', '.join(values)}; "
            f"for example `sparsebench devices {' '.join(map(_quoted, values[:2]))}`"
        )
    have = f"only {values[0]}" if values else "none"
    raise SparsebenchError(
        f"--by {by}: needs two to compare, the results hold {have}; "
        f"measure and ingest another, or {_alternatives(frame, by)}"
    )


def _alternatives(frame: pd.DataFrame, by: str | None = None) -> str:
    """Return the commands of the comparisons that are possible, as one sentence."""
    commands = [
        f"`sparsebench devices --by {other} {' '.join(map(_quoted, values[:2]))}`"
        for other in COMPARABLE
        if other != by and len(values := values_of(frame, other)) > 1
    ]
    if not commands:
        return "run the suite on a second machine: no column has two values yet"
    return f"compare instead: {', '.join(commands)}"


def _column_with(frame: pd.DataFrame, names: tuple[str, ...]) -> str:
    """Return the one column that holds both names."""
    values_by_column = {column: set(values_of(frame, column)) for column in COMPARABLE}
    both = [
        column
        for column, values in values_by_column.items()
        if all(_named(column, name, values) for name in names)
    ]
    if len(both) == 1:
        return both[0]
    if both:
        raise SparsebenchError(f"{names[0]}, {names[1]}: found in {', '.join(both)}; give --by")
    for name in names:
        if not any(_named(column, name, v) for column, v in values_by_column.items()):
            names_known = set().union(
                *(values_by_column[column] for column in COMPARABLE if column != "env_name")
            )
            unknown = unknown_name("side", name, names_known)
            raise SparsebenchError(f"{unknown}; {_alternatives(frame)}")
    where = " and ".join(
        f"{name} (of {next(c for c in COMPARABLE if _named(c, name, values_by_column[c]))})"
        for name in names
    )
    raise SparsebenchError(f"devices: both sides must be of one kind, got {where}")


def _checked(frame: pd.DataFrame, names: tuple[str, ...], by: str) -> tuple[str, str]:
    known = values_of(frame, by)
    found = [_named(by, name, known) for name in names]
    for name, values in zip(names, found, strict=True):
        if not values:
            raise SparsebenchError(unknown_name(by, name, known))
        if len(values) > 1:
            raise SparsebenchError(f"{name}: must be one of {', '.join(values)}")
    return found[0][0], found[1][0]


def _named(by: str, name: str, values: Iterable[str]) -> list[str]:
    """Return the values that a name means: that value, or versions that begin with it."""
    values = list(values)
    if name in values or by not in VERSIONED:
        return [value for value in values if value == name]
    return [value for value in values if value.startswith((f"{name}.", f"{name}+"))]


def _quoted(name: str) -> str:
    return f"'{name}'" if " " in name else name
