from pathlib import Path

import pandas as pd
import pytest

from sparsebench.analysis.history import HistoryFindings, NewSeries, Shift, Step
from sparsebench.report.site import (
    CommitLinks,
    DatasetRows,
    SiteContent,
    build,
    collect_rows,
    read_history,
    runs_of,
)
from sparsebench.stats import Estimate, Interval
from tests.synthetic import LONG, commit_place, failed, hashes, history, slowed, write_dataset

HOSTILE = "<script>document.title='pwned'</script>\"'&{{7*7}}../../x"
COMMITS = CommitLinks("https://example.org/commit/")


def step(benchmark: str, case: str, change: float, **changed: object) -> Step:
    old, new = hashes(4)[1:3]
    fields: dict[str, object] = {
        "project": "sparsebench", "machine": "workstation", "env_name": "virtualenv-py3.11",
        "benchmark": benchmark, "case": case, "unit": "seconds", "after_commit": old,
        "commit": new, "date": pd.Timestamp("2026-01-07", tz="UTC"), "before": 1e-3,
        "after": 1e-3 * (1 + change),
        "change": Estimate(change, Interval(change - 0.02, change + 0.02), 9),
        "worse": change > 0, "status": "there", "undone_at": None, "fingerprint": "number=1",
        "importance": 1.0,
    }  # fmt: skip
    return Step(**(fields | changed))  # type: ignore[arg-type]  # the fields, by name


def suite() -> pd.DataFrame:
    """Four commits: a grid on two devices, exact values, a break-even, and hostile names."""
    cases = [case for case in LONG if "zeros=all" in case and "block=8x1" not in case]
    grid = history(
        "step.Long.time_step", commits=4,
        axes={"case": cases, "device": ["cpu", "cuda"], "implementation": ["sparsebench"]},
    )  # fmt: skip
    grid = slowed(grid, (grid["device"] == "cuda") & (grid["shape"] == "255x324"), 0.2)
    grid = slowed(grid, (grid["device"] == "cuda") & (grid["shape"] == "128x128"), 5.0)
    digests = history("step.Long.track_digest", commits=4, direction="exact", value=7.0,
                      unit="sha256/48", type="track").assign(samples=None)  # fmt: skip
    sparse = [f"format=csr,level={level},batch={n}" for level in (0.5, 0.9) for n in (1, 16)]
    formats = history("breakeven.Matmul.time_forward", commits=1,
                      axes={"case": ["format=dense,batch=1", "format=dense,batch=16", *sparse],
                            "device": ["cpu"]})  # fmt: skip
    names = {f"n{HOSTILE}": [f"'{HOSTILE}'", "NaN", "-inf"]}
    hostile = history(f"a/../b.{HOSTILE}", commits=4, axes=names, machines=[HOSTILE])
    hostile = failed(hostile, commit_place(hostile) == 3).assign(error=HOSTILE, cpu=HOSTILE)
    frame = pd.concat([grid, digests, formats, hostile], ignore_index=True)
    frame.loc[frame.index[5], "value"] = float("inf")
    return frame


def content_of(frame: pd.DataFrame, folder: Path, found: HistoryFindings) -> SiteContent:
    """A site's content over these rows."""
    rows = DatasetRows(str(write_dataset(frame, folder / "parquet")), machines=None)
    sizes = {str(name): int(n) for name, n in frame["benchmark"].value_counts().items()}
    table = read_history(rows, sizes, silent)
    gathered, runs = collect_rows(rows, table), runs_of(rows, table)
    return SiteContent(rows, sizes, gathered, runs, found, "results/parquet", COMMITS)


def content(folder: Path) -> SiteContent:
    steps = [
        step("step.Long.time_step", "shape=128x128, level=0.3", 0.4),
        step("step.Long.time_step", "shape=128x128, level=0.9", -0.1, status="reverted"),
        step(f"a/../b.{HOSTILE}", HOSTILE, 1.5, date=pd.NaT, machine=HOSTILE),
    ]
    old, new = hashes(4)[:2]
    day, moved = pd.Timestamp("2026-01-06", tz="UTC"), Estimate(0.3, None, 9)
    shift = Shift("sparsebench", HOSTILE, "env", old, new, day, moved, 99, 0, "cpu: old -> new")
    again = NewSeries("sparsebench", "workstation", "b.time_it", new, day, 3, "number 1 -> 10")
    found = HistoryFindings(steps, [shift], [again], series=100, short=1, unfit=0)
    return content_of(suite(), folder, found)


def silent(done: int, total: int) -> None:
    """No progress."""


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole site, built once for all tests that only look at it."""
    folder = tmp_path_factory.mktemp("site")
    build(content(folder), folder / "out", silent)
    return folder / "out"
