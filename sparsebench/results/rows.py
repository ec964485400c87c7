"""One asv result file into an Arrow table of the schema: a row a parameter combination."""

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import pyarrow as pa

from sparsebench.results.asv_context import Benchmark, Context
from sparsebench.results.asv_files import Measured, ResultFile, as_float, as_int
from sparsebench.results.harness import (
    digest,
    direction,
    fingerprint,
    timed_out,
    type_and_unit,
    verdict,
)
from sparsebench.results.schema import GRID, SCHEMA
from sparsebench.results.typed import Case, describe

# Raised whenever the same asv file would give other rows, so that the next ingest writes them anew.
ROWS_VERSION: Final = 1

Columns = dict[str, list[Any]]
Run = tuple[str, int | None]  # a benchmark and when it was started, in ms since 1970


def to_table(file: ResultFile, context: Context, stored: Mapping[Run, Columns]) -> pa.Table:
    """The rows of ``file``, in the order of its benchmarks and then of itertools.product.

    Args:
        file: a parsed asv result file.
        context: what lies beside it.
        stored: `harness_columns` that were stored of this commit before. A benchmark that has not
            run since keeps them, because today's benchmarks.json describes today's benchmark, or
            no longer lists it: what an old value was measured with is what the first ingest saw.
    """
    runner = _version_of("asv_runner", file)
    digests = _digests(file.benchmarks)
    blocks = []
    for measured in file.benchmarks:
        before = _before(measured, stored)
        known = _known(context.benchmarks.get(measured.name, Benchmark()), before)
        columns = _benchmark_columns(measured, known, digests, runner)
        blocks.append(columns | _kept_fingerprint(before, measured.combinations))
    constant = _file_columns(file, context, runner)
    size = sum(m.combinations for m in file.benchmarks)
    if size == 0:
        return SCHEMA.empty_table()
    arrays = [
        pa.repeat(pa.scalar(constant[field.name], field.type), size)
        if field.name in constant
        else pa.array(itertools.chain.from_iterable(b[field.name] for b in blocks), field.type)
        for field in SCHEMA
    ]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def identity(file: ResultFile, context: Context) -> tuple[str, str, str, str]:
    """Project, machine, commit and environment of all rows of a file."""
    machine = file.machine or context.machine_fields.get("machine") or context.machine
    return context.project, machine, file.commit_hash, file.env_name


HARNESS_COLUMNS: Final = ("type", "unit", "param_names", "fingerprint")


def harness_columns(table: pa.Table) -> dict[Run, Columns]:
    """What `to_table` may keep of stored rows: the columns above, run by run of a benchmark."""
    found: dict[Run, Columns] = {}
    times = table["started_at"].cast(pa.int64()).to_pylist()  # as asv has them
    chosen = table.select(["benchmark", *HARNESS_COLUMNS]).to_pylist()
    for started_at, row in zip(times, chosen, strict=True):
        columns = found.setdefault((row.pop("benchmark"), started_at), {key: [] for key in row})
        for key, value in row.items():
            columns[key].append(value)
    return found


def _before(measured: Measured, stored: Mapping[Run, Columns]) -> Columns | None:
    """What was stored of this very run of the benchmark."""
    known = measured.started_at is not None
    return stored.get((measured.name, measured.started_at)) if known else None


def _known(listed: Benchmark, before: Columns | None) -> Benchmark:
    if before is None:
        return listed
    kind, unit, names = (before[key][0] for key in ("type", "unit", "param_names"))
    return replace(
        listed,
        type=kind or listed.type,
        unit=unit or listed.unit,
        param_names=tuple(names or listed.param_names),
    )


def _kept_fingerprint(before: Columns | None, size: int) -> Columns:
    """The stored fingerprint, if it says more than the runner's version.

    Of a run that only some of ``size`` rows are left of, it is known where they agree.
    """
    stored: list[Any] = before["fingerprint"] if before else [None]
    if len(stored) != size:
        stored = stored[:1] * size if len(set(stored)) == 1 else [None]
    known = stored[:1] != [None] and not stored[0].startswith("runner=")
    return {"fingerprint": stored} if known else {}


def _file_columns(file: ResultFile, context: Context, runner: str | None) -> dict[str, Any]:
    """The columns that are the same in every row of a file."""
    fields = {**context.machine_fields, **{k: v for k, v in file.params.items() if v}}
    project, machine, commit_hash, env_name = identity(file, context)
    return {
        "project": project,
        "machine": machine,
        "commit_hash": commit_hash,
        "commit_date": file.commit_date,
        "env_name": env_name,
        **{name: fields.get(name) for name in ("arch", "os", "cpu", "gpu", "cuda", "driver")},
        "num_cpu": _whole(fields.get("num_cpu")),
        "ram": ram_bytes(fields.get("ram")),
        "python": file.python or fields.get("python"),
        "torch": _version_of("torch", file),
        "asv_runner": runner,
        "requirements": list(file.requirements.items()),
        "env_vars": list(file.env_vars.items()),
        "source_path": f"{file.path.resolve().parent.name}/{file.path.name}",
        "source_sha256": file.sha256,
    }


def _benchmark_columns(
    measured: Measured,
    known: Benchmark,
    digests: Mapping[tuple[str, Any], list[str | None]],
    runner: str | None,
) -> Columns:
    """The columns that differ from benchmark to benchmark, one value a combination."""
    names = known.param_names if len(known.param_names) == len(measured.params) else ()
    kind, unit = type_and_unit(measured.name, known)
    size = measured.combinations
    same = {
        "benchmark": measured.name,
        "param_names": list(names) if names or not measured.params else None,
        "type": kind,
        "unit": unit,
        "direction": direction(measured.name, kind, unit),
        "benchmark_version": measured.version,
        "started_at": measured.started_at,
        "duration": measured.duration,
    }
    number = [as_int(n) for n in measured.stats.get("number", [None] * size)]
    repeat = [as_int(n) for n in measured.stats.get("repeat", [None] * size)]
    runs = set(zip(number, repeat, strict=True))  # few, in many combinations
    fingerprints = {(n, r): fingerprint(known, n, r, runner) for n, r in runs}
    class_name = measured.name.rpartition(".")[0]
    return {
        **{name: [value] * size for name, value in same.items()},
        **_case_columns(measured, names),
        **_value_columns(measured, timed_out(measured, known)),
        "digest": digests.get((class_name, measured.params), [None] * size),
        "number": number,
        "repeat": repeat,
        "fingerprint": [fingerprints[pair] for pair in zip(number, repeat, strict=True)],
    }


def _case_columns(measured: Measured, names: tuple[str, ...]) -> Columns:
    if measured.problem:
        return {"params": [None], "case": [""], **{field.name: [None] for field in GRID}}
    combinations = list(itertools.product(*measured.params))
    cases: list[Case] = [describe(names, values) for values in combinations]
    grid = {field.name: [getattr(c.grid, field.name) for c in cases] for field in GRID}
    return {"params": [list(c) for c in combinations], "case": [c.text for c in cases], **grid}


def _value_columns(measured: Measured, late: bool) -> Columns:
    verdicts = [verdict(value, late) for value in measured.values]
    stats = {key: measured.stats.get(key, [None]) for key in ("ci_99_a", "ci_99_b", "q_25", "q_75")}
    return {
        "value": [v.value for v in verdicts],
        "status": [v.status for v in verdicts],
        "error": [measured.problem or v.error for v in verdicts],
        "samples": [_floats(s) for s in measured.samples],
        **{key: [as_float(bound) for bound in bounds] for key, bounds in stats.items()},
    }


def _digests(benchmarks: Iterable[Measured]) -> dict[tuple[str, Any], list[str | None]]:
    """By (class, params): the digests that the class's `track_digest` recorded."""
    found = {}
    for measured in benchmarks:
        class_name, _, method = measured.name.rpartition(".")
        if method == "track_digest" and not measured.problem:
            found[class_name, measured.params] = [digest(value) for value in measured.values]
    return found


def _version_of(package: str, file: ResultFile) -> str | None:
    """The pinned version of ``package``: asv knows a requirement's, or a parameter so called."""
    for pinned in (file.requirements, file.params):
        for name, version in pinned.items():
            if name.removeprefix("pip+").replace("-", "_").lower() == package and version:
                return version
    return None


_SIZE = re.compile(r"([\d.]+)\s*([KMGT]?)i?B?", re.IGNORECASE)


def ram_bytes(text: str | None) -> int | None:
    """Bytes of "8.2G", "16 GB" or a bare number, which older asv meant in KiB; None if unreadable.

    A bare number below 2**30 is KiB: as bytes it would be less than 1 GiB, as KiB less than 1 TiB.
    """
    found = _SIZE.fullmatch((text or "").strip())
    number = as_float(_parsed(found[1])) if found else None
    if found is None or number is None:
        return None
    power = " KMGT".index(found[2].upper() or " ")
    if not power and number < 2**30:
        power = 1
    return as_int(float(round(number * 1024**power)))


def _parsed(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _whole(text: str | None) -> int | None:
    number = as_int(_parsed(text or ""))
    return number if number is not None and abs(number) < 2**31 else None


def _floats(samples: Any) -> Sequence[float] | None:
    """One combination's samples; a value in them that is no number becomes NaN."""
    if not isinstance(samples, list):
        return None
    if set(map(type, samples)) <= {float}:  # nearly always, and there are millions of them
        return samples
    return [math.nan if (number := as_float(s)) is None else number for s in samples]
