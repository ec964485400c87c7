from pathlib import Path

import pandas as pd

from sparsebench.cli import main
from sparsebench.results import ingest, read

DATA = Path(__file__).parents[1] / "data" / "asv"


def test_small_files_become_one_per_machine(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in sorted((DATA / "v2" / "workstation").glob("*-*.json")):
        ingest([path], "results/parquet")
    before = read("results/parquet")
    assert main(["compact"]) == 0
    assert capsys.readouterr().out == "results/parquet: 2 files became 1; 74 rows\n"
    after = read("results/parquet")
    keys = ["commit_hash", "benchmark", "case"]
    pd.testing.assert_frame_equal(
        after.sort_values(keys, ignore_index=True), before.sort_values(keys, ignore_index=True)
    )
    assert main(["compact", "results/parquet"]) == 0
    assert capsys.readouterr().out == "results/parquet: 1 files became 1; 74 rows\n"


def test_a_file_that_is_not_parquet_is_reported_and_not_deleted(tmp_path, capsys):
    ingest([DATA / "v2"], tmp_path)
    odd = tmp_path / "odd.parquet"
    odd.write_bytes(b"no")
    assert main(["compact", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(f"{odd}: not readable as Parquet, skipped (")
    assert odd.exists()
