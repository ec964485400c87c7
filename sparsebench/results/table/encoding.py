"""Dictionary encoding of text columns.

A history of millions of rows repeats a few thousand texts. As indices into a dictionary, which is
how Parquet stores them, they are read, filtered and merged in a fraction of the time and memory.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from sparsebench.results.table.schema import SCHEMA

TEXT_COLUMNS: Final = [field.name for field in SCHEMA if pa.types.is_string(field.type)]
_CODES: Final = pa.dictionary(pa.int32(), pa.string())
ENCODED_SCHEMA: Final = pa.schema(
    [field.with_type(_CODES) if field.name in TEXT_COLUMNS else field for field in SCHEMA]
)


def encode_table(table: pa.Table) -> pa.Table:
    """Return ``table`` with columns as in `ENCODED_SCHEMA`, converted from older versions."""
    fields = [ENCODED_SCHEMA.field(name) for name in table.column_names]
    columns = [_encode_column(table[field.name], field) for field in fields]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def _encode_column(column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    if pa.types.is_map(column.type):  # version 1; since then the text of a JSON object
        texts = [None if pairs is None else json.dumps(dict(pairs)) for pairs in column.to_pylist()]
        column = pa.chunked_array([pa.array(texts, pa.string())])
    if field.name in TEXT_COLUMNS and not pa.types.is_dictionary(column.type):
        column = column.cast(pa.string()).dictionary_encode()
    return column.cast(field.type)


def take_column(values: Sequence[Any], indices: np.ndarray, name: str) -> pa.Array:
    """Return ``values[indices]`` as the column ``name`` of `SCHEMA`; text as a dictionary."""
    kind = SCHEMA.field(name).type
    if pa.types.is_string(kind):
        return take_texts(values, pa.array(indices))
    return pa.array(values, kind).take(pa.array(indices))


def take_texts(texts: Sequence[str | None], indices: pa.Array) -> pa.Array:
    """Return ``texts[indices]`` as a dictionary that holds each text once."""
    encoded = pa.array(texts, pa.string()).dictionary_encode()
    return pa.DictionaryArray.from_arrays(encoded.indices.take(indices), encoded.dictionary)
