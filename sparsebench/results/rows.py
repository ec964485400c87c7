"""asv result files into Arrow tables of the schema: a row a parameter combination.

Columns are built for many files at once: what is the same in a file or in a benchmark is kept once
and spread over the rows by an index, and only what differs row by row goes through Python's lists.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from sparsebench.results import facts
from sparsebench.results.asv_context import Benchmark, Context
from sparsebench.results.asv_files import Measured, ResultFile, as_float, as_int
from sparsebench.results.harness import (
    FAILED,
    LATE,
    SKIPPED,
    digest,
    direction,
    fingerprint,
    timed_out,
    type_and_unit,
    verdict,
)
from sparsebench.results.schema import GRID, SCHEMA
from sparsebench.results.typed import Case, Grid, describe

# Raised whenever the same asv file would give other rows, so that the next ingest writes them anew.
ROWS_VERSION: Final = 2

_STATUSES: Final = ("ok", "failed", "skipped", "timeout")
_REASONS: Final = (None, FAILED, SKIPPED, LATE)
_OK, _FAILED, _SKIPPED, _LATE = range(4)

_FLOATS: Final = ("ci_99_a", "ci_99_b", "q_25", "q_75")
_INTEGERS: Final = ("number", "repeat")


@dataclass(frozen=True)
class _Kind:
    """What is the same in every file that holds a benchmark with these parameters."""

    columns: dict[str, Any]
    case: int  # where its combinations begin in `_Cases`
    family: tuple[str, Any]  # class and parameters, which a digest is tracked for
    known: Benchmark
    automatic: bool  # asv chooses the number of calls a sample

    @property
    def is_digest(self) -> bool:
        return bool(self.columns["benchmark"].endswith(".track_digest"))


class _Block(NamedTuple):  # not a dataclass, like `Measured`
    """The rows of one benchmark of one file; ``start`` is the first one's place."""

    kind: int
    file: int
    start: int
    size: int
    measured: tuple[str | None, int | None, float | None]  # in the order of _OF_RUN
    order: tuple[str, int]  # benchmark, commit date


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
        self._dense: list[dict[str, pa.Array]] = []
        self._size = 0
        self._cases = _Cases()
        self._fingerprints: dict[str | None, int] = {}
        self._asked: dict[Any, int] = {}
        self._reasons: dict[int, str | None] = {}  # by place, where the status does not tell it
        self._digests: dict[int, list[str | None]] = {}  # by a block's start

    def add(self, file: ResultFile) -> int:
        """Take the rows of ``file`` and tell how many."""
        columns = facts.columns_of(file, self._context)
        first = self._size
        date = file.commit_date or 0
        kinds, lost = [], []
        for measured in file.benchmarks:
            place = self._kind(measured)
            size = len(measured.values)
            run = measured.version, measured.started_at, measured.duration
            order = measured.name, date
            self._blocks.append(_Block(place, len(self._files), self._size, size, run, order))
            kinds.append(kind := self._kinds[place])
            late = measured.values[0] is None and timed_out(measured, kind.known)
            lost.append(_LATE if late else _FAILED)
            if measured.problem:
                self._reasons[self._size] = measured.problem
            self._size += size
        dense = _dense(file.benchmarks, lost)
        for place in dense.odd:
            self._reasons[first + place] = verdict(dense.values[place], timed_out=False).error
        self._track(file, kinds, first)
        codes = self._codes(file, kinds, dense.arrays["number"], dense.arrays["repeat"], columns)
        self._dense.append({**dense.arrays, "fingerprint": codes})
        self._files.append(columns)
        return self._size - first

    def tables(self) -> Iterator[tuple[tuple[str, str], pa.Table]]:
        """(project, machine) and its rows, sorted by benchmark and commit date, then as in asv.

        Columns of text are dictionaries; `SCHEMA` otherwise.
        """
        names = self._dense[0] if self._dense else ()
        dense = {name: pa.concat_arrays([d[name] for d in self._dense]) for name in names}
        owners = [(columns["project"], columns["machine"]) for columns in self._files]
        for owner in dict.fromkeys(owners):
            chosen = [block for block in self._blocks if owners[block.file] == owner]
            yield owner, self._table(sorted(chosen, key=attrgetter("order")), dense)

    def _table(self, blocks: list[_Block], dense: Mapping[str, pa.Array]) -> pa.Table:
        sizes = _integers(block.size for block in blocks)
        within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        row = pa.array(np.repeat(_integers(block.start for block in blocks), sizes) + within)
        kind = np.repeat(_integers(block.kind for block in blocks), sizes)
        case = _integers(k.case for k in self._kinds)[kind] + within
        block = np.repeat(np.arange(len(blocks)), sizes)
        file = np.repeat(_integers(block.file for block in blocks), sizes)
        runs = list(zip(*(block.measured for block in blocks), strict=True)) or [()] * len(_OF_RUN)
        taken = {name: array.take(row) for name, array in dense.items()}
        columns: dict[str, pa.Array] = {
            **{name: spread([f[name] for f in self._files], file, name) for name in _OF_FILE},
            **{n: spread([k.columns[n] for k in self._kinds], kind, n) for n in _OF_KIND},
            **{n: spread(each, block, n) for n, each in zip(_OF_RUN, runs, strict=True)},
            **self._cases.columns(case),
            **{name: taken[name] for name in ("value", "samples", *_FLOATS, *_INTEGERS)},
            "status": _coded(_STATUSES, taken["status"]),
            "error": self._errors(row, taken["status"]),
            "digest": self._spliced(blocks),
            "fingerprint": _coded(list(self._fingerprints), taken["fingerprint"]),
        }
        return pa.table({name: columns[name] for name in SCHEMA.names})

    def _kind(self, measured: Measured) -> int:
        key = measured.name, measured.params, measured.problem is None
        if key not in self._places:
            known = self._context.benchmarks.get(measured.name, Benchmark())
            names = known.param_names if len(known.param_names) == len(measured.params) else ()
            self._places[key] = len(self._kinds)
            self._kinds.append(
                _Kind(
                    _kind_columns(measured, known, names),
                    self._cases.place(names, measured),
                    (measured.name.rpartition(".")[0], measured.params),
                    known,
                    dict(known.timing).get("number", "auto") == "auto",
                )
            )
        return self._places[key]

    def _track(self, file: ResultFile, kinds: Sequence[_Kind], first: int) -> None:
        """Put the digests that a class tracks beside all values of its cases."""
        pairs = list(zip(kinds, file.benchmarks, strict=True))
        found = {
            kind.family: [digest(value) for value in measured.values]
            for kind, measured in pairs
            if kind.is_digest and not measured.problem
        }
        if found:
            for kind, measured in pairs:
                if kind.family in found:
                    self._digests[first] = found[kind.family]
                first += len(measured.values)

    def _codes(
        self,
        file: ResultFile,
        kinds: Sequence[_Kind],
        numbers: pa.Array,
        repeats: pa.Array,
        columns: Mapping[str, Any],
    ) -> pa.Array:
        """A code a row; `fingerprint` is asked once for rows that it cannot tell apart."""
        sizes = [measured.combinations for measured in file.benchmarks]
        runner = columns["asv_runner"]
        usual = _integers(self._code(kind.known, None, None, runner) for kind in kinds)
        codes = np.repeat(usual, sizes)
        rounds = np.repeat(_integers(kind.known.rounds or 1 for kind in kinds), sizes)
        chosen = ~np.repeat(np.array([kind.automatic for kind in kinds], dtype=bool), sizes)
        chosen |= repeats.fill_null(2**62).to_numpy(zero_copy_only=False) < rounds
        owner = np.repeat(np.arange(len(kinds)), sizes)
        for place in np.flatnonzero(chosen):
            known = kinds[owner[place]].known
            number, repeat = numbers[place].as_py(), repeats[place].as_py()
            codes[place] = self._code(known, number, repeat, runner)
        return pa.array(codes.astype(np.int32))

    def _code(
        self, known: Benchmark, number: int | None, repeat: int | None, runner: str | None
    ) -> int:
        asked = (known.timing, known.rounds, number, repeat, runner)
        if asked not in self._asked:
            text = fingerprint(known, number, repeat, runner)
            self._asked[asked] = self._fingerprints.setdefault(text, len(self._fingerprints))
        return self._asked[asked]

    def _errors(self, rows: pa.Array, status: pa.Array) -> pa.Array:
        """The reason that a status means, unless a row has its own."""
        if not self._reasons:
            return _coded(_REASONS, status)
        pairs = zip(rows.to_pylist(), status.to_pylist(), strict=True)
        texts = [self._reasons.get(row, _REASONS[code]) for row, code in pairs]
        return pa.array(texts, pa.string()).dictionary_encode()

    def _spliced(self, blocks: Sequence[_Block]) -> pa.Array:
        """The digests of all blocks; of most projects there are none."""
        if not self._digests:
            size = sum(block.size for block in blocks)
            return pa.nulls(size, pa.string()).dictionary_encode()
        lists = (self._digests.get(block.start, [None] * block.size) for block in blocks)
        return pa.array(_chained(lists), pa.string()).dictionary_encode()


class _Cases:
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
    encoded = array.dictionary_encode()
    return pa.DictionaryArray.from_arrays(encoded.indices.take(pa.array(index)), encoded.dictionary)


def _coded(texts: Sequence[str | None], codes: pa.Array) -> pa.Array:
    encoded = pa.array(texts, pa.string()).dictionary_encode()
    return pa.DictionaryArray.from_arrays(encoded.indices.take(codes), encoded.dictionary)


_OF_KIND: Final = ("benchmark", "param_names", "type", "unit", "direction")
_OF_RUN: Final = ("benchmark_version", "started_at", "duration")
_BY_ROW: Final = (
    *("value", "samples", *_FLOATS, *_INTEGERS, "status", "error", "digest", "fingerprint"),
    *("params", "case", *(field.name for field in GRID)),
)
_OF_FILE: Final = tuple(n for n in SCHEMA.names if n not in (*_OF_KIND, *_OF_RUN, *_BY_ROW))


def _kind_columns(measured: Measured, known: Benchmark, names: tuple[str, ...]) -> dict[str, Any]:
    kind, unit = type_and_unit(measured.name, known)
    return {
        "benchmark": measured.name,
        "param_names": list(names) if names or not measured.params else None,
        "type": kind,
        "unit": unit,
        "direction": direction(measured.name, kind, unit),
    }


@dataclass(frozen=True)
class _Dense:
    """The columns of one file that differ row by row; ``odd``: places of values that are none."""

    arrays: dict[str, pa.Array]
    values: list[Any]  # as asv wrote them
    odd: list[int]


def _dense(benchmarks: Sequence[Measured], lost: Sequence[int]) -> _Dense:
    """The columns of a file; ``lost``: what null means in each benchmark."""
    values = _chained(measured.values for measured in benchmarks)
    array = _array(values, pa.float64(), as_float)
    numbers = array.to_numpy(zero_copy_only=False)  # null as NaN
    absent = array.is_null().to_numpy(zero_copy_only=False)
    skipped = np.isnan(numbers) & ~absent
    status = np.where(skipped, _SKIPPED, _OK).astype(np.int8)
    places = np.flatnonzero(absent)
    odd = [int(place) for place in places if values[place] is not None]
    status[places] = np.repeat(lost, [len(m.values) for m in benchmarks])[places]
    status[odd] = _FAILED
    stats = {
        name: _array(
            _chained(m.stats[name] if m.stats else [None] for m in benchmarks),
            pa.float64() if name in _FLOATS else pa.int64(),
            as_float if name in _FLOATS else as_int,
        )
        for name in (*_FLOATS, *_INTEGERS)
    }
    samples = _chained(measured.samples for measured in benchmarks)
    arrays = {
        "value": pa.array(numbers, mask=absent | skipped),
        "status": pa.array(status),
        "samples": _array(samples, pa.list_(pa.float64()), _floats),
        **stats,
    }
    return _Dense(arrays, values, odd)


def _integers(values: Iterable[int]) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.fromiter(values, dtype=np.int64)


def _chained(lists: Any) -> list[Any]:
    return list(itertools.chain.from_iterable(lists))


def _array(values: list[Any], kind: pa.DataType, clean: Callable[[Any], Any]) -> pa.Array:
    """``values`` as they are, or each cleaned where one of them is not of that kind."""
    try:
        if kind == pa.int64() and not set(map(type, values)) <= {int, type(None)}:
            raise TypeError  # Arrow would cut a fraction off
        return pa.array(values, kind)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return pa.array([clean(value) for value in values], kind)


def _floats(samples: Any) -> list[float] | None:
    """One combination's samples; a value in them that is no number becomes NaN."""
    if not isinstance(samples, list):
        return None
    return [math.nan if (number := as_float(s)) is None else number for s in samples]
