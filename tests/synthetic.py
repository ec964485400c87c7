"""Made-up rows of the dataset: what a suite leaves behind, without running one."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sparsebench.results.table.schema import SCHEMA

LONG = [
    f"shape={shape},level={level:g},block={block},zeros={zeros}"
    for shape, level, block, zeros in product(
        ["128x128", "255x324"],
        [0.0, 1.0, 0.3, 0.6, 0.9, 0.99],
        ["1x4", "1x8", "4x1", "8x1"],
        [0, 1, 2, 3, 4, "all"],
    )
]
SHORT = [
    "shape=32x16,level=0.3,block=4x1,zeros=2",
    "shape=32x16,level=0.6,block=1x4,zeros=4",
    "shape=17x23,level=0.9,block=1x1,zeros=1",
]
_GRID = ["shape", "level", "block", "zeros", "device", "dtype", "weights", "implementation"]


def hashes(count: int) -> list[str]:
    """Forty hexadecimal digits a commit, the same ones every time."""
    rng = np.random.default_rng(2024)
    return [bytes(rng.integers(0, 256, 20, dtype=np.uint8)).hex() for _ in range(count)]


def history(
    benchmark: str = "step.Short.time_step",
    *,
    commits: int = 3,
    axes: Mapping[str, Sequence[str]] | None = None,
    machines: Iterable[str] = ("workstation",),
    centre: float = 1e-3,
    noise: float = 0.03,
    samples: int = 10,
    seed: int = 0,
    **columns: object,
) -> pd.DataFrame:
    """Return a row a (machine, commit, combination of ``axes``), oldest commit first.

    Values scatter by ``noise`` about ``centre`` times a factor a combination; ``columns`` overwrite
    whole columns.
    """
    axes = axes or {"case": SHORT, "device": ["cpu"], "implementation": ["sparsebench"]}
    points = pd.DataFrame(list(product(machines, hashes(commits), *axes.values())))
    points.columns = pd.Index(["machine", "commit_hash", *axes])
    rng = np.random.default_rng(seed)
    cases = points[list(axes)].apply(tuple, axis=1)
    factor = cases.map({case: np.exp(0.4 * rng.standard_normal()) for case in cases.unique()})
    draws = rng.lognormal(sigma=noise, size=(len(points), samples))
    drawn = centre * factor.to_numpy(dtype=float)[:, None] * draws
    order = {commit: place for place, commit in enumerate(hashes(commits))}
    days = pd.to_timedelta(points["commit_hash"].map(order), unit="D")
    frame = pd.DataFrame(
        {
            "project": "sparsebench",
            "machine": points["machine"],
            "commit_hash": points["commit_hash"],
            "commit_date": pd.Timestamp("2026-01-05 12:00", tz="UTC") + days,
            "env_name": "virtualenv-py3.11",
            "benchmark": benchmark,
            "param_names": [list(axes)] * len(points),
            "params": [[repr(value) for value in case] for case in cases],
            "case": [_readable(dict(zip(axes, case, strict=True))) for case in cases],
            "python": "3.11",
            "torch": "2.13.0",
            "gpu": None,
            "throttle": None,
            "mismatch": None,
            "type": "time",
            "value": np.median(drawn, axis=1),
            "unit": "seconds",
            "direction": "lower",
            "status": "ok",
            "samples": list(drawn),
            "benchmark_version": "v1",
            "fingerprint": "number=1 repeat=150 rounds=2",
            "started_at": pd.Timestamp("2026-06-01", tz="UTC"),
        }
    )
    typed = pd.DataFrame([_typed(dict(zip(axes, case, strict=True))) for case in cases])
    frame = pd.concat([frame, typed.reindex(columns=_GRID)], axis=1)
    for name, value in columns.items():
        frame[name] = value
    return frame


def slowed(frame: pd.DataFrame, rows: pd.Series, factor: float) -> pd.DataFrame:
    """Return the frame with the chosen rows' values and samples multiplied."""
    changed = frame.copy()
    changed.loc[rows, "value"] *= factor
    changed["samples"] = [
        sample * factor if hit else sample
        for sample, hit in zip(frame["samples"], rows, strict=True)
    ]
    return changed


def failed(frame: pd.DataFrame, rows: pd.Series, status: str = "failed") -> pd.DataFrame:
    """Return the frame with the chosen rows without a value."""
    changed = frame.copy()
    changed.loc[rows, "value"] = np.nan
    changed.loc[rows, "status"] = status
    changed["samples"] = [
        None if hit else sample for sample, hit in zip(frame["samples"], rows, strict=True)
    ]
    return changed


def commit_place(frame: pd.DataFrame) -> pd.Series:
    """Return each row's place in the history."""
    order = {commit: place for place, commit in enumerate(frame["commit_hash"].unique())}
    return frame["commit_hash"].map(order)


def _pairs(parameters: Mapping[str, str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for name, value in parameters.items():
        joined = name == "case" and "=" in value
        pairs |= dict(pair.split("=") for pair in value.split(",")) if joined else {name: value}
    return pairs


def _readable(parameters: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in _pairs(parameters).items())


def _typed(parameters: Mapping[str, str]) -> dict[str, object]:
    pairs: dict[str, object] = {k: v for k, v in _pairs(parameters).items() if k in _GRID}
    if "level" in pairs:
        pairs["level"] = float(str(pairs["level"]))
    if "zeros" in pairs:
        pairs["zeros"] = np.nan if pairs["zeros"] == "all" else float(str(pairs["zeros"]))
    return pairs


def write_dataset(frame: pd.DataFrame, folder: Path) -> Path:
    """Write the frame as a dataset of one Parquet file, and return the folder."""
    columns = [name for name in SCHEMA.names if name in frame]
    schema = pa.schema([SCHEMA.field(name) for name in columns], metadata=SCHEMA.metadata)
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pandas(frame[columns], schema=schema, preserve_index=False)
    pq.write_table(table.replace_schema_metadata(SCHEMA.metadata), folder / "rows.parquet")
    return folder
