"""The columns of a result file that differ row by row: from asv's lists to Arrow arrays."""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from sparsebench.results.asv.result_files import STATS, Measured, as_float, as_int

STATUSES: Final = ("ok", "failed", "skipped", "timeout")
OK, FAILED, SKIPPED, LATE = range(4)

FLOATS: Final = ("ci_99_a", "ci_99_b", "q_25", "q_75")
INTEGERS: Final = ("number", "repeat")


@dataclass(frozen=True)
class Dense:
    """The rows of one file, column by column; ``status`` as places in `STATUSES`.

    Attributes:
        values: as asv wrote them.
        odd: the places of those that are neither number nor null.
    """

    arrays: dict[str, pa.Array]
    values: list[Any]
    odd: list[int]


def dense(benchmarks: Sequence[Measured], lost: Sequence[int]) -> Dense:
    """The rows of a file; ``lost``: the status that null means in each benchmark."""
    values = _chained(measured.values for measured in benchmarks)
    array = _array(values, pa.float64(), as_float)
    numbers = array.to_numpy(zero_copy_only=False)  # null as NaN
    absent = array.is_null().to_numpy(zero_copy_only=False)
    skipped = np.isnan(numbers) & ~absent
    status = np.where(skipped, SKIPPED, OK).astype(np.int8)
    places = np.flatnonzero(absent)
    odd = [int(place) for place in places if values[place] is not None]
    status[places] = np.repeat(lost, [len(m.values) for m in benchmarks])[places]
    status[odd] = FAILED
    columns = zip(*(measured.stats for measured in benchmarks), strict=True)
    stats = dict(zip(STATS, columns, strict=True)) if benchmarks else dict.fromkeys(STATS, ())
    samples = _chained(measured.samples for measured in benchmarks)
    arrays = {
        "value": pa.array(numbers, mask=absent | skipped),
        "status": pa.array(status),
        "samples": _array(samples, pa.list_(pa.float64()), _floats),
        **{name: _array(_chained(stats[name]), pa.float64(), as_float) for name in FLOATS},
        **{name: _array(_chained(stats[name]), pa.int64(), as_int) for name in INTEGERS},
    }
    return Dense(arrays, values, odd)


def _chained(lists: Iterable[Sequence[Any]]) -> list[Any]:
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
