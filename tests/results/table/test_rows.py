"""Each value of real asv files against the stored rows, by a slow and simple reader."""

import itertools
import json
import math
from pathlib import Path

import pandas as pd
import pytest

from sparsebench.results import ingest, read
from sparsebench.results.table.file_columns import ram_bytes
from sparsebench.results.table.schema import SCHEMA

DATA = Path(__file__).parents[2] / "data" / "asv"
STATS = {
    "stats_ci_99_a": "ci_99_a",
    "stats_ci_99_b": "ci_99_b",
    "stats_q_25": "q_25",
    "stats_q_75": "q_75",
    "stats_number": "number",
    "stats_repeat": "repeat",
}


def simple_rows(path):
    """Yield (commit, benchmark, params) and asv's cells, one combination at a time."""
    data = json.loads(path.read_text())
    for name, row in data["results"].items():
        cells = dict.fromkeys(data["result_columns"]) | dict(
            zip(data["result_columns"], row, strict=False)
        )
        for index, params in enumerate(itertools.product(*cells["params"])):
            values = {
                key: value[index] if isinstance(value, list) and key != "params" else value
                for key, value in cells.items()
            }
            yield (data["commit_hash"], name, params), values


def same(stored, recorded):
    if recorded is None or recorded != recorded:
        return pd.isna(stored)
    return stored == recorded


def test_each_value_of_the_real_files_is_stored_exactly(tmp_path):
    ingest([DATA / "v2"], tmp_path)
    frame = read(tmp_path)
    stored = {
        (row["commit_hash"], row["benchmark"], tuple(row["params"])): row
        for row in frame.to_dict("records")
    }
    expected = dict(
        pair
        for path in (DATA / "v2" / "workstation").glob("*-*.json")
        for pair in simple_rows(path)
    )
    assert stored.keys() == expected.keys()
    assert len(stored) == len(frame) == 74
    samples = 0
    for key, cells in expected.items():
        row = stored[key]
        assert same(row["value"], cells["result"])
        assert all(same(row[column], cells[name]) for name, column in STATS.items())
        assert (row["samples"] is None) == (cells["samples"] is None)
        if cells["samples"]:
            assert row["samples"].tolist() == cells["samples"]
            samples += len(cells["samples"])
        assert row["benchmark_version"] == cells["version"]
        assert row["duration"] == cells["duration"]
        assert row["started_at"] == pd.Timestamp(cells["started_at"], unit="ms", tz="UTC")
    assert samples == 124


def test_statuses_of_the_real_files(tmp_path):
    ingest([DATA / "v2"], tmp_path)
    frame = read(tmp_path, commit="a9f6fd0a").set_index(["benchmark", "case"]).sort_index()
    single = frame.xs("", level="case")["status"]
    assert single.drop(["grid.Edges.timeraw_import", "grid.Edges.mem_list"]).to_dict() == {
        "grid.Edges.peakmem_list": "ok",
        "grid.Edges.time_fails": "failed",
        "grid.Edges.time_slow": "failed",  # two rounds: its duration proves no time-out
        "grid.Edges.track_dies": "failed",
        "grid.Edges.track_inf": "ok",
        "grid.Edges.track_nan": "skipped",  # asv takes NaN for skipped
        "grid.Edges.track_slow": "timeout",
    }
    assert frame.xs("", level="case").loc["grid.Edges.track_inf", "value"] == math.inf
    step = frame.loc["grid.Grid.time_step"]
    assert step.groupby("device")["status"].unique().map(list).to_dict() == {
        "cpu": ["ok"],
        "cuda": ["skipped"],
    }
    typed = frame.loc["grid.Typed.time_typed"]
    failed = typed[(typed["level"] == 0.9) & (typed["shape"] == "17x23")]
    assert set(failed["status"]) == {"failed"}
    assert set(typed.drop(failed.index)["status"]) == {"ok"}


def test_a_digest_is_stored_with_each_value_of_its_class(tmp_path):
    ingest([DATA / "v2"], tmp_path)
    frame = read(tmp_path, benchmark=r"\.Grid\.", status="ok")
    for _, same_case in frame.groupby(["commit_hash", "case"]):
        tracked = same_case.loc[same_case["benchmark"] == "grid.Grid.track_digest", "value"]
        assert set(same_case["digest"]) == {f"{int(tracked.iloc[0]):012x}"}
        assert len(same_case) == 3
    assert read(tmp_path, benchmark=r"\.Typed\.")["digest"].isna().all()


def test_identity_hardware_and_versions_of_a_row(tmp_path, write_result):
    path = write_result(
        {"time_x": [[1.0]]},
        params={
            "machine": "workstation",
            "num_cpu": "8",
            "ram": "16G",
            "gpu": "H200",
            "cuda": "13",
        },
        requirements={"torch": "2.13.0", "pip+asv-runner": "0.3.2", "numpy": None},
        env_vars={"OMP_NUM_THREADS": "1"},
    )
    (path.parent / "machine.json").write_text(
        json.dumps({"version": 1, "arch": "x86_64", "num_cpu": "4", "driver": "580.1"})
    )
    ingest([path], tmp_path / "dataset")
    (row,) = read(tmp_path / "dataset").to_dict("records")
    expected = {
        "project": "generated",
        "machine": "workstation",
        "num_cpu": 8,  # what the run recorded wins over today's machine.json
        "ram": 16 * 2**30,
        "arch": "x86_64",
        "gpu": "H200",
        "cuda": "13",
        "driver": "580.1",
        "torch": "2.13.0",
        "asv_runner": "0.3.2",
        "fingerprint": "runner=0.3.2",
        "commit_date": pd.Timestamp(1_700_000_000_000, unit="ms", tz="UTC"),
        "source_path": "workstation/aaaaaaaa-env.json",
        "params": [],
        "case": "",
    }
    row["params"] = list(row["params"])
    assert {key: row[key] for key in expected} == expected
    assert dict(row["requirements"])["numpy"] is None
    assert list(row) == SCHEMA.names


def test_a_benchmark_that_is_not_listed_is_stored_with_its_values(tmp_path, write_result):
    path = write_result({"a.track_x": [[1.0, 2.0], [["'u'", "'v'"]]]}, benchmarks={})
    ingest([path], tmp_path / "dataset")
    frame = read(tmp_path / "dataset")
    assert frame["params"].map(list).tolist() == [["'u'"], ["'v'"]]
    assert frame["case"].tolist() == ["u", "v"]
    assert frame["param_names"].isna().all()
    assert frame["type"].tolist() == ["track", "track"]


def test_contradictions_are_failed_rows_with_their_reason(tmp_path, write_result):
    path = write_result({"time_bad": [[1.0], [["1", "2"]]], "time_text": [["fast"]]})
    report = ingest([path], tmp_path / "dataset")
    assert report.problems == ()
    assert read(tmp_path / "dataset")["error"].tolist() == [
        "1 values for 2 parameter combinations",
        "the value must be a number, got fast",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8127180", 8127180 * 1024),  # older asv wrote KiB
        ("8322232320", 8322232320),
        ("8.2G", round(8.2 * 2**30)),
        ("16 GB", 16 * 2**30),
        ("512MiB", 512 * 2**20),
        ("", None),
        ("lots", None),
        ("1.2.3", None),
        (None, None),
    ],
)
def test_ram_is_in_bytes(text, expected):
    assert ram_bytes(text) == expected
