from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars
import pyarrow.parquet as pq
import pytest

from sparsebench.errors import SparsebenchError
from sparsebench.results import DatasetWarning, ingest, latest, read, read_latest
from sparsebench.results.dataset.storage import Store
from sparsebench.results.table.schema import SCHEMA

DATA = Path(__file__).parents[1] / "data" / "asv"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dataset")
    ingest([DATA / "v1", DATA / "v2"], folder)
    return folder


@pytest.mark.parametrize(
    ("filters", "mask"),
    [
        ({"machine": "cheetah"}, lambda f: f["machine"] == "cheetah"),
        ({"machine": ["cheetah", "workstation"]}, lambda f: f["machine"] != "not-cheetah"),
        ({"commit": "fcf8"}, lambda f: f["commit_hash"].str.startswith("fcf8")),
        (
            {"commit": ["fcf8c079", "a9f6fd0a43"]},
            lambda f: f["commit_hash"].str.contains("^(?:fcf8c079|a9f6fd0a43)"),
        ),
        ({"benchmark": r"\.time_s"}, lambda f: f["benchmark"].str.contains(r"\.time_s")),
        ({"level": 0.3, "device": None}, lambda f: f["level"] == 0.3),
        ({"level": [0.3, 0.9], "zeros": 2}, lambda f: (f["level"] >= 0.3) & (f["zeros"] == 2)),
        ({"status": ("failed", "timeout")}, lambda f: f["status"].isin(["failed", "timeout"])),
        (
            {"shape": "17x23", "status": "ok"},
            lambda f: (f["shape"] == "17x23") & (f.status == "ok"),
        ),
        ({"case": ""}, lambda f: f["case"] == ""),
    ],
)
def test_filters_return_the_rows_that_a_mask_selects(dataset, filters, mask):
    everything = read(dataset)
    expected = everything[mask(everything)].reset_index(drop=True)
    assert 0 < len(expected) < len(everything)
    pd.testing.assert_frame_equal(read(dataset, **filters), expected)


def test_columns_are_in_the_given_order_and_need_not_include_the_filters(dataset):
    frame = read(dataset, columns=["value", "benchmark"], status="ok", device="cpu")
    assert frame.columns.tolist() == ["value", "benchmark"]
    assert len(frame) == len(read(dataset, status="ok", device="cpu")) == 12


def test_rows_that_a_filter_excludes_are_not_decoded(tmp_path, monkeypatch):
    """Another machine's rows may even be damaged; then files are not read one by one either."""
    folder = tmp_path / "copy"
    ingest([DATA / "v1", DATA / "v2"], folder)
    expected = read(folder, machine="cheetah")
    for path in folder.rglob("workstation/*.parquet"):
        content = bytearray(path.read_bytes())
        content[4:2000] = bytes(1996)
        path.write_bytes(content)
    with monkeypatch.context() as patch:
        patch.delattr(Store, "gone")  # called as soon as a file cannot be read
        pd.testing.assert_frame_equal(read(folder, machine="cheetah"), expected)
    with pytest.warns(DatasetWarning, match=r"workstation/.*\.parquet: damaged, skipped") as caught:
        rest = read(folder)
    assert len(caught) == 1
    assert set(rest["machine"]) == {"cheetah", "not-cheetah"}


def test_a_half_written_file_is_reported_and_the_others_are_read(tmp_path):
    ingest([DATA / "v2"], tmp_path)
    path = next(tmp_path.rglob("*.parquet"))
    (path.parent / "half.parquet").write_bytes(path.read_bytes()[:1500])
    (path.parent / ".half.parquet.1-aa.tmp").write_bytes(b"PAR1")
    with pytest.warns(DatasetWarning, match=r"half\.parquet: not readable as Parquet") as caught:
        assert len(read(tmp_path)) == 74
    assert len(caught) == 1


UNKNOWN = [
    ({"machine": "cheeta"}, "unknown machine 'cheeta'; near: cheetah"),
    ({"machine": ["cheetah", "tiger"]}, "unknown machine 'tiger'; known: "),
    ({"commit": "fcf8c078"}, "unknown commit 'fcf8c078'; near: fcf8c079"),
    ({"device": "tpu"}, "unknown device 'tpu'; "),
    ({"benchmark": "time_stepp"}, "unknown benchmark 'time_stepp'; near: "),
    ({"level": 0.31}, "unknown level '0.31'; near: 0.3"),
    ({"weights": "ones"}, "unknown weights 'ones'; known: none"),
    ({"benchmark": "("}, r"benchmark must be a regular expression \(RE2\), got '\('; "),
    ({"benchmark": "(?=a)"}, r"benchmark must be a regular expression \(RE2\), got '\(\?=a\)'; "),
    ({"machin": "x"}, "unknown filter 'machin'; near: machine"),
    ({"columns": ["valu"]}, "unknown column 'valu'; near: value"),
]


@pytest.mark.parametrize(("filters", "message"), UNKNOWN)
def test_an_unknown_name_lists_near_ones(dataset, filters, message):
    with pytest.raises(SparsebenchError, match=f"^{message}"):
        read(dataset, **filters)


def test_values_that_occur_but_not_together_give_no_row(dataset):
    assert read(dataset, machine="cheetah", device="cpu").empty


def test_a_missing_or_empty_dataset_is_reported(tmp_path):
    with pytest.raises(SparsebenchError, match=r"nowhere: no such dataset; `sparsebench ingest`"):
        read(tmp_path / "nowhere")
    with pytest.raises(SparsebenchError, match=r"holds no results; `sparsebench ingest`"):
        read(tmp_path)


def test_a_dataset_of_older_columns_is_read_with_nulls(tmp_path):
    ingest([DATA / "v2"], tmp_path)
    path = next(tmp_path.rglob("*.parquet"))
    pq.write_table(pq.read_table(path).drop_columns(["driver", "digest"]), path)
    frame = read(tmp_path)
    assert frame.columns.tolist() == SCHEMA.names
    assert len(frame) == 74
    assert frame["digest"].isna().all()


def test_latest_selects_the_newest_commit_of_each_case(tmp_path, write_result):
    for number, day in [(1, 2), (2, 3), (3, 1)]:
        results = {"time_x": [[float(number)]]} | ({"time_old": [[9.0]]} if number == 3 else {})
        ingest(
            [write_result(results, commit_hash=str(number) * 40, date=day * 86_400_000)],
            tmp_path / "dataset",
        )
    frame = latest(read(tmp_path / "dataset"))
    pd.testing.assert_frame_equal(read_latest(tmp_path / "dataset"), frame.reset_index(drop=True))
    assert frame.set_index("benchmark")["value"].to_dict() == {"time_x": 2.0, "time_old": 9.0}


def test_latest_takes_unknown_times_for_the_oldest_and_keeps_the_order_of_rows():
    day, hour = pd.Timestamp("2024-01-02", tz="UTC"), pd.Timestamp("2024-01-02T03", tz="UTC")
    frame = pd.DataFrame(
        {
            "case": ["b", "a", "a", "a", "b", None, None],
            "commit_date": [day, None, day, day, None, day, day],
            "started_at": [None, hour, hour, None, hour, None, None],
            "value": range(7),
        },
        index=range(10, 3, -1),
    ).assign(project="p", machine="m", env_name="e", benchmark="time_x")
    assert latest(frame)["value"].tolist() == [0, 2, 6]
    shuffled = frame.iloc[[6, 2, 0, 1, 3, 4, 5]]
    assert latest(shuffled)["value"].tolist() == [2, 0, 5]


QUERY = """
    SELECT status, count(*) AS rows, sum(value) FILTER (value < 'inf') AS total,
           sum(len(samples)) AS samples, count(DISTINCT "case") AS cases, max(commit_date) AS newest
    FROM '{}/**/*.parquet' GROUP BY status ORDER BY status
"""


def test_duckdb_reads_the_dataset_as_it_is(dataset):
    rows = duckdb.sql(QUERY.format(dataset)).fetchall()
    frame = read(dataset)
    assert [row[0] for row in rows] == sorted(frame["status"].unique())
    for status, count, total, samples, cases, newest in rows:
        same = frame[frame["status"] == status]
        finite = same["value"][np.isfinite(same["value"])]
        assert count == len(same)
        assert (total or 0.0) == pytest.approx(finite.sum(), rel=1e-12)
        assert (samples or 0) == same["samples"].dropna().map(len).sum()
        assert cases == same["case"].nunique()
        assert pd.Timestamp(newest, tz="UTC") == same["commit_date"].max()
    described = duckdb.sql(f"DESCRIBE SELECT * FROM '{dataset}/**/*.parquet'").fetchall()
    assert [column[0] for column in described] == SCHEMA.names  # none comes from the path


def test_polars_reads_the_dataset_as_it_is(dataset):
    lazy = polars.scan_parquet(dataset / "**" / "*.parquet")
    rows = lazy.filter(polars.col("status") == "ok").select("benchmark", "case", "value", "samples")
    theirs, ours = rows.collect(), read(dataset, status="ok")
    assert theirs["value"].to_list() == ours["value"].tolist()
    assert theirs["case"].to_list() == ours["case"].tolist()
    assert theirs["samples"].drop_nulls().explode().to_list() == [
        sample for samples in ours["samples"].dropna() for sample in samples
    ]


def test_pandas_reads_the_dataset_as_it_is(dataset):
    theirs = pd.read_parquet(dataset)
    assert theirs.columns.tolist() == SCHEMA.names
    assert sorted(theirs["value"].dropna()) == sorted(read(dataset)["value"].dropna())


def test_the_schema_is_imported_without_pandas(run_python):
    code = "import sys, sparsebench.results.table.schema; print('pandas' in sys.modules)"
    assert run_python(code) == "False"
    code = "import sys; from sparsebench.results import ingest; print('pandas' in sys.modules)"
    assert run_python(code) == "False"


def test_zeros_all_selects_whole_blocks_and_not_cases_without_zeros(dataset):
    everything = read(dataset)
    whole_block = everything["case"].str.contains(r"\bzeros=(?:all|None)\b")
    assert 0 < whole_block.sum() < everything["zeros"].isna().sum()
    expected = everything[whole_block].reset_index(drop=True)
    pd.testing.assert_frame_equal(read(dataset, zeros="all"), expected)
    either = everything[whole_block | (everything["zeros"] == 2)].reset_index(drop=True)
    pd.testing.assert_frame_equal(read(dataset, zeros=["all", 2]), either)
    with pytest.raises(SparsebenchError, match="unknown zeros '9'; known: 2, all"):
        read(dataset, zeros=9)


def test_a_status_need_not_occur_but_must_be_one(tmp_path, write_result):
    ingest([write_result({"time_x": [[1.0]]})], tmp_path / "dataset")
    assert read(tmp_path / "dataset", status="timeout").empty
    assert len(read(tmp_path / "dataset", status=["ok", "failed"])) == 1
    with pytest.raises(SparsebenchError, match="unknown status 'fail'; near: failed; others: ok"):
        read(tmp_path / "dataset", status=["ok", "fail"])


def test_a_folder_that_cannot_be_read_is_reported(tmp_path, write_result, locked):
    ingest([write_result({"time_x": [[1.0]]})], tmp_path / "dataset")
    (tmp_path / "dataset" / "other").mkdir()
    locked("other")
    with pytest.raises(
        SparsebenchError, match=r"other: folder cannot be read \(Permission denied\)"
    ):
        read(tmp_path / "dataset")
