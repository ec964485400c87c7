"""docs/results.md: its queries return the rows of `read_latest`, its table lists all columns."""

import os
import re
import subprocess
import sys
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from sparsebench.results import ingest, read_latest
from sparsebench.results.table.schema import SCHEMA

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
KEYS = ["project", "machine", "env_name", "benchmark", "case"]


@pytest.fixture
def dataset(tmp_path, monkeypatch, write_result):
    """A dataset of several commits and machines at the documented path; its parent folder."""
    data = ROOT / "tests" / "data" / "asv"
    monkeypatch.chdir(tmp_path)
    ingest([data / "v1", data / "v2"], "results/parquet")
    ingest([write_result({"time_x": [[1.0]]})], "results/parquet")
    return tmp_path


def block(language):
    return re.search(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)[1]


def latest_values():
    frame = read_latest("results/parquet", columns=[*KEYS, "value"])
    return frame.sort_values(KEYS, ignore_index=True)


def test_the_documented_duckdb_query_returns_the_rows_of_read_latest(dataset):
    rows = duckdb.sql(block("sql")).df().sort_values(KEYS, ignore_index=True)
    assert len(rows) > 50
    pd.testing.assert_frame_equal(rows.astype(dict.fromkeys(KEYS, "str")), latest_values())


def test_the_documented_polars_query_returns_the_rows_of_read_latest(dataset):
    code = block("python").replace("print(newest.collect())", "newest.collect().write_csv('o.csv')")
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        env={**os.environ, "POLARS_MAX_THREADS": "1"},
    )
    rows = pd.read_csv("o.csv", keep_default_na=False, na_values={"value": [""]})
    rows = rows.astype(dict.fromkeys(KEYS, "str") | {"value": "float64"})
    rows = rows.sort_values(KEYS, ignore_index=True)
    pd.testing.assert_frame_equal(rows, latest_values())


def test_every_column_is_documented_and_no_other():
    table = TEXT[TEXT.index("## Columns") : TEXT.index("## Queries")]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert sorted(name for cell in cells for name in re.findall(r"`(\w+)`", cell)) == sorted(
        SCHEMA.names
    )
