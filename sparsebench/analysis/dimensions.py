"""Dimensions of rows (machine, environment, every parameter) as the texts that are printed."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import pandas as pd

MACHINE: Final = "machine"
ENVIRONMENT: Final = "environment"
_HOST_COLUMNS: Final = {"machine": MACHINE, "env_name": ENVIRONMENT}
_NUMBER: Final = re.compile(r"(\d+\.?\d*(?:e[+-]?\d+)?|\.\d+)")
_PAIRS: Final = re.compile(r"\w+=[^,=]*(,\s*\w+=[^,=]*)*")  # "shape=8x8,level=0.3", our suite's


def dimensions(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one text column per dimension, on the frame's index; "" where a row lacks a parameter.

    Parameters keep their names and lose the quotes of their reprs. A value that joins several
    parameters ("shape=128x128,level=0.3") becomes one dimension per parameter. A parameter that is
    called "machine" becomes "machine (parameter)", so that it does not hide the dataset's column.
    """
    cases = frame[["benchmark", "case", "param_names", "params"]].drop_duplicates(
        ["benchmark", "case"]
    )
    parsed = [
        parameters(names, values)
        for names, values in zip(cases["param_names"], cases["params"], strict=True)
    ]
    keys = pd.MultiIndex.from_frame(cases[["benchmark", "case"]])
    table = pd.DataFrame(parsed, index=keys).astype(object).fillna("")
    positions = keys.get_indexer(pd.MultiIndex.from_frame(frame[["benchmark", "case"]]))
    hosts = frame[list(_HOST_COLUMNS)].astype(object).fillna("").rename(columns=_HOST_COLUMNS)
    return pd.concat([hosts, table.iloc[positions].set_axis(frame.index, axis=0)], axis=1)


def parameters(names: Iterable[str] | None, values: Iterable[str] | None) -> dict[str, str]:
    """Return one case's parameters as texts; a value that joins several gives one entry each.

    Example:
        >>> parameters(["case", "n"], ["'shape=8x8, level=0.5'", "3"])
        {'shape': '8x8', 'level': '0.5', 'n': '3'}
    """
    if names is None or values is None:
        return {}
    pairs: dict[str, str] = {}
    for name, value in zip(names, values, strict=False):
        is_quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "'\""
        text = value[1:-1] if is_quoted else value
        if _PAIRS.fullmatch(text):
            joined = (pair.split("=") for pair in text.split(","))
            pairs |= {_safe_name(own.strip()): part for own, part in joined}
        else:
            pairs[_safe_name(name)] = text
    return pairs


def varying(dims: pd.DataFrame) -> dict[str, list[str]]:
    """Return the dimensions with two values or more, each with its values in natural order."""
    values = {str(name): natural_order(dims[name].unique()) for name in dims}
    return {name: own for name, own in values.items() if len(own) > 1}


def constants(dims: pd.DataFrame) -> dict[str, str]:
    """Return the dimensions with a single value that is not "", and that value."""
    values = {str(name): dims[name].unique() for name in dims}
    return {name: str(own[0]) for name, own in values.items() if len(own) == 1 and own[0]}


def natural_order(values: Iterable[object]) -> list[str]:
    """Return the texts sorted with their numbers by value, numbers before letters.

    Example:
        >>> natural_order(["all", "10", "2", "4x1", "1x8"])
        ['1x8', '2', '4x1', '10', 'all']
    """
    return sorted(map(str, values), key=_natural_key)


def natural_ranks(dims: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return each value's rank in the natural order of its dimension, to sort rows by."""
    ranks = {}
    for name in names:
        order = natural_order(dims[name].unique())
        ranks[name] = dims[name].map({value: rank for rank, value in enumerate(order)})
    return pd.DataFrame(ranks, index=dims.index)


def labels(dims: pd.DataFrame, names: Sequence[str]) -> pd.Series:
    """Return one readable label per row: "level .3 · random"; "" for no names."""
    if not names:
        return pd.Series("", index=dims.index, dtype=object)
    rows = dims.groupby(list(names), sort=False)  # each combination's label is made once
    distinct = dims.loc[rows.head(1).index, list(names)]
    texts = [
        " · ".join(value_label(name, value) for name, value in zip(names, row, strict=True))
        for row in distinct.itertuples(index=False, name=None)
    ]
    return pd.Series(np.array(texts, dtype=object)[rows.ngroup()], index=dims.index, dtype=object)


def value_label(name: str, value: str) -> str:
    """Return "random" for a value that explains itself, "level .3" for one that needs its name."""
    explains_itself = value[:1].isalpha() and value not in {"None", "True", "False", "all"}
    return value if explains_itself else f"{name} {value or '-'}"


def _safe_name(name: str) -> str:
    return f"{name} (parameter)" if name in {MACHINE, ENVIRONMENT} else name


def _natural_key(text: str) -> tuple[tuple[int, float, str], ...]:
    parts = [part for part in _NUMBER.split(text) if part]
    return tuple(
        (0, float(part), "") if _NUMBER.fullmatch(part) else (1, 0.0, part) for part in parts
    )
