"""How a value was measured and what it means: fingerprint, status and direction."""

import math
from dataclasses import dataclass
from typing import Any, Final

from sparsebench.results.asv.context import Benchmark
from sparsebench.results.asv.result_files import Measured, as_float, as_int
from sparsebench.results.table.schema import Status

FAILED: Final = "asv recorded no value: the benchmark failed, crashed or timed out"
LATE: Final = "stopped at the benchmark's time limit"
SKIPPED: Final = "asv recorded NaN: the benchmark skipped itself, or was not selected"

# asv's own rule: the prefix of the last part of the name decides the type.
_TYPES: Final = {
    "time": ("time", "seconds"),
    "timeraw": ("time", "seconds"),
    "mem": ("memory", "bytes"),
    "peakmem": ("peakmemory", "bytes"),
    "track": ("track", None),
}


@dataclass(frozen=True)
class Verdict:
    """What one recorded value says; ``value`` is null unless ``status`` is ok."""

    value: float | None
    status: Status
    error: str | None = None


def type_and_unit(name: str, known: Benchmark) -> tuple[str | None, str | None]:
    """The benchmark's type and unit, from benchmarks.json or else from its name."""
    prefix = name.rpartition(".")[2].lower().partition("_")[0]
    kind, unit = _TYPES.get(prefix, (None, None))
    return known.type or kind, known.unit or unit


def direction(name: str, kind: str | None, unit: str | None) -> str:
    """Which way is better: "lower", "higher", or "exact" where any change is one of the result.

    Times and memory: lower. Of tracked values, digests and measured sparsities are facts about the
    mask and compared exactly; rates are better higher; the rest lower, as asv itself assumes.
    """
    if kind != "track":
        return "lower"
    words = f"{name.rpartition('.')[2]} {unit or ''}".lower()
    if any(word in words for word in ("digest", "sha256", "sparsity")):
        return "exact"
    rate = unit is not None and (unit.endswith(("/s", "/sec", "/second", " per second")))
    return "higher" if rate or any(w in words for w in ("throughput", "flops")) else "lower"


def verdict(recorded: Any, timed_out: bool) -> Verdict:
    """The meaning of one value in asv's file: a number, NaN for skipped, null for failed."""
    if recorded is None:
        return Verdict(None, "timeout", LATE) if timed_out else Verdict(None, "failed", FAILED)
    value = as_float(recorded)
    if value is None:
        return Verdict(None, "failed", f"the value must be a number, got {str(recorded)[:60]}")
    if math.isnan(value):
        return Verdict(None, "skipped", SKIPPED)
    return Verdict(value, "ok")


def timed_out(measured: Measured, known: Benchmark) -> bool:
    """Whether every combination certainly ran into the benchmark's time limit.

    asv stores a time-out like any failure. But one process runs a combination and a round, and none
    runs longer than the limit: where nothing has a value, and the whole duration is that of all
    processes at their limits, each was stopped by it. Anything less proves nothing.
    """
    nothing = all(value is None for value in measured.values)
    if not nothing or known.timeout is None or measured.duration is None:
        return False
    rounds = known.rounds or (math.inf if known.type == "time" else 1)
    return measured.duration >= len(measured.values) * rounds * known.timeout > 0


def fingerprint(
    known: Benchmark, number: int | None, repeat: int | None, runner: str | None
) -> str | None:
    """The harness in one line, "number=10 repeat=auto rounds=2 runner=0.3.2"; None if unknown.

    Series with different fingerprints never join. Where asv says how often it really ran, that wins
    over what the benchmark asked for: a number that is not the one in today's benchmarks.json is
    that of older code; and `asv run --quick`, which ignores number, repeat and rounds, betrays
    itself by fewer samples than rounds. An automatic number differs run by run and stays "auto".

    Args:
        known: what benchmarks.json says.
        number: calls a sample, as run.
        repeat: samples over all rounds, as run.
        runner: the version of asv_runner.
    """
    timing = dict(known.timing)
    if repeat is not None and repeat < (known.rounds or 1):
        timing = {"quick": "yes", "number": str(number)}
    elif number is not None and timing.get("number", "auto") != "auto":
        timing["number"] = str(number)
    if runner:
        timing["runner"] = runner
    return " ".join(f"{key}={value}" for key, value in timing.items()) or None


def digest(recorded: Any) -> str | None:
    """The 12 hexadecimal digits of a digest that asv tracked as a 48-bit number."""
    value = as_int(recorded)
    return f"{value:012x}" if value is not None and 0 <= value < 2**48 else None
