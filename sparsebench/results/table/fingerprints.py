"""The column of harness fingerprints: asked once for all rows that it cannot tell apart."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from sparsebench.results.asv.context import Benchmark
from sparsebench.results.table.case_columns import coded
from sparsebench.results.table.measurement import fingerprint

_UNKNOWN = 2**62  # a repeat that asv did not record: no sign of `asv run --quick`


class Fingerprints:
    """How the rows of many files were measured.

    Args:
        known: by kind of benchmark, what benchmarks.json says.
        runners: by file, the version of asv_runner.
    """

    def __init__(self, known: Sequence[Benchmark], runners: Sequence[str | None]) -> None:
        self._known = known
        self._runners = list(dict.fromkeys(runners))
        self._runner = np.array([self._runners.index(runner) for runner in runners])
        self._codes: dict[str | None, int] = {}

    def column(
        self, kind: np.ndarray, file: np.ndarray, numbers: pa.Array, repeats: pa.Array
    ) -> pa.Array:
        """A fingerprint a row, as a dictionary, from the row's kind, file, number and repeat."""
        pair = kind * len(self._runners) + self._runner[file]
        usual = np.zeros(len(self._known) * len(self._runners), dtype=np.int32)
        for one in np.unique(pair).tolist():
            usual[one] = self._code(one, None, None)
        codes = usual[pair]
        own = np.flatnonzero(self._tells(kind, repeats))
        run = (each.take(pa.array(own)).to_pylist() for each in (numbers, repeats))
        asked = list(zip(pair[own].tolist(), *run, strict=True))
        told = {key: self._code(*key) for key in set(asked)}
        codes[own] = [told[key] for key in asked]
        return coded(list(self._codes), pa.array(codes))

    def _tells(self, kind: np.ndarray, repeats: pa.Array) -> np.ndarray:
        """The rows of which number and repeat, as run, tell more than benchmarks.json does."""
        rounds = np.array([known.rounds or 1 for known in self._known], dtype=np.int64)
        numbers = (dict(known.timing).get("number", "auto") for known in self._known)
        fixed = np.array([number != "auto" for number in numbers], dtype=bool)
        told: np.ndarray = fixed[kind] | (repeats.fill_null(_UNKNOWN).to_numpy() < rounds[kind])
        return told

    def _code(self, pair: int, number: int | None, repeat: int | None) -> int:
        kind, runner = divmod(pair, len(self._runners))
        text = fingerprint(self._known[kind], number, repeat, self._runners[runner])
        return self._codes.setdefault(text, len(self._codes))
