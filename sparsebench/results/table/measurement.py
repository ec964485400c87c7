"""The columns of a measurement: value, status, direction, samples, digest and fingerprint."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, get_args

import numpy as np
import pyarrow as pa

from sparsebench.results.asv.context import BenchmarkSettings
from sparsebench.results.asv.result_files import STATS, BenchmarkResult, as_float, as_int
from sparsebench.results.table.encoding import take_texts
from sparsebench.results.table.schema import Status

STATUSES: Final[tuple[str, ...]] = get_args(Status)
OK, FAILED, SKIPPED, TIMEOUT = range(4)  # indices into STATUSES and ERRORS
ERRORS: Final = (
    None,
    "asv recorded no value: the benchmark failed, crashed or timed out",
    "asv recorded NaN: the benchmark skipped itself, or was not selected",
    "stopped at the benchmark's time limit",
)
VALUE_COLUMNS: Final = ("value", "status", "samples", *STATS)

# asv's own rule: the prefix of the last part of the name decides the type.
_TYPES: Final = {
    "time": ("time", "seconds"),
    "timeraw": ("time", "seconds"),
    "mem": ("memory", "bytes"),
    "peakmem": ("peakmemory", "bytes"),
    "track": ("track", None),
}


def type_and_unit(name: str, settings: BenchmarkSettings) -> tuple[str | None, str | None]:
    """Return the benchmark's type and unit, from benchmarks.json or else from its name."""
    prefix = name.rpartition(".")[2].lower().partition("_")[0]
    kind, unit = _TYPES.get(prefix, (None, None))
    return settings.type or kind, settings.unit or unit


def direction(name: str, kind: str | None, unit: str | None) -> str:
    """Return which way is better: "lower" or "higher"; "exact" where any change is a difference.

    Times and memory are better lower. Of tracked values, digests and measured sparsities are facts
    about the mask and are compared exactly. Rates are better higher. The rest is better lower, as
    asv itself assumes.
    """
    if kind != "track":
        return "lower"
    text = f"{name.rpartition('.')[2]} {unit or ''}".lower()
    if any(part in text for part in ("digest", "sha256", "sparsity")):
        return "exact"
    rate = unit is not None and unit.endswith(("/s", "/sec", "/second", " per second"))
    return "higher" if rate or "throughput" in text or "flops" in text else "lower"


def timed_out(result: BenchmarkResult, settings: BenchmarkSettings) -> bool:
    """Return whether each combination certainly ran into the benchmark's time limit.

    asv stores a time-out like any failure. But each process runs one combination and one round, for
    no longer than the limit. So if nothing has a value and the whole duration is that of all
    processes at their limits, each was stopped by it. Anything less proves nothing.
    """
    values = result.values
    if not values or values[0] is not None or settings.timeout is None or result.duration is None:
        return False
    if any(value is not None for value in values):
        return False
    rounds = settings.rounds or (math.inf if settings.type == "time" else 1)
    return result.duration >= len(values) * rounds * settings.timeout > 0


@dataclass(frozen=True)
class ValueColumns:
    """What differs from row to row of a file.

    Attributes:
        arrays: the columns `VALUE_COLUMNS`; "status" as indices into `STATUSES`.
        errors: by row, the reason of a failure that is not the one in `ERRORS`.
    """

    arrays: dict[str, pa.Array]
    errors: dict[int, str]


def value_columns(results: Sequence[BenchmarkResult], null_status: Sequence[int]) -> ValueColumns:
    """Return the columns of a file's rows that differ from row to row.

    A number is ok, NaN is skipped, anything that is neither number nor null is failed.

    Args:
        results: the file's benchmarks.
        null_status: what null means in each of them, `FAILED` or `TIMEOUT`.
    """
    recorded = list(chain.from_iterable(result.values for result in results))
    numbers = _array(recorded, pa.float64(), as_float)
    values = numbers.to_numpy(zero_copy_only=False)  # null as NaN
    absent = numbers.is_null().to_numpy(zero_copy_only=False)
    skipped = np.isnan(values) & ~absent
    status = np.where(skipped, SKIPPED, OK).astype(np.int8)
    rows = np.flatnonzero(absent)
    status[rows] = np.repeat(null_status, [len(result.values) for result in results])[rows]
    invalid = [row for row in rows.tolist() if recorded[row] is not None]
    status[invalid] = FAILED
    samples = list(chain.from_iterable(result.samples for result in results))
    arrays = {
        "value": pa.array(values, mask=absent | skipped),
        "status": pa.array(status),
        "samples": _array(samples, pa.list_(pa.float64()), _floats),
    }
    for index, name in enumerate(STATS):
        stats = list(chain.from_iterable(result.stats[index] for result in results))
        if name in ("number", "repeat"):
            arrays[name] = _array(stats, pa.int64(), as_int)
        else:
            arrays[name] = _array(stats, pa.float64(), as_float)
    errors = {row: f"the value must be a number, got {str(recorded[row])[:60]}" for row in invalid}
    return ValueColumns(arrays, errors)


def _array(values: list[Any], kind: pa.DataType, clean: Callable[[Any], Any]) -> pa.Array:
    """Return ``values`` as an array; if one of them is not of that kind, each of them cleaned."""
    try:
        if kind == pa.int64() and not set(map(type, values)) <= {int, type(None)}:
            raise TypeError  # Arrow would truncate a fraction
        return pa.array(values, kind)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return pa.array([clean(value) for value in values], kind)


def _floats(samples: Any) -> list[float] | None:
    """Return one combination's samples; NaN for what is no number in them."""
    if not isinstance(samples, list):
        return None
    return [math.nan if (number := as_float(s)) is None else number for s in samples]


DIGEST_DIGITS: Final = 12  # asv's numbers hold 48 bits exactly


def digest(recorded: Any) -> str | None:
    """Return the 12 hexadecimal digits of a digest that asv tracked as a 48-bit number."""
    value = as_int(recorded)
    return f"{value:012x}" if value is not None and 0 <= value < 2**48 else None


def fingerprint(
    settings: BenchmarkSettings, number: int | None, repeat: int | None, runner: str | None
) -> str | None:
    """Return how a value was measured, "number=10 repeat=auto rounds=2 runner=0.3.2".

    Series with different fingerprints are never joined. What asv says of the run wins over what
    benchmarks.json asks for: a number that is not the one in today's benchmarks.json is that of
    older code. `asv run --quick` ignores number, repeat and rounds; it shows by fewer samples than
    rounds. An automatic number differs from run to run and is written as "auto".

    Args:
        settings: of benchmarks.json.
        number: calls per sample in this run.
        repeat: samples over all rounds in this run.
        runner: the version of asv_runner.

    Returns:
        None if nothing is known.
    """
    timing = dict(settings.timing)
    if repeat is not None and repeat < (settings.rounds or 1):
        timing = {"quick": "yes", "number": str(number)}
    elif number is not None and timing.get("number", "auto") != "auto":
        timing["number"] = str(number)
    if runner:
        timing["runner"] = runner
    return " ".join(f"{key}={value}" for key, value in timing.items()) or None


def fingerprint_column(
    settings: Sequence[BenchmarkSettings],
    runners: Sequence[str | None],
    numbers: pa.Array,
    repeats: pa.Array,
    benchmark: np.ndarray,
    file: np.ndarray,
) -> pa.Array:
    """Return the fingerprint of each row, as a dictionary.

    `fingerprint` is called once for all rows that have the same one, not once per row.

    Args:
        settings: of each benchmark.
        runners: the version of asv_runner of each file.
        numbers: per row.
        repeats: per row.
        benchmark: per row, the index into ``settings``.
        file: per row, the index into ``runners``.
    """
    versions = list(dict.fromkeys(runners))
    version = np.array([versions.index(runner) for runner in runners])
    pair = benchmark * len(versions) + version[file]  # a benchmark and a runner, as one number
    texts: dict[str | None, int] = {}  # each fingerprint and its code

    def code(pair: int, number: int | None, repeat: int | None) -> int:
        index, version = divmod(pair, len(versions))
        text = fingerprint(settings[index], number, repeat, versions[version])
        return texts.setdefault(text, len(texts))

    usual = np.zeros(len(settings) * len(versions), dtype=np.int32)
    for value in np.unique(pair).tolist():
        usual[value] = code(value, None, None)
    codes = usual[pair]
    # The rows whose number and repeat say more than benchmarks.json does.
    rounds = np.array([each.rounds or 1 for each in settings], dtype=np.int64)
    fixed = np.array([dict(e.timing).get("number", "auto") != "auto" for e in settings], dtype=bool)
    quick = repeats.fill_null(2**62).to_numpy() < rounds[benchmark]  # null: not recorded, not quick
    rows = np.flatnonzero(fixed[benchmark] | quick)
    run = (column.take(pa.array(rows)).to_pylist() for column in (numbers, repeats))
    keys = list(zip(pair[rows].tolist(), *run, strict=True))
    code_of = {key: code(*key) for key in dict.fromkeys(keys)}  # a set has no fixed order
    codes[rows] = [code_of[key] for key in keys]
    return take_texts(list(texts), pa.array(codes))
