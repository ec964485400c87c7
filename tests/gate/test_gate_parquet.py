"""Records as Parquet: every block a row, and back without a bit lost."""

from pathlib import Path

import pandas as pd
import pytest

from sparsebench.errors import SparsebenchError
from sparsebench.gate.cases import BenchmarkCase
from sparsebench.gate.findings import Side
from sparsebench.gate.parquet import read, write
from sparsebench.gate.record import (
    Blocks,
    Control,
    Ended,
    Failure,
    Record,
    RunPlan,
    Values,
    load_record,
)


def record() -> Record:
    times = BenchmarkCase(
        "m.time_x", ("n",), ("1",), "time", "seconds", 60, None, 60, None, {"base": 0}
    )
    track = BenchmarkCase("m.track_y", (), (), "track", "unit", 60, None, 60, None, {"base": None})
    sides = (Side("a" * 40, "before"), Side("b" * 40, "after", 2))
    plan = RunPlan("p", "m", "env", *sides, 0.05, (times, track), ("a note",))
    return Record(
        plan,
        [
            Blocks(0, 0, "screen", "BHHB", (0.1 + 0.2, 1e-9, 1 / 3, 2.5e-5), 3, 7),
            Values(1, 0, "screen", 1, float("inf")),
            Control(0, 1e-3, 2e-3),
            Failure(1, 1, "head", "ValueError: \u00e9|\n"),
            Blocks(0, 1, "confirm", "HBBH", (1.0, 2.0, 3.0, 4.0), 1, 1),
            Ended("decided", 12.5),
        ],
    )


def test_a_record_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    path = write(record(), tmp_path / "new")
    assert read(path) == record() == load_record(path)
    assert write(record(), tmp_path / "new") == path
    assert [p.name for p in (tmp_path / "new").iterdir()] == [path.name]


def test_it_is_plain_parquet_with_a_row_a_block(tmp_path: Path) -> None:
    write(record(), tmp_path)
    frame = pd.read_parquet(tmp_path)
    assert frame.groupby(["round", "side"]).seconds.sum().to_dict() == {
        (0, "base"): 0.1 + 0.2 + 2.5e-5,
        (0, "head"): 1e-9 + 1 / 3,
        (1, "base"): 5.0,
        (1, "head"): 5.0,
    }
    assert set(frame.benchmark) == {"m.time_x"}


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    other = tmp_path / "other.parquet"
    pd.DataFrame({"event": [1], "position": [1], "seconds": [1.0]}).to_parquet(other)
    with pytest.raises(SparsebenchError, match=r"other\.parquet: must be a gate's Parquet file"):
        load_record(other)
    other.write_text("nonsense")
    with pytest.raises(SparsebenchError, match=r"other\.parquet: cannot be read"):
        load_record(other)


def test_gates_are_not_mixed_with_results(tmp_path: Path) -> None:
    pd.DataFrame({"value": [1.0]}).to_parquet(tmp_path / "other.parquet")
    with pytest.raises(SparsebenchError, match=r"must hold gates only, got other\.parquet"):
        write(record(), tmp_path)


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SparsebenchError, match=r"file: cannot be written to"):
        write(record(), tmp_path / "file")
