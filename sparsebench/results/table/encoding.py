"""Stored rows in memory: the columns of `SCHEMA`, each text once in a dictionary.

A history of millions of rows says the same few thousand texts again and again. Kept as numbers into
a dictionary, as Parquet has them, they are read, filtered and merged in a fraction of the time and
memory; who wants them plain casts what is left.
"""

import json
from typing import Final

import pyarrow as pa

from sparsebench.results.table.schema import SCHEMA

TEXT: Final = [field.name for field in SCHEMA if pa.types.is_string(field.type)]
_CODES: Final = pa.dictionary(pa.int32(), pa.string())
ENCODED: Final = pa.schema(
    [field.with_type(_CODES) if field.name in TEXT else field for field in SCHEMA]
)


def encoded(table: pa.Table) -> pa.Table:
    """The columns of ``table`` as in `ENCODED`, those of an older version brought to today's."""
    fields = [ENCODED.field(name) for name in table.column_names]
    columns = [_column(table[field.name], field) for field in fields]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def _column(column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    if pa.types.is_map(column.type):  # version 1: today the text of a JSON object
        texts = [None if pairs is None else json.dumps(dict(pairs)) for pairs in column.to_pylist()]
        column = pa.chunked_array([pa.array(texts, pa.string())])
    if field.name in TEXT and not pa.types.is_dictionary(column.type):
        column = column.cast(pa.string()).dictionary_encode()
    return column.cast(field.type)
