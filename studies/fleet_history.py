"""Generate an asv results tree as large as a public project's history of many years.

Two machines, 1,433 files, some 2.6 million values, 273 MB. docs/results.md has what the dataset
costs on it.

Each value is generated as asv computes it. Samples are drawn with a factor per run, per process and
per sample; the value is their median in full precision; interval and quartiles are computed as asv
does and rounded to five digits; the number of calls is what fits into asv's sample time. The noise
has the size seen on real machines, since the size of a Parquet file depends on how similar
neighbouring values are.
"""

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from sparsebench.stats import Floats

COLUMNS = [
    *("result", "params", "version", "started_at", "duration"),
    *("stats_ci_99_a", "stats_ci_99_b", "stats_q_25", "stats_q_75"),
    *("stats_number", "stats_repeat", "samples", "profile"),
]
AXES = {
    "dtype": ["'float32'", "'float64'", "'int64'", "'object'", "'datetime64[ns, tz]'"],
    "n": ["10", "1000", "100000"],
    "order": ["True", "False"],
    "method": ["'ffill'", "'bfill'", "None"],
    "function": ["'sum'", "'mean'", "'first'", "'nunique'"],
    "ufunc": [f"'ufunc{n}'" for n in range(17)],
}
MACHINES = {
    "asv-runner": {"cpu": "AMD EPYC 7452", "num_cpu": "16", "ram": "65855440"},
    "desktop": {"cpu": "Intel(R) Core(TM) i7-8700", "num_cpu": "12", "ram": "32863828"},
}
SAMPLE_TIME = 0.0105  # seconds: what asv's 0.01 comes to
SLOW = 0.5  # seconds: from here two processes have time for one sample each
REPEAT = 20  # samples, ten a process
DAY = 86_400_000  # ms


@dataclass(frozen=True)
class Suite:
    """The benchmarks, and the properties of all their cases in one array each."""

    listed: dict[str, dict[str, Any]]
    first: dict[str, int]  # index of a benchmark's first case
    level: Floats  # seconds
    noise: Floats  # of a sample within its process, relative
    drift: Floats  # from run to run, relative

    @property
    def cases(self) -> int:
        return len(self.level)


@dataclass(frozen=True)
class RunResults:
    """All cases of one run: samples in seconds, and the statistics that asv stores."""

    samples: Floats  # (cases, REPEAT)
    median: Floats
    bounds: list[list[float]]  # in asv's order, five digits
    number: list[int]
    repeat: list[int]


def draw_suite(rng: np.random.Generator, count: int) -> Suite:
    """Return ``count`` benchmarks of about five combinations each."""
    listed, first, cases = {}, {}, 0
    for number in range(count):
        kind = rng.choice(["time", "peakmem", "track"], p=[0.93, 0.04, 0.03])
        axes = rng.choice(sorted(AXES), rng.choice(3, p=[0.53, 0.4, 0.07]), replace=False)
        name = f"bench_area_{number % 37}.ClassOfCases{number % 149}.{kind}_method_with_{number}"
        listed[name] = benchmark(name, str(kind), [str(axis) for axis in axes])
        first[name] = cases
        cases += math.prod(len(values) for values in listed[name]["params"])
    return Suite(
        listed,
        first,
        level=rng.lognormal(-8.5, 2, cases),
        noise=rng.lognormal(np.log(0.008), 0.7, cases),
        drift=rng.lognormal(np.log(0.01), 0.7, cases),
    )


def benchmark(name: str, kind: str, axes: list[str]) -> dict[str, Any]:
    """Return one entry of benchmarks.json."""
    entry = {
        "name": name,
        "param_names": axes,
        "params": [AXES[axis] for axis in axes],
        "type": {"peakmem": "peakmemory"}.get(kind, kind),
        "unit": {"time": "seconds", "peakmem": "bytes"}.get(kind, "unit"),
        "version": hashlib.sha256(name.encode()).hexdigest(),
    }
    if kind == "time":
        entry |= {"number": 0, "repeat": 0, "rounds": 2, "sample_time": 0.01}
        entry |= {"warmup_time": -1, "min_run_count": 2, "timeout": 60.0}
    return entry


def measure(rng: np.random.Generator, suite: Suite) -> RunResults:
    """Measure every case once: two processes of ten samples."""
    run = (
        suite.level
        * np.exp(suite.drift * rng.standard_normal(suite.cases))
        * rng.lognormal(0, 0.01)
    )
    process = np.exp(0.5 * suite.noise[:, None] * rng.standard_normal((suite.cases, 2)))
    each = np.exp(suite.noise[:, None] * rng.standard_normal((suite.cases, REPEAT)))
    samples = run[:, None] * np.repeat(process, REPEAT // 2, axis=1) * each
    number = np.maximum(1, SAMPLE_TIME / run * rng.uniform(0.95, 1.05, suite.cases)).astype(int)
    slow = run > SLOW
    samples[slow, 2:] = np.nan
    ordered = np.sort(samples, axis=1)
    repeat = np.where(slow, 2, REPEAT)
    # For 20 samples asv's interval of the median runs from the fourth to the seventeenth; for two
    # it ends beyond both, about where a Laplace distribution through them does.
    width = ordered[:, 1] - ordered[:, 0]
    low = np.where(slow, ordered[:, 0] - width, ordered[:, 3])
    high = np.where(slow, ordered[:, 1] + width, ordered[:, 16])
    low_quartile, median, high_quartile = (quantile(ordered, repeat, q) for q in (0.25, 0.5, 0.75))
    bounds = [five_digits(column) for column in (low, high, low_quartile, high_quartile)]
    return RunResults(samples, median, bounds, number.tolist(), repeat.tolist())


def quantile(ordered: Floats, count: NDArray[np.int64], share: float) -> Floats:
    """Return the quantile of each row's first ``count`` values, interpolated linearly."""
    position = share * (count - 1)
    below = position.astype(int)
    pair = np.take_along_axis(ordered, below[:, None] + [0, 1], axis=1)
    part: Floats = pair[:, 0] + (position - below) * (pair[:, 1] - pair[:, 0])
    return part


def five_digits(values: Floats) -> list[float]:
    """Return the values rounded to five digits, as asv stores its statistics."""
    return [float(f"{value:.4e}") for value in values]


def rows(
    rng: np.random.Generator, suite: Suite, started: int, with_samples: bool
) -> Iterator[tuple[str, list[Any]]]:
    """Yield the results per benchmark of one file; some benchmarks have none."""
    results = measure(rng, suite)
    columns: list[list[Any]] = [*results.bounds, results.number, results.repeat]
    if with_samples:
        columns.append([[s for s in each if s == s] for each in results.samples.tolist()])
    lost = rng.random(suite.cases)
    for name, entry in suite.listed.items():
        size = math.prod(len(values) for values in entry["params"])
        own = slice(suite.first[name], suite.first[name] + size)
        seconds = rng.lognormal(1, 0.02) * size
        started += int(1000 * seconds)
        head = [entry["params"], entry["version"], started, five_digits(np.array([seconds]))[0]]
        draw = rng.random()
        if draw < 0.03:  # not run
            continue
        if draw < 0.05:  # all cases failed
            yield name, [None, *head]
            continue
        values = results.median[own].tolist()
        if entry["type"] != "time":
            values = [float(round(value * 1e9)) for value in suite.level[own]]
        failed = [share < 0.01 for share in lost[own]]
        absent = [share < 0.03 for share in lost[own]]
        values = [
            None if f else math.nan if a else v
            for f, a, v in zip(failed, absent, values, strict=True)
        ]
        row = [values, *head]
        if entry["type"] == "time":
            row += [
                [None if a else v for a, v in zip(absent, column[own], strict=True)]
                for column in columns
            ]
        yield name, row


def run(rng: np.random.Generator, suite: Suite, number: int, with_samples: bool) -> dict[str, Any]:
    """Return one result file; the environment changes every 400 commits."""
    machine = list(MACHINES)[number % 9 == 0]
    hardware = {"machine": machine, "arch": "x86_64", "os": "Linux 5.15", **MACHINES[machine]}
    needs = {"Cython": f"0.29.{14 + number // 400}", "six": ""}
    python = f"3.{8 + number // 800}"
    date = 1_500_000_000_000 + number * DAY + 1000 * int(rng.integers(DAY // 1000))
    return {
        "commit_hash": hashlib.sha1(str(number).encode()).hexdigest(),
        "env_name": f"virtualenv-py{python}-Cython{needs['Cython']}-six",
        "date": date,
        "params": {**hardware, "python": python, **needs},
        "python": python,
        "requirements": needs,
        "env_vars": {},
        "result_columns": COLUMNS,
        "results": dict(rows(rng, suite, date + int(rng.integers(DAY)), with_samples)),
        "durations": {},
        "version": 2,
    }


def write(path: Path, content: dict[str, Any]) -> int:
    """Write the JSON as asv does, and return its size in bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.write_text(json.dumps(content), encoding="utf-8")


def write_tree(
    into: Path, files: int = 1433, benchmarks: int = 340, with_samples: bool = False
) -> str:
    """Write the tree below ``into``, the same for each call, and return a line on its size."""
    rng = np.random.default_rng(1433)
    suite = draw_suite(rng, benchmarks)
    write(into / "benchmarks.json", {**suite.listed, "version": 2})
    size = values = 0
    for number in range(files):
        if number % 50 == 49:  # a lasting change of one case
            suite.level[rng.integers(suite.cases)] *= rng.choice([0.8, 1.1, 1.3])
        content = run(rng, suite, number, with_samples)
        machine = content["params"]["machine"]
        name = f"{content['commit_hash'][:8]}-{content['env_name']}.json"
        size += write(into / machine / name, content)
        values += sum(math.prod(map(len, row[1])) for row in content["results"].values())
    for machine, hardware in MACHINES.items():
        write(into / machine / "machine.json", {"machine": machine, **hardware, "version": 1})
    return f"{files:,} files, {values:,} values, {size / 1e6:.0f} MB"


@click.command()
@click.argument("into", type=click.Path(path_type=Path))
@click.option("--files", default=1433, show_default=True, help="Commits, one file each.")
@click.option("--benchmarks", default=340, show_default=True, help="Of about five cases each.")
@click.option("--samples", is_flag=True, help="Record the samples, as `asv run` does if asked.")
def main(into: Path, files: int, benchmarks: int, samples: bool) -> None:
    """Generate an asv results tree INTO, as large as a project's history of many years."""
    click.echo(f"{into}: {write_tree(into, files, benchmarks, samples)}")


if __name__ == "__main__":
    main()
