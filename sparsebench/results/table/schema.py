"""The dataset's schema: one row per machine, commit, environment, benchmark and combination.

Values are in base units (seconds, bytes). A null means "not known": asv's JSON does not say it, or
the benchmark has no such parameter.

In version 1, which is still read, requirements and env_vars were maps of strings. Each row of a
fleet's history held ten entries of them.
"""

from typing import Final, Literal

import pyarrow as pa

SCHEMA_VERSION: Final = 2

Status = Literal["ok", "failed", "skipped", "timeout"]

_FLOATS = pa.list_(pa.float64())
# Times are UTC and stored without a zone: for a time with a zone DuckDB's Python client needs pytz,
# which no other dependency installs. `results.read` adds the zone.
_TIME = pa.timestamp("ms")

IDENTITY: Final = [
    pa.field("project", pa.string()),
    pa.field("machine", pa.string()),
    pa.field("commit_hash", pa.string()),
    pa.field("commit_date", _TIME),
    pa.field("env_name", pa.string()),
    pa.field("benchmark", pa.string()),
    pa.field("param_names", pa.list_(pa.string())),
    pa.field("params", pa.list_(pa.string())),  # asv's reprs, as stored
    pa.field("case", pa.string()),  # "name=value, name=value"; "" without parameters
]
HARDWARE: Final = [
    pa.field("arch", pa.string()),
    pa.field("os", pa.string()),
    pa.field("cpu", pa.string()),
    pa.field("num_cpu", pa.int32()),
    pa.field("ram", pa.int64()),  # bytes
    pa.field("gpu", pa.string()),
    pa.field("cuda", pa.string()),
]
VERSIONS: Final = [
    pa.field("python", pa.string()),
    pa.field("torch", pa.string()),
    pa.field("asv_runner", pa.string()),
    pa.field("driver", pa.string()),
    pa.field("requirements", pa.string()),  # a JSON object, name to version; `read` gives a dict
    pa.field("env_vars", pa.string()),  # the same for the environment variables that asv set
]
GRID: Final = [  # typed, from the parameters' names; `zeros` is null for "the whole block" too
    pa.field("shape", pa.string()),  # "128x128"
    pa.field("level", pa.float64()),
    pa.field("block", pa.string()),  # "1x4"
    pa.field("zeros", pa.int32()),
    pa.field("device", pa.string()),
    pa.field("dtype", pa.string()),
    pa.field("weights", pa.string()),
    pa.field("implementation", pa.string()),
]
VALUE: Final = [
    pa.field("type", pa.string()),  # time, track, memory, peakmemory, timeraw
    pa.field("value", pa.float64()),
    pa.field("unit", pa.string()),
    pa.field("direction", pa.string()),  # "lower" is better, "higher" is better, or "exact"
    pa.field("status", pa.string()),
    pa.field("error", pa.string()),
    pa.field("samples", _FLOATS),
    pa.field("ci_99_a", pa.float64()),  # as asv computed them; ours come from the samples
    pa.field("ci_99_b", pa.float64()),
    pa.field("q_25", pa.float64()),
    pa.field("q_75", pa.float64()),
    pa.field("digest", pa.string()),  # of the mask, where the benchmark's class tracks one
]
HARNESS: Final = [
    pa.field("benchmark_version", pa.string()),
    pa.field("fingerprint", pa.string()),  # number, repeat, rounds, warm-up, timer, runner version
    pa.field("number", pa.int64()),
    pa.field("repeat", pa.int64()),
    pa.field("started_at", _TIME),
    pa.field("duration", pa.float64()),  # seconds
]
SOURCE: Final = [
    pa.field("source_path", pa.string()),
    pa.field("source_sha256", pa.string()),
]

SCHEMA: Final = pa.schema(
    IDENTITY + HARDWARE + VERSIONS + GRID + VALUE + HARNESS + SOURCE,
    metadata={"sparsebench_schema": str(SCHEMA_VERSION)},
)
