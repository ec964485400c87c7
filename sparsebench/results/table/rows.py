"""Parsed result files as Arrow tables of the schema: one row per parameter combination.

Columns are built for many files at once. What is the same in a file, or in each file's results of a
benchmark, is stored once and taken by index for the rows. Only what differs from row to row goes
through Python lists (`measurement.value_columns`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sparsebench.results.asv.context import BenchmarkSettings, Context
from sparsebench.results.asv.result_files import BenchmarkResult, ResultFile
from sparsebench.results.table import measurement
from sparsebench.results.table.encoding import take_column, take_texts
from sparsebench.results.table.parameters import Combinations
from sparsebench.results.table.schema import GRID, SCHEMA

# Raised when the same asv file would give other rows, so that the next ingest stores them again.
ROWS_VERSION: Final = 2

_BENCHMARK_COLUMNS: Final = ("benchmark", "param_names", "type", "unit", "direction")
_BLOCK_COLUMNS: Final = ("benchmark_version", "started_at", "duration")
_ROW_COLUMNS: Final = (
    *(*measurement.VALUE_COLUMNS, "error", "digest", "fingerprint"),
    *("params", "case", *(field.name for field in GRID)),
)
_FILE_COLUMNS: Final = tuple(
    name
    for name in SCHEMA.names
    if name not in (*_BENCHMARK_COLUMNS, *_BLOCK_COLUMNS, *_ROW_COLUMNS)
)


@dataclass(frozen=True)
class _Variant:
    """A benchmark with one list of parameters: what is the same in each file that holds it."""

    columns: dict[str, Any]
    combination: int  # index of the first one in `Combinations`
    family: tuple[str, Any]  # class and parameters; its benchmarks share a tracked digest
    settings: BenchmarkSettings
    is_digest: bool


# The rows of one benchmark of one file: the indices of its variant, file and first row, and the
# number of rows. Bare tuples, for a fleet's history makes half a million of them.
_Block = tuple[int, int, int, int]


class RowBuilder:
    """Collects result files; `tables` returns their rows, one table per project and machine.

    Args:
        context: what is beside all of the files.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._files: list[dict[str, Any]] = []
        self._variants: list[_Variant] = []
        self._variant_indices: dict[Any, int] = {}
        self._blocks: list[_Block] = []
        self._block_columns: list[tuple[str | None, int | None, float | None]] = []
        self._row_columns: list[dict[str, pa.Array]] = []  # per file
        self._size = 0
        self._combinations = Combinations()
        self._errors: dict[int, str] = {}  # by row, if it is not the one that the status means
        self._digests: dict[int, list[str | None]] = {}  # by a block's first row

    def add(self, file: ResultFile, columns: Sequence[dict[str, Any]]) -> int:
        """Add the rows of ``file`` and return their number.

        Args:
            file: a parsed result file.
            columns: of each of its benchmarks, see `columns_of_benchmarks`; of a file without
                benchmarks one.
        """
        row = self._size
        indices: dict[int, int] = {}  # of equal columns among the files', by identity
        blocks: list[_Block] = []
        variants, null_status, errors = [], [], {}
        for result, own in zip(file.benchmarks, columns, strict=False):
            columns_index = indices.setdefault(id(own), len(self._files) + len(indices))
            index = self._variant_index(result)
            variant = self._variants[index]
            late = measurement.timed_out(result, variant.settings)
            null_status.append(measurement.TIMEOUT if late else measurement.FAILED)
            variants.append(variant)
            blocks.append((index, columns_index, row, len(result.values)))
            if problem := result.problem or (result.recorded and result.recorded.error):
                errors[row] = problem
            row += len(result.values)
        values = measurement.value_columns(file.benchmarks, null_status)
        errors |= {self._size + index: error for index, error in values.errors.items()}
        digests = _digests(file.benchmarks, variants, self._size)
        # Only now, so that a file for which the memory is too small adds nothing.
        self._files += {id(own): own for own in columns}.values()
        self._row_columns.append(values.arrays)
        self._blocks += blocks
        self._block_columns += [(r.version, r.started_at, r.duration) for r in file.benchmarks]
        self._errors |= errors
        self._digests |= digests
        count, self._size = row - self._size, row
        return count

    def tables(self) -> Iterator[tuple[tuple[str, str], pa.Table]]:
        """Yield (project, machine) and its rows.

        Rows are sorted by benchmark and commit date, then as in asv. Columns are those of `SCHEMA`,
        text as dictionaries.
        """
        if not self._files:
            return
        rows = {
            name: pa.concat_arrays([columns[name] for columns in self._row_columns])
            for name in measurement.VALUE_COLUMNS
        }
        blocks = np.array(self._blocks, dtype=np.int64).reshape(-1, 4)
        names = np.array([v.columns["benchmark"] for v in self._variants], dtype=object)
        rank = np.unique(names, return_inverse=True)[1]
        dates = np.array([columns["commit_date"] or 0 for columns in self._files])
        owners = [(columns["project"], columns["machine"]) for columns in self._files]
        for owner in dict.fromkeys(owners):
            owned = np.array([other == owner for other in owners])
            chosen = np.flatnonzero(owned[blocks[:, 1]])
            variant, file, _, _ = blocks[chosen].T
            yield owner, self._table(chosen[np.lexsort((dates[file], rank[variant]))], blocks, rows)

    def _table(
        self, chosen: np.ndarray, blocks: np.ndarray, rows: Mapping[str, pa.Array]
    ) -> pa.Table:
        """Return the rows of the ``chosen`` blocks, in their order."""
        blocks = blocks[chosen]
        sizes = blocks[:, 3]
        within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        block = np.repeat(np.arange(len(blocks)), sizes)
        variant, file, start, _ = blocks[block].T
        row = pa.array(start + within)
        starts = np.array([each.combination for each in self._variants], dtype=np.int64)
        taken = {name: array.take(row) for name, array in rows.items()}
        of_blocks = [self._block_columns[index] for index in chosen]
        columns: dict[str, pa.Array] = {
            **{n: take_column([f[n] for f in self._files], file, n) for n in _FILE_COLUMNS},
            **{
                name: take_column([each.columns[name] for each in self._variants], variant, name)
                for name in _BENCHMARK_COLUMNS
            },
            **{
                name: take_column([values[index] for values in of_blocks], block, name)
                for index, name in enumerate(_BLOCK_COLUMNS)
            },
            **self._combinations.columns(starts[variant] + within),
            **taken,
            "status": take_texts(measurement.STATUSES, taken["status"]),
            "error": self._error_column(row, taken["status"]),
            "digest": self._digest_column(blocks),
            "fingerprint": measurement.fingerprint_column(
                [each.settings for each in self._variants],
                [file_columns["asv_runner"] for file_columns in self._files],
                taken["number"],
                taken["repeat"],
                variant,
                file,
            ),
        }
        rocm = np.array([bool(each.get("is_rocm")) for each in self._files])[file]
        if rocm.any():  # its devices are called cuda, too
            texts = columns["device"].cast(pa.string())
            is_rocm = pc.and_kleene(pa.array(rocm), pc.equal(texts, "cuda"))
            columns["device"] = pc.if_else(is_rocm, "rocm", texts).dictionary_encode()
        return pa.table({name: columns[name] for name in SCHEMA.names})

    def _variant_index(self, result: BenchmarkResult) -> int:
        recorded = result.recorded
        how = None if recorded is None else (recorded.unit, recorded.settings)
        key = result.name, result.params, result.problem is None, how
        index = self._variant_indices.get(key)
        if index is not None:
            return index
        settings = self._context.benchmarks.get(result.name, BenchmarkSettings())
        if recorded is not None:
            settings = BenchmarkSettings(
                type=recorded.type,
                unit=recorded.unit,
                param_names=recorded.param_names,
                timing=recorded.settings,
            )
        listed = len(settings.param_names) == len(result.params)
        names = settings.param_names if listed else ()
        kind, unit = measurement.type_and_unit(result.name, settings)
        columns = {
            "benchmark": result.name,
            "param_names": list(names) if names or not result.params else None,
            "type": kind,
            "unit": unit,
            "direction": measurement.direction(result.name, kind, unit),
        }
        index = self._variant_indices[key] = len(self._variants)
        self._variants.append(
            _Variant(
                columns,
                self._combinations.start(names, result),
                (result.name.rpartition(".")[0], result.params),
                settings,
                result.name.endswith(".track_digest") and recorded is None,
            )
        )
        return index

    def _error_column(self, rows: pa.Array, status: pa.Array) -> pa.Array:
        """Return the reason that each status means, or the row's own."""
        if not self._errors:
            return take_texts(measurement.ERRORS, status)
        pairs = zip(rows.to_pylist(), status.to_pylist(), strict=True)
        texts = [self._errors.get(row, measurement.ERRORS[code]) for row, code in pairs]
        return pa.array(texts, pa.string()).dictionary_encode()

    def _digest_column(self, blocks: np.ndarray) -> pa.Array:
        if not self._digests:  # so in most projects
            return pa.nulls(int(blocks[:, 3].sum()), pa.string()).dictionary_encode()
        lists = (self._digests.get(start, [None] * size) for _, _, start, size in blocks.tolist())
        texts = [text for digests in lists for text in digests]
        return pa.array(texts, pa.string()).dictionary_encode()


def _digests(
    results: Sequence[BenchmarkResult], variants: Sequence[_Variant], row: int
) -> dict[int, list[str | None]]:
    """Return, by each block's first row, the digests that its class tracks for its parameters.

    Args:
        results: of one file.
        variants: theirs.
        row: the first one of the first of them.
    """
    pairs = list(zip(variants, results, strict=True))
    tracked = {
        variant.family: [measurement.digest(value) for value in result.values]
        for variant, result in pairs
        if variant.is_digest and not result.problem
    }
    digests = {}
    if tracked or any(result.recorded for result in results):  # not in most projects
        for variant, result in pairs:
            if result.recorded is not None:
                digest = result.recorded.digest
                digests[row] = [digest and digest[: measurement.DIGEST_DIGITS]]
            elif variant.family in tracked:
                digests[row] = tracked[variant.family]
            row += len(result.values)
    return digests
