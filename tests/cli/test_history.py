"""`sparsebench history`: the table, the JSON, the exit codes."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from sparsebench.analysis.history import COLUMNS
from sparsebench.cli import main
from sparsebench.results import read
from tests import histories
from tests.histories import as_frame
from tests.synthetic import write_dataset


@pytest.fixture(autouse=True)
def width_and_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def history_frame() -> pd.DataFrame:
    """Six cases of one benchmark of which two got slower together, and one for a while."""
    logs = np.log(1e-3) + np.random.default_rng(3).normal(0, 0.005, (6, 160))
    logs[:2, 120:] += np.log([[1.5], [1.3]])
    logs[2, 50:90] += np.log(2)
    return as_frame({"m": histories.History(logs, harness=np.zeros(logs.shape, dtype=np.int64))})


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_dataset(history_frame(), tmp_path / "parquet")


def history(dataset: Path, *arguments: str) -> int:
    return main(["history", "--dataset", str(dataset), *arguments])


def test_the_table_has_change_commit_and_case_within_80_columns(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert history(dataset) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split() for line in lines[2:4]] == [
        ["+49.9", "%", "(49.3", "to", "50.5)", "00000077..00000078", "suite.Class.time_work_0"],
        ["worse", "2020-04-30", "n=0:", "1", "ms", "->", "1.5", "ms", "(+1", "case)"],
    ]
    assert [line.split() for line in lines[4:7]] == [
        ["+100", "%", "(99.3", "to", "101)", "00000031..00000032", "suite.Class.time_work_0"],
        ["worse,", "reverted", "2020-02-20", "n=2:", "1", "ms", "->", "2", "ms"],
        ["until", "0000005a"],
    ]


def test_lines_beyond_the_limit_are_counted(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert history(dataset, "--limit", "1") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 more; --limit 0 shows all"


def test_json_has_all_steps(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert history(dataset, "--json", "-") == 0
    printed = json.loads(capsys.readouterr().out)
    assert [step["undone_at"] for step in printed["steps"]] == [None, None, f"{90:08x}{'0' * 32}"]
    first = printed["steps"][0]
    assert first["commit"] == f"{120:08x}{'0' * 32}"
    assert first["change"]["interval"]["low"] == pytest.approx(0.5, abs=0.03)
    assert (first["status"], first["worse"]) == ("there", True)
    assert history(dataset, "--json", str(tmp_path / "history.json")) == 0
    assert json.loads((tmp_path / "history.json").read_text()) == printed
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([], 0),
        (["--fail-on", "worse"], 1),
        (["--fail-on", "any"], 1),
        (["--fail-on", "worse", "--since", f"{121:08x}"], 0),
        (["--fail-on", "worse", "--tolerance", "0.6"], 0),
    ],
)
def test_fail_on_counts_changes_that_are_not_reverted(
    dataset: Path, arguments: list[str], code: int
) -> None:
    assert history(dataset, *arguments) == code


def test_rows_read_as_categories_are_equal_to_plain_rows(dataset: Path) -> None:
    plain = read(dataset, columns=COLUMNS)
    for machine in (None, ["m"]):
        for benchmark in (None, "time_work"):
            frame = read(
                dataset, columns=COLUMNS, categories=True, machine=machine, benchmark=benchmark
            )
            assert isinstance(frame["case"].dtype, pd.CategoricalDtype)
            assert_frame_equal(frame.astype(plain.dtypes), plain)


def test_a_reverted_step_does_not_fail(tmp_path: Path) -> None:
    frame = history_frame()
    rows = frame["case"].eq("n=2")
    reverted = write_dataset(frame[rows], tmp_path / "reverted")
    lasting = write_dataset(frame[rows & (frame["commit_hash"] < f"{90:08x}")], tmp_path / "now")
    assert history(reverted, "--fail-on", "worse") == 0
    assert history(reverted, "--fail-on", "any") == 0
    assert history(lasting, "--fail-on", "worse") == 1


def test_a_history_without_changes_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = history_frame()
    quiet = write_dataset(frame[frame["case"].eq("n=4")], tmp_path / "quiet")
    assert history(quiet) == 0
    assert capsys.readouterr().out == "no lasting change in 1 series\n"


@pytest.mark.parametrize("commits", [1, 2, 3])
def test_series_that_are_too_short_are_counted(
    commits: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = history_frame()
    short = write_dataset(frame[frame["commit_hash"] < f"{commits:08x}"], tmp_path / "short")
    assert history(short, "--fail-on", "any") == 0
    assert capsys.readouterr().out == "6 of 6 series are too short: 8 values are needed\n"
    assert history(short, "--json", "-") == 0
    assert json.loads(capsys.readouterr().out) == {
        "version": 2, "steps": [], "shifts": [], "new_series": [],
        "series": 6, "short": 6, "unfit": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--since", "yesterday"], "--since: unknown date or commit 'yesterday'; known: "),
        (["--machine", "n"], "unknown machine 'n'; known: m"),
        (["--tolerance", "-1"], "Invalid value for '--tolerance': -1.0 is not in the range"),
        (["--fail-on", "slower"], "Invalid value for '--fail-on': 'slower' is not one of"),
    ],
)
def test_bad_input_is_one_line_and_code_2(
    dataset: Path, arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert history(dataset, *arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"sparsebench: {line}")
