import json
import shutil
from pathlib import Path

import pytest

from sparsebench.cli import main
from sparsebench.results import ingestion, read

DATA = Path(__file__).parents[1] / "data" / "asv"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A checkout with asv results where scripts/bench leaves them, as the working directory."""
    shutil.copytree(DATA / "v2", tmp_path / "results" / "asv")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_arguments_it_reads_results_asv_into_results_parquet(project, capsys):
    assert main(["ingest"]) == 0
    out, err = capsys.readouterr()
    assert out == "results/parquet: stored 2 files, 74 rows; 0 unchanged; 0 bad\n"
    assert err == ""  # no progress bar where there is no terminal
    assert len(read("results/parquet")) == 74
    assert main(["ingest"]) == 0
    assert capsys.readouterr().out == (
        "results/parquet: stored 0 files, 0 rows; 2 unchanged; 0 bad\n"
    )


def test_in_an_asv_project_without_arguments_it_reads_where_asv_writes(
    tmp_path, monkeypatch, capsys
):
    (tmp_path / "asv.conf.json").write_text(
        '{"version": 1, "project": "x", "repo": ".", "environment_type": "virtualenv",'
        ' "results_dir": ".asv/results"}'
    )
    shutil.copytree(DATA / "v2", tmp_path / ".asv" / "results")
    (tmp_path / "inside").mkdir()
    monkeypatch.chdir(tmp_path / "inside")
    assert main(["ingest"]) == 0
    assert capsys.readouterr().out.startswith("results/parquet: stored 2 files, 74 rows")


def test_a_bad_file_is_one_line_on_stderr_and_exit_code_2(project, capsys):
    bad = Path("results/asv/workstation/00000000-cut.json")
    bad.write_text('{"commit_hash": "0')
    for stored in (2, 0):
        assert main(["ingest"]) == 2
        out, err = capsys.readouterr()
        assert out.startswith(f"results/parquet: stored {stored} files")
        assert out.endswith("1 bad\n")
        assert err.startswith(f"{bad}: must be JSON, broken or truncated: ")
        assert err.count("\n") == 1


def test_project_and_dataset_can_be_chosen(project, capsys):
    assert main(["ingest", "results/asv/workstation", "--into", "else", "--project", "mine"]) == 0
    assert set(read("else")["project"]) == {"mine"}
    assert capsys.readouterr().out.startswith("else: stored 2 files")


def test_rows_that_the_new_results_lack_are_kept_and_counted(project, capsys):
    assert main(["ingest"]) == 0
    (source,) = Path("results/asv/workstation").glob("a9f6fd0a-*.json")
    data = json.loads(source.read_text())
    data["results"] = dict(list(data["results"].items())[:1])
    source.write_text(json.dumps(data))
    capsys.readouterr()
    assert main(["ingest"]) == 0
    assert (
        "stored 1 files (1 merged with stored ones), 1 rows; 1 unchanged; 0 bad"
        in capsys.readouterr().out
    )
    assert len(read("results/parquet")) == 74


def test_an_empty_file_of_results_is_reported(project, capsys):
    (source,) = Path("results/asv/workstation").glob("a9f6fd0a-*.json")
    text = source.read_text()
    head, tail = text.index('"results": {'), text.index('"durations"')
    source.write_text(f'{text[:head]}"results": {{}}, {text[tail:]}')
    assert main(["ingest", str(source)]) == 0
    assert capsys.readouterr().out == (
        f"{source}: 0 rows\nresults/parquet: stored 1 files, 0 rows; 0 unchanged; 0 bad\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: no such file or folder; give an asv results folder"),
        (["empty"], "empty: holds no asv result (*.json); give an asv results folder"),
        (["--into", "file"], "file: the dataset must be a folder, got a file"),
        (["--into", "/proc/x"], "/proc/x/"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(project, capsys, arguments, message):
    (project / "empty").mkdir()
    (project / "file").touch()
    assert main(["ingest", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"sparsebench: {message}")
    assert err.count("\n") == 1


def test_an_interrupt_is_one_line_and_keeps_stored_rows(project, capsys, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    first = min(Path("results/asv/workstation").glob("*-*.json"))
    assert main(["ingest", str(first)]) == 0
    monkeypatch.setattr(ingestion, "write_file", interrupted)
    assert main(["ingest"]) == 130
    err = capsys.readouterr().err.strip()  # click ends the line that holds the terminal's ^C
    assert err == "sparsebench: interrupted; what was stored is kept, the same command continues"
    assert len(read("results/parquet")) == 37


def test_the_help_shows_examples(capsys):
    assert main(["ingest", "--help"]) == 0
    assert "\n    sparsebench ingest results/asv/workstation" in capsys.readouterr().out
