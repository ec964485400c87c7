from pathlib import Path

import pytest

from sparsebench.cli import main
from sparsebench.results import ingest

DATA = Path(__file__).parents[1] / "data" / "asv"


@pytest.mark.parametrize(
    ("form", "name"), [("csv", "rows.csv"), ("jsonl", "rows.jsonl"), ("asv", "t")]
)
def test_the_number_of_rows_is_printed(tmp_path, capsys, form, name):
    ingest([DATA / "v2"], tmp_path / "set")
    into = tmp_path / name
    arguments = ["--dataset", str(tmp_path / "set"), "--into", str(into), "--to", form]
    assert main(["export", *arguments, "--status", "ok", "--benchmark", "time_step"]) == 0
    assert capsys.readouterr().out == f"{into}: 4 rows\n"
    assert into.exists()


def test_a_filter_that_matches_nothing_is_reported(tmp_path, capsys):
    ingest([DATA / "v2"], tmp_path / "set")
    arguments = ["--dataset", str(tmp_path / "set"), "--into", str(tmp_path / "x.csv")]
    assert main(["export", *arguments, "--machine", "workstatio"]) == 2
    assert "unknown machine 'workstatio'; near: workstation" in capsys.readouterr().err
    assert not (tmp_path / "x.csv").exists()
