import csv
import io
import json
from pathlib import Path

import pytest

from sparsebench.cli import main
from sparsebench.results import ingest
from sparsebench.results.table.schema import SCHEMA
from tests.synthetic import history, write_dataset

DATA = Path(__file__).parents[1] / "data" / "asv"
ALL = [part for status in ("ok", "failed", "skipped", "timeout") for part in ("--status", status)]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("show") / "dataset"
    ingest([DATA / "v2", DATA / "v1"], folder)
    return folder


@pytest.fixture
def show(dataset, capsys, monkeypatch):
    """Runs `sparsebench show` and returns its exit code, stdout and stderr."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments):
        code = main(["show", "--dataset", str(dataset), *arguments])
        return code, *capsys.readouterr()

    return run


def test_a_table_has_scaled_units_and_one_column_per_parameter(show):
    code, out, err = show("--benchmark", "Grid.*(step|digest)", "--device", "cpu", "--limit", "3")
    lines = [line.rstrip() for line in out.splitlines()]
    assert code == 0
    assert lines[0].split() == ["commit", "benchmark", "shape", "level", "block", "zeros", "value"]
    assert [line.split() for line in lines[2:5]] == [
        ["5fef74f4", "Grid.time_step", "128x128", "0.3", "1x4", "2", "2.52", "µs"],
        ["5fef74f4", "Grid.time_step", "255x324", "0.9", "8x1", "all", "2.43", "µs"],
        ["5fef74f4", "Grid.track_digest", "128x128", "0.3", "1x4", "2", "c7e029b5dedb"],
    ]
    assert lines[5] == "every row: device=cpu"
    assert err == "5 of 8 rows not shown; --limit 0 shows all\n"


def test_the_newest_commit_comes_first_and_nothing_is_wider_than_80(show):
    code, out, _ = show("--limit", "0", "--project", "tiny", *ALL)
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    commits = [line[:8] for line in out.splitlines()[2:] if line[:8].strip()]
    assert commits == ["5fef74f4"] * 37 + ["a9f6fd0a"] * 37


def test_several_projects_and_environments_are_reported(show):
    code, out, _ = show("--limit", "0", "--benchmark", "time_step|time_lat")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert out.split()[:4] == ["machine", "commit", "benchmark", "shape"]
    assert "workstation  5fef74f4  grid.Grid." in out
    assert out.splitlines()[-2:] == [
        "rows of 2 projects; --columns project,... shows which",
        "rows of 2 environments; --columns env_name,... shows which",
    ]


def test_parameters_that_do_not_fit_are_one_column(show, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    _, out, _ = show("--benchmark", "Grid.time_step", *ALL)
    assert max(map(len, out.splitlines())) <= 60
    assert out.split()[:4] == ["commit", "benchmark", "case", "value"]


def test_a_row_without_a_value_shows_its_status(show):
    _, out, _ = show("--status", "timeout", "--status", "failed", "--machine", "workstation")
    assert out.splitlines()[2].split() == ["5fef74f4", "Edges.time_fails", "failed"]
    assert ["5fef74f4", "Edges.track_slow", "timeout"] in map(str.split, out.splitlines())
    _, out, _ = show("--benchmark", "time_fails", "--columns", "error,commit_date", "--limit", "1")
    assert "the benchmark failed, crashed" in out
    assert "2026-01-06 10:00" in out


def test_a_case_whose_parameters_have_no_names_is_one_column(show):
    _, out, _ = show("--benchmark", "time_parameterized", "--machine", "cheetah")
    assert out.split()[:4] == ["commit", "benchmark", "case", "value"]


def test_throttled_rows_and_other_versions_than_declared_are_marked(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    frame = history(commits=1, axes={"n": ["1", "2", "3"]}, torch="2.13.0+cpu", noise=0.0)
    frame["throttle"] = ["power cap", "", None]
    frame["mismatch"] = [None, "torch: declared 2.11.0, measured with 2.13.0+cpu", None]
    dataset = str(write_dataset(frame, tmp_path / "parquet"))
    assert main(["show", "--dataset", dataset, "--torch", "2.13.0"]) == 0
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines[2].endswith(" *")
    assert lines[3].endswith(" †")
    text = " ".join(lines[5:])
    assert "* measured while the GPU was slowed down (power cap)" in text
    assert "† measured with other versions than declared (torch: declared 2.11.0," in text
    assert main(["show", "--dataset", dataset, "--torch", "2.1"]) == 2
    assert "unknown torch '2.1'; known: 2.13.0+cpu" in capsys.readouterr().err


def test_csv_has_all_rows_and_columns_in_base_units(show):
    code, out, err = show("--benchmark", "time_step", "--format", "csv", *ALL)
    rows = list(csv.DictReader(io.StringIO(out)))
    assert (code, err, len(rows)) == (0, "", 8)
    assert list(rows[0]) == SCHEMA.names
    assert rows[0]["value"] == "2.5172999926326154e-06"
    assert rows[0]["number"] == "10"
    assert len(json.loads(rows[0]["samples"])) == 8
    assert rows[1]["value"] == ""


def test_json_is_strict_and_exact(show):
    def refuse(name):
        raise ValueError(name)

    code, out, _ = show("--benchmark", r"time_step|track_inf", "--format", "json", "--commit", "a9")
    rows = json.loads(out, parse_constant=refuse)
    assert code == 0
    first = next(row for row in rows if row["benchmark"].endswith("time_step"))
    assert first["value"] == 9.384999998474087e-07
    assert (first["zeros"], first["number"], len(first["samples"])) == (2, 10, 8)
    assert first["commit_date"] == "2026-01-05T10:00:00+00:00"
    (infinite,) = (row for row in rows if row["benchmark"].endswith("track_inf"))
    assert (infinite["value"], infinite["status"]) == (None, "ok")


def test_columns_and_limit_apply_to_every_format(show):
    _, out, err = show("--columns", "machine, value", "--format", "csv", "--limit", "2")
    assert out.splitlines()[0] == "machine,value"
    assert len(out.splitlines()) == 3
    assert err == (
        "117 of 119 rows not shown; --limit 0 shows all; "
        "16 skipped rows hidden; --status skipped shows them\n"
    )


def test_skipped_rows_are_hidden_unless_selected(show):
    code, out, err = show("--limit", "0", "--columns", "status")
    assert (code, "skipped" in out) == (0, False)
    assert err == "16 skipped rows hidden; --status skipped shows them\n"
    code, out, err = show("--limit", "0", "--columns", "status", "--status", "skipped")
    assert (code, out.count("skipped"), err) == (0, 16, "")
    code, out, err = show("--device", "cuda")
    assert (code, out) == (2, "")
    assert "no row matches device=cuda but 12 " in err
    assert "skipped ones, hidden; --status skipped shows them\n" in err


def test_zeros_all_selects_whole_blocks(show):
    code, out, _ = show("--zeros", "all", "--benchmark", "time_step", "--columns", "case")
    assert code == 0
    assert "zeros=all" in out
    assert "zeros=2" not in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--machine", "cheeta"], "unknown machine 'cheeta'; near: cheetah"),
        (["--device", "tpu"], "unknown device 'tpu'; near: cpu"),
        (["--commit", "5fef74f5"], "unknown commit '5fef74f5'; near: 5fef74f4"),
        (["--implementation", "x"], "unknown implementation 'x'; known: none"),
        (["--env", "py"], "unknown env_name 'py'; "),
        (["--status", "fail"], "unknown status 'fail'; near: failed"),
        (["--level", "0.4"], "unknown level '0.4'; near: 0.9, 0.3"),
        (["--columns", "commit"], "unknown column 'commit'; near: commit_hash"),
        (["--benchmark", "["], "benchmark must be a regular expression"),
        (
            ["--machine", "cheetah", "--device", "cpu"],
            "no row matches machine=cheetah, device=cpu\n",
        ),
        (["--machine", "cheetah", "--status", "timeout"], "no row matches machine=cheetah, status"),
        (["--device", "cudb"], "unknown device 'cudb'; near: cuda, cpu\n"),
        (["--zeros", "some"], "Invalid value for '--zeros'"),
        (["--limit", "-1"], "Invalid value for '--limit'"),
    ],
)
def test_an_unknown_value_is_one_line_with_similar_ones_and_exit_code_2(show, arguments, message):
    code, out, err = show(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("sparsebench: ")
    assert message in err


def test_a_missing_dataset_is_one_line(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["show"]) == 2
    assert capsys.readouterr().err == (
        "sparsebench: results/parquet: no such dataset; `sparsebench ingest` makes one\n"
    )


def test_a_half_written_file_is_one_line_and_the_rest_is_shown(tmp_path, capsys):
    ingest([DATA / "v2"], tmp_path)
    (tmp_path / "half.parquet").write_bytes(b"PAR1 half")
    assert main(["show", "--dataset", str(tmp_path), "--benchmark", "mem_list"]) == 0
    out, err = capsys.readouterr()
    assert "2.05 KiB" in out
    assert err.startswith(
        f"sparsebench: {tmp_path / 'half.parquet'}: not readable as Parquet, skipped"
    )
    assert err.count("\n") == 1


def test_the_help_shows_examples(capsys):
    assert main(["show", "--help"]) == 0
    assert "\n    sparsebench show --benchmark time_step" in capsys.readouterr().out
