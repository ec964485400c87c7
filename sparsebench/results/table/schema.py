"""The dataset's schema: one row per machine, commit, environment, benchmark and combination.

Values are in base units (seconds, bytes). A null means "not known": asv's JSON does not say it, or
the benchmark has no such parameter.

Older versions are still read. Version 2 lacked what `sparsebench.recorder` records of the measuring
process. In version 1 requirements and env_vars were maps of strings; each row of a fleet's history
held ten entries of them.
"""

from typing import Final, Literal

import pyarrow as pa

SCHEMA_VERSION: Final = 3

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
    pa.field("cuda", pa.string()),  # the version that torch was built for
    # From here on only what the measuring process recorded.
    pa.field("cpu_flags", pa.string()),  # sorted, with spaces between
    pa.field("governor", pa.string()),  # of the first processor's frequency
    pa.field("threads", pa.int32()),
    pa.field("load_average", pa.float64()),  # over one minute, when the process began
    pa.field("cpu_limit", pa.float64()),  # processors that the container may use
    pa.field("memory_limit", pa.int64()),  # bytes
    pa.field("gpu_count", pa.int32()),
    pa.field("gpu_capability", pa.string()),  # "9.0"
    pa.field("gpu_memory", pa.int64()),  # bytes
    pa.field("power_limit", pa.float64()),  # watts
]
VERSIONS: Final = [
    pa.field("python", pa.string()),  # recorded ones in full, "3.11.7" and "2.13.0+cpu"; else
    pa.field("torch", pa.string()),  # as asv declares them
    pa.field("asv_runner", pa.string()),
    pa.field("driver", pa.string()),
    pa.field("requirements", pa.string()),  # a JSON object, name to version; `read` gives a dict
    pa.field("env_vars", pa.string()),  # the same for the environment variables that asv set
    pa.field("numpy", pa.string()),  # recorded, as all that follow
    pa.field("numba", pa.string()),
    pa.field("triton", pa.string()),
    pa.field("versions", pa.string()),  # a JSON object: all packages; `read` gives a dict
    pa.field("mismatch", pa.string()),  # "torch: declared 2.11.0, measured with 2.13.0+cpu"
]
GPU_STATE: Final = [  # while the case was measured
    pa.field("sm_clock", pa.float64()),  # MHz, the median
    pa.field("memory_clock", pa.float64()),  # MHz, the median
    pa.field("temperature", pa.float64()),  # degrees Celsius, the highest
    pa.field("energy", pa.float64()),  # joules
    pa.field("throttle", pa.string()),  # what slowed the GPU down, with commas; "" for nothing
    pa.field("gpu_states", pa.string()),  # a JSON object: start, during, end; `read` gives a dict
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
    pa.field("run", pa.string()),  # the id of one `sparsebench bench`, recorded
]
SOURCE: Final = [
    pa.field("source_path", pa.string()),
    pa.field("source_sha256", pa.string()),
]

SCHEMA: Final = pa.schema(
    IDENTITY + HARDWARE + VERSIONS + GPU_STATE + GRID + VALUE + HARNESS + SOURCE,
    metadata={"sparsebench_schema": str(SCHEMA_VERSION)},
)
