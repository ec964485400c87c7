"""What docs/results.md says: its queries give what our reader gives, its columns are all."""

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
def place(tmp_path, monkeypatch, write_result):
    """A folder with a dataset of three commits and several machines at the documented path."""
    data = ROOT / "tests" / "data" / "asv"
    monkeypatch.chdir(tmp_path)
    ingest([data / "v1", data / "v2"], "results/parquet")
    ingest([write_result({"time_x": [[1.0]]})], "results/parquet")
    return tmp_path


def block(language):
    return re.search(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)[1]


def ours():
    frame = read_latest("results/parquet", columns=[*KEYS, "value"])
    return frame.sort_values(KEYS, ignore_index=True)


def test_the_documented_duckdb_query_gives_what_read_latest_gives(place):
    theirs = duckdb.sql(block("sql")).df().sort_values(KEYS, ignore_index=True)
    assert len(theirs) > 50
    pd.testing.assert_frame_equal(theirs.astype(dict.fromkeys(KEYS, "str")), ours())


def test_the_documented_polars_query_gives_what_read_latest_gives(place):
    code = block("python").replace("print(newest.collect())", "newest.collect().write_csv('o.csv')")
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        env={**os.environ, "POLARS_MAX_THREADS": "1"},
    )
    theirs = pd.read_csv("o.csv", keep_default_na=False, na_values={"value": [""]})
    theirs = theirs.astype(dict.fromkeys(KEYS, "str") | {"value": "float64"})
    theirs = theirs.sort_values(KEYS, ignore_index=True)
    pd.testing.assert_frame_equal(theirs, ours())


def test_every_column_is_documented_and_no_other():
    table = TEXT[TEXT.index("## Columns") : TEXT.index("## Queries")]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert sorted(name for row in rows for name in re.findall(r"`(\w+)`", row)) == sorted(
        SCHEMA.names
    )
