"""Columns that are kept once and spread over the rows by an index; parameter combinations."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from sparsebench.results.asv.result_files import Measured
from sparsebench.results.table.parameters import Case, Grid, describe
from sparsebench.results.table.schema import GRID, SCHEMA


class Cases:
    """Every parameter combination once, and its columns."""

    def __init__(self) -> None:
        self._places: dict[Any, int] = {}
        self._params: list[list[str] | None] = []
        self._cases: list[Case] = []

    def place(self, names: tuple[str, ...], measured: Measured) -> int:
        """Where the combinations of ``measured`` begin; they follow in their own order."""
        key = (names, measured.params, measured.problem is None)
        if key not in self._places:
            self._places[key] = len(self._params)
            if measured.problem:
                self._params.append(None)
                self._cases.append(Case("", Grid()))
            else:
                combinations = list(itertools.product(*measured.params))
                self._params.extend(map(list, combinations))
                self._cases.extend(describe(names, values) for values in combinations)
        return self._places[key]

    def columns(self, places: np.ndarray) -> dict[str, pa.Array]:
        """The columns of rows that are these combinations."""
        names = [field.name for field in GRID]
        grid = {n: spread([getattr(c.grid, n) for c in self._cases], places, n) for n in names}
        return {
            "params": spread(self._params, places, "params"),
            "case": spread([case.text for case in self._cases], places, "case"),
            **grid,
        }


def spread(values: Sequence[Any], index: np.ndarray, name: str) -> pa.Array:
    """``values[index]`` as the column ``name`` of `SCHEMA`; text as a dictionary."""
    array = pa.array(values, SCHEMA.field(name).type)
    if not pa.types.is_string(array.type):
        return array.take(pa.array(index))
    return coded(values, pa.array(index))


def coded(texts: Sequence[str | None], codes: pa.Array) -> pa.Array:
    """``texts[codes]`` as a dictionary, each text once in it."""
    encoded = pa.array(texts, pa.string()).dictionary_encode()
    return pa.DictionaryArray.from_arrays(encoded.indices.take(codes), encoded.dictionary)
