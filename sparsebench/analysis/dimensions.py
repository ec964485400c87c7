"""The dimensions that rows differ in: machine, environment, every parameter; as printed words."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import pandas as pd

MACHINE: Final = "machine"
ENVIRONMENT: Final = "environment"
_HOST_COLUMNS: Final = {"machine": MACHINE, "env_name": ENVIRONMENT}
_NUMBER: Final = re.compile(r"(\d+\.?\d*(?:e[+-]?\d+)?|\.\d+)")

_PAIRS: Final = re.compile(r"\w+=[^,=]*(,\s*\w+=[^,=]*)*")  # how our own suite names its cases


def dimensions(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one text column a dimension, on the frame's index; "" where a row lacks a parameter.

    Parameters keep their names and lose the quotes of their reprs; a value that joins several
    ("shape=128x128,level=0.3") becomes a dimension each. One that is called like a column of ours
    becomes "machine (parameter)", so that it cannot hide it.
    """
    distinct = frame[["benchmark", "case", "param_names", "params"]].drop_duplicates(
        ["benchmark", "case"]
    )
    parsed = [
        parameters(names, values)
        for names, values in zip(distinct["param_names"], distinct["params"], strict=True)
    ]
    keys = pd.MultiIndex.from_frame(distinct[["benchmark", "case"]])
    table = pd.DataFrame(parsed, index=keys).astype(object).fillna("")
    rows = keys.get_indexer(pd.MultiIndex.from_frame(frame[["benchmark", "case"]]))
    spread = table.iloc[rows].set_axis(frame.index, axis=0)
    hosts = frame[list(_HOST_COLUMNS)].astype(object).fillna("").rename(columns=_HOST_COLUMNS)
    return pd.concat([hosts, spread], axis=1)


def parameters(names: Iterable[str] | None, values: Iterable[str] | None) -> dict[str, str]:
    """Return one case's parameters as words; a value that joins several becomes one entry each."""
    if names is None or values is None:
        return {}
    found: dict[str, str] = {}
    for name, value in zip(names, values, strict=False):
        found |= _joined(_unquoted(value)) or {_safe_name(name): _unquoted(value)}
    return found


def varying(dims: pd.DataFrame) -> dict[str, list[str]]:
    """Return the dimensions with two values or more, each with its values in natural order."""
    found = {str(name): natural_order(dims[name].unique()) for name in dims}
    return {name: values for name, values in found.items() if len(values) > 1}


def constants(dims: pd.DataFrame) -> dict[str, str]:
    """Return the dimensions that have one value only, and that value."""
    found = {str(name): dims[name].unique() for name in dims}
    return {
        name: str(values[0]) for name, values in found.items() if len(values) == 1 and values[0]
    }


def natural_order(values: Iterable[object]) -> list[str]:
    """Return the words sorted as a person would: 2 before 10, 1x8 before 4x1, numbers first."""
    return sorted(map(str, values), key=_natural_key)


def natural_ranks(dims: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return the place of each value in its dimension's natural order, to sort rows by."""
    ranks = {
        name: dims[name].map(
            {v: place for place, v in enumerate(natural_order(dims[name].unique()))}
        )
        for name in names
    }
    return pd.DataFrame(ranks, index=dims.index)


def labels(dims: pd.DataFrame, names: Sequence[str]) -> pd.Series:
    """Return one readable label a row: "level .3 · random"; "" for no names."""
    if not names:
        return pd.Series("", index=dims.index, dtype=object)
    rows = dims.groupby(list(names), sort=False)  # words are made once for each combination
    distinct = dims.loc[rows.head(1).index, list(names)]
    words = [
        " · ".join(word_for(name, value) for name, value in zip(names, row, strict=True))
        for row in distinct.itertuples(index=False, name=None)
    ]
    return pd.Series(np.array(words, dtype=object)[rows.ngroup()], index=dims.index, dtype=object)


def word_for(name: str, value: str) -> str:
    """Return "random" for a value that explains itself, "level .3" for one that needs its name."""
    explains_itself = value[:1].isalpha() and value not in {"None", "True", "False", "all"}
    return value if explains_itself else f"{name} {value or '-'}"


def _joined(text: str) -> dict[str, str]:
    """Return the parameters of a value like "shape=128x128,level=0.3"; none where it is no such."""
    if not _PAIRS.fullmatch(text):
        return {}
    pairs = (pair.split("=") for pair in text.split(","))
    return {_safe_name(name.strip()): value for name, value in pairs}


def _safe_name(name: str) -> str:
    return f"{name} (parameter)" if name in {MACHINE, ENVIRONMENT} else name


def _unquoted(text: str) -> str:
    """Return what stands between the quotes of a string's repr; other reprs as they are."""
    quoted = len(text) >= 2 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1] if quoted else text


def _natural_key(text: str) -> tuple[tuple[int, float, str], ...]:
    parts = [part for part in _NUMBER.split(text) if part]
    return tuple(
        (0, float(part), "") if _NUMBER.fullmatch(part) else (1, 0.0, part) for part in parts
    )
