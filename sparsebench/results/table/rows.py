"""asv result files into Arrow tables of the schema: a row a parameter combination.

Columns are built for many files at once: what is the same in a file or in a benchmark is kept once
and spread over the rows by an index, and only what differs row by row goes through Python's lists.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from sparsebench.results.asv.context import Benchmark, Context
from sparsebench.results.asv.result_files import Measured, ResultFile
from sparsebench.results.table import file_columns, measurement, value_columns
from sparsebench.results.table.case_columns import Cases, coded, spread
from sparsebench.results.table.fingerprints import Fingerprints
from sparsebench.results.table.schema import GRID, SCHEMA

# Raised whenever the same asv file would give other rows, so that the next ingest writes them anew.
ROWS_VERSION: Final = 2

_REASONS: Final = (
    None,
    measurement.FAILED,
    measurement.SKIPPED,
    measurement.LATE,
)  # of `value_columns.STATUSES`
_DENSE: Final = ("value", "samples", *value_columns.FLOATS, *value_columns.INTEGERS)
_OF_KIND: Final = ("benchmark", "param_names", "type", "unit", "direction")
_OF_BLOCK: Final = ("benchmark_version", "started_at", "duration")
_OF_ROW: Final = (
    *(*_DENSE, "status", "error", "digest", "fingerprint"),
    *("params", "case", *(field.name for field in GRID)),
)
_OF_FILE: Final = tuple(n for n in SCHEMA.names if n not in (*_OF_KIND, *_OF_BLOCK, *_OF_ROW))


@dataclass(frozen=True)
class _Kind:
    """What is the same in every file that holds a benchmark with these parameters."""

    columns: dict[str, Any]
    case: int  # where its combinations begin in `Cases`
    family: tuple[str, Any]  # class and parameters, which a digest is tracked for
    known: Benchmark
    is_digest: bool


# The rows of one benchmark of one file: the places of its kind, its file and its first row, and how
# many they are. Bare tuples, for a fleet's history makes half a million of them.
_Block = tuple[int, int, int, int]


class Rows:
    """Result files under collection; `tables` gives their rows, a table a (project, machine).

    Args:
        context: what lies beside all of them.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._files: list[dict[str, Any]] = []
        self._kinds: list[_Kind] = []
        self._places: dict[Any, int] = {}  # of kinds
        self._blocks: list[_Block] = []
        self._measured: list[tuple[str | None, int | None, float | None]] = []  # by block
        self._dense: list[dict[str, pa.Array]] = []
        self._size = 0
        self._cases = Cases()
        self._reasons: dict[int, str | None] = {}  # by place, where the status does not tell it
        self._digests: dict[int, list[str | None]] = {}  # by a block's start

    def add(self, file: ResultFile) -> int:
        """Take the rows of ``file`` and tell how many."""
        number, first = len(self._files), self._size
        places, lost = [], []
        for measured in file.benchmarks:
            place = self._kind(measured)
            size = len(measured.values)
            self._blocks.append((place, number, self._size, size))
            self._measured.append((measured.version, measured.started_at, measured.duration))
            known = self._kinds[place].known
            late = measured.values[0] is None and measurement.timed_out(measured, known)
            lost.append(value_columns.LATE if late else value_columns.FAILED)
            places.append(place)
            if measured.problem:
                self._reasons[self._size] = measured.problem
            self._size += size
        made = value_columns.dense(file.benchmarks, lost)
        for odd in made.odd:
            self._reasons[first + odd] = measurement.verdict(
                made.values[odd], timed_out=False
            ).error
        self._track(file, [self._kinds[place] for place in places], first)
        self._dense.append(made.arrays)
        self._files.append(file_columns.columns_of(file, self._context))
        return self._size - first

    def tables(self) -> Iterator[tuple[tuple[str, str], pa.Table]]:
        """(project, machine) and its rows, sorted by benchmark and commit date, then as in asv.

        Columns of text are dictionaries; `SCHEMA` otherwise.
        """
        if not self._files:
            return
        rows = {n: pa.concat_arrays([d[n] for d in self._dense]) for n in self._dense[0]}
        blocks = np.array(self._blocks, dtype=np.int64).reshape(-1, 4)
        owners = [(columns["project"], columns["machine"]) for columns in self._files]
        for owner in dict.fromkeys(owners):
            mine = np.array([other == owner for other in owners])
            chosen = np.flatnonzero(mine[blocks[:, 1]])
            yield owner, self._table(chosen[self._order(blocks[chosen])], blocks, rows)

    def _order(self, blocks: np.ndarray) -> np.ndarray:
        names = np.array([kind.columns["benchmark"] for kind in self._kinds], dtype=object)
        rank = np.unique(names, return_inverse=True)[1]
        dates = np.array([columns["commit_date"] or 0 for columns in self._files])
        return np.lexsort((dates[blocks[:, 1]], rank[blocks[:, 0]]))

    def _table(
        self, chosen: np.ndarray, blocks: np.ndarray, rows: Mapping[str, pa.Array]
    ) -> pa.Table:
        """The rows of the ``chosen`` blocks, in their order."""
        blocks = blocks[chosen]
        sizes = blocks[:, 3]
        within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        block = np.repeat(np.arange(len(blocks)), sizes)
        kind, file, start, _ = blocks[block].T
        row = pa.array(start + within)
        case = np.array([k.case for k in self._kinds], dtype=np.int64)[kind] + within
        taken = {name: array.take(row) for name, array in rows.items()}
        measured = [self._measured[place] for place in chosen]
        prints = Fingerprints(
            [k.known for k in self._kinds], [f["asv_runner"] for f in self._files]
        )
        columns: dict[str, pa.Array] = {
            **{name: spread([f[name] for f in self._files], file, name) for name in _OF_FILE},
            **{n: spread([k.columns[n] for k in self._kinds], kind, n) for n in _OF_KIND},
            **{n: spread([m[i] for m in measured], block, n) for i, n in enumerate(_OF_BLOCK)},
            **self._cases.columns(case),
            **{name: taken[name] for name in _DENSE},
            "status": coded(value_columns.STATUSES, taken["status"]),
            "error": self._errors(row, taken["status"]),
            "digest": self._spliced(blocks),
            "fingerprint": prints.column(kind, file, taken["number"], taken["repeat"]),
        }
        return pa.table({name: columns[name] for name in SCHEMA.names})

    def _kind(self, measured: Measured) -> int:
        key = measured.name, measured.params, measured.problem is None
        place = self._places.get(key)
        if place is None:
            known = self._context.benchmarks.get(measured.name, Benchmark())
            names = known.param_names if len(known.param_names) == len(measured.params) else ()
            place = self._places[key] = len(self._kinds)
            self._kinds.append(
                _Kind(
                    _kind_columns(measured, known, names),
                    self._cases.place(names, measured),
                    (measured.name.rpartition(".")[0], measured.params),
                    known,
                    measured.name.endswith(".track_digest"),
                )
            )
        return place

    def _track(self, file: ResultFile, kinds: Sequence[_Kind], first: int) -> None:
        """Put the digests that a class tracks beside all values of its cases."""
        pairs = list(zip(kinds, file.benchmarks, strict=True))
        found = {
            kind.family: [measurement.digest(value) for value in measured.values]
            for kind, measured in pairs
            if kind.is_digest and not measured.problem
        }
        if found:
            for kind, measured in pairs:
                if kind.family in found:
                    self._digests[first] = found[kind.family]
                first += len(measured.values)

    def _errors(self, rows: pa.Array, status: pa.Array) -> pa.Array:
        """The reason that a status means, unless a row has its own."""
        if not self._reasons:
            return coded(_REASONS, status)
        pairs = zip(rows.to_pylist(), status.to_pylist(), strict=True)
        texts = [self._reasons.get(row, _REASONS[code]) for row, code in pairs]
        return pa.array(texts, pa.string()).dictionary_encode()

    def _spliced(self, blocks: np.ndarray) -> pa.Array:
        """The digests of all blocks; of most projects there are none."""
        if not self._digests:
            return pa.nulls(int(blocks[:, 3].sum()), pa.string()).dictionary_encode()
        lists = (self._digests.get(start, [None] * size) for _, _, start, size in blocks.tolist())
        return pa.array([one for each in lists for one in each], pa.string()).dictionary_encode()


def _kind_columns(measured: Measured, known: Benchmark, names: tuple[str, ...]) -> dict[str, Any]:
    kind, unit = measurement.type_and_unit(measured.name, known)
    return {
        "benchmark": measured.name,
        "param_names": list(names) if names or not measured.params else None,
        "type": kind,
        "unit": unit,
        "direction": measurement.direction(measured.name, kind, unit),
    }
