"""Made-up histories with a known truth: what years of asv runs on two machines look like.

The noise was shaped after published asv histories and brought near, not to, what asv's own rule
(neighbours that differ by more than a factor of 1.1) flags there, and how much of that goes away;
`python -m studies.change_points` prints both figures.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CASES: Final = 6  # of a benchmark: they share code, and part of the noise


@dataclass(frozen=True)
class Noise:
    """How one fleet scatters; all on the log scale, so .01 is one percent."""

    spread: float = 0.005  # the median series' standard deviation
    spread_of_spread: float = 1.0
    bimodal: float = 0.2  # of series: a second mode, 2 to 12 % slower, come upon at random
    sticky: float = 0.25  # of those: the mode stays for ``stay`` snapshots
    stay: int = 4
    wander: float = 0.3  # of series: a slow random walk
    outliers: float = 0.0005  # of values; a third of them last for two or three snapshots
    slow_runs: float = 0.003  # of snapshots: the whole run was slow


CPU: Final = Noise()
GPU: Final = Noise(
    spread=0.01, spread_of_spread=0.7, bimodal=0.4, sticky=0.7, stay=8, wander=0.6, outliers=0.022,
    slow_runs=0.01,
)  # fmt: skip


@dataclass(frozen=True)
class Planted:
    """A true change: of one series, or of the whole machine where ``series`` is None."""

    series: int | None
    index: int  # of the first value after it
    size: float  # log(after / before); of a machine's shift, the median series'


@dataclass(frozen=True)
class History:
    """Log values, a row a series and a column a snapshot; NaN where nothing was measured."""

    logs: Floats
    planted: tuple[Planted, ...] = ()
    harness: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int64))


def quiet(series: int, snapshots: int, seed: int, noise: Noise = CPU) -> History:
    """Return a history in which nothing ever changes but by noise."""
    rng = np.random.default_rng(seed)
    spread = noise.spread * np.exp(noise.spread_of_spread * rng.standard_normal(series))
    spread = np.minimum(spread, 0.08)[:, None]
    benchmarks = -(-series // CASES)
    shape = (series, snapshots)
    own = rng.standard_t(5, shape) * np.sqrt(3 / 5)
    shared = np.repeat(rng.standard_t(5, (benchmarks, snapshots)) * 0.77, CASES, axis=0)[:series]
    logs = rng.uniform(np.log(1e-6), np.log(1), (series, 1)) + spread * (0.8 * own + 0.6 * shared)
    logs += _modes(rng, shape, noise) + _walks(rng, shape, noise) * spread
    logs += _outliers(rng, shape, noise) + _runs(rng, snapshots, noise)
    logs[rng.random(shape) < 0.01] = np.nan
    return History(logs, (), np.zeros(shape, dtype=np.int64))


def eventful(series: int, snapshots: int, seed: int, noise: Noise = CPU) -> History:
    """Return a history with steps, steps taken back, machine shifts, new harnesses, late starts."""
    rng = np.random.default_rng([seed, 1])
    history = quiet(series, snapshots, seed, noise)
    logs, harness = history.logs, history.harness
    planted = [*_steps(rng, logs), *_shifts(rng, logs)]
    _new_harness(rng, logs, harness)
    for late in rng.choice(series, series // 5, replace=False):
        logs[late, : rng.integers(1, snapshots // 2)] = np.nan
    return History(logs, tuple(planted), harness)


def with_step(history: History, size: float, index: int, after: int = 8) -> History:
    """Return the history cut ``after`` values behind ``index``, all series slower by ``size``."""
    logs = history.logs[:, : index + after].copy()
    logs[:, index:] += np.log1p(size)
    return History(logs, tuple(Planted(s, index, np.log1p(size)) for s in range(len(logs))))


def as_frame(
    histories: dict[str, History], benchmark: str = "suite.Class.time_work"
) -> pd.DataFrame:
    """Return the rows of `sparsebench.results.read` for machines and their histories."""
    return pd.concat(
        [_rows(machine, history, benchmark) for machine, history in histories.items()],
        ignore_index=True,
    )


def _modes(rng: np.random.Generator, shape: tuple[int, int], noise: Noise) -> Floats:
    series, snapshots = shape
    share = rng.uniform(0.03, 0.3, (series, 1))
    height = rng.uniform(0.02, 0.12, (series, 1)) * (rng.random((series, 1)) < noise.bimodal)
    sticky = rng.random(series) < noise.sticky
    slow = rng.random(shape) < share
    for row in np.flatnonzero(sticky):
        kept = rng.random(-(-snapshots // noise.stay)) < share[row]
        slow[row] = np.repeat(kept, noise.stay)[:snapshots]
    return slow * height


def _walks(rng: np.random.Generator, shape: tuple[int, int], noise: Noise) -> Floats:
    pace = rng.uniform(0.02, 0.15, (shape[0], 1)) * (rng.random((shape[0], 1)) < noise.wander)
    return np.cumsum(rng.standard_normal(shape) * pace, axis=1)


def _outliers(rng: np.random.Generator, shape: tuple[int, int], noise: Noise) -> Floats:
    hit = rng.random(shape) < noise.outliers
    height = np.where(hit, rng.exponential(0.3, shape), 0.0)
    lasting = hit & (rng.random(shape) < 1 / 3)
    for _ in range(2):
        lasting = np.roll(lasting, 1, axis=1) & (rng.random(shape) < 0.7)
        height += np.where(lasting, rng.exponential(0.3, shape), 0.0)
    return height


def _runs(rng: np.random.Generator, snapshots: int, noise: Noise) -> Floats:
    slow = rng.random(snapshots) < noise.slow_runs
    return rng.normal(0, 0.003, snapshots) + slow * rng.exponential(0.04, snapshots)


def _steps(rng: np.random.Generator, logs: Floats) -> list[Planted]:
    """Change whole benchmarks, or single cases, by 4 to 100 %; a third is taken back later."""
    series, snapshots = logs.shape
    planted = []
    for _ in range(series // 6):
        index = int(rng.integers(10, snapshots - 10))
        first = int(rng.integers(series))
        rows = range(first, min(first + CASES, series)) if rng.random() < 0.4 else [first]
        size = float(np.exp(rng.uniform(np.log(0.04), np.log(0.7))) * rng.choice([-1, 1]))
        end = snapshots
        if rng.random() < 1 / 3:
            end = min(index + 4 + int(rng.geometric(0.03)), snapshots)
        for row in rows:
            one = size * rng.uniform(0.8, 1.2)
            logs[row, index:end] += one
            planted.append(Planted(row, index, one))
            if end < snapshots:
                planted.append(Planted(row, end, -one))
    return planted


def _shifts(rng: np.random.Generator, logs: Floats) -> list[Planted]:
    """Move the whole machine twice: each series by about as much as all others."""
    series, snapshots = logs.shape
    planted = []
    for share in (0.3, 0.7):
        index = int(snapshots * share) + int(rng.integers(-10, 10))
        size = float(rng.uniform(0.08, 0.3) * rng.choice([-1, 1]))
        logs[:, index:] += size * rng.uniform(0.6, 1.4, (series, 1))
        planted.append(Planted(None, index, size))
    return planted


def _new_harness(rng: np.random.Generator, logs: Floats, harness: NDArray[np.int64]) -> None:
    """Measure one series in twelve in another way from some snapshot on, which moves its values."""
    series, snapshots = logs.shape
    for row in rng.choice(series, series // 12, replace=False):
        index = int(rng.integers(20, snapshots - 20))
        logs[row, index:] += rng.uniform(-1, 1)
        harness[row, index:] = 1


def _rows(machine: str, history: History, benchmark: str) -> pd.DataFrame:
    series, snapshots = history.logs.shape
    commits = [f"{index:08x}{'0' * 32}" for index in range(snapshots)]
    numbers = np.arange(series)
    names = np.array([f"{benchmark}_{n // CASES}" for n in numbers], dtype=object)
    cases = np.array([f"n={n % CASES}" for n in numbers], dtype=object)
    dates = pd.Timestamp("2020-01-01", tz="UTC") + pd.to_timedelta(np.arange(snapshots), unit="D")
    values = np.exp(history.logs).T.ravel()
    harness = history.harness.T.ravel()
    measured = ~np.isnan(values)
    frame = pd.DataFrame(
        {
            "commit_hash": np.repeat(np.array(commits, dtype=object), series),
            "commit_date": np.repeat(dates, series),
            "benchmark": np.tile(names, snapshots),
            "case": np.tile(cases, snapshots),
            "value": values,
            "status": np.where(measured, "ok", "failed"),
            "fingerprint": np.where(harness == 0, "number=1 repeat=10", "number=10 repeat=10"),
        }
    )
    return frame.assign(
        project="made-up",
        machine=machine,
        env_name="virtualenv-py3.11",
        unit="seconds",
        direction="lower",
        benchmark_version="v1",
        started_at=frame["commit_date"],
    )
