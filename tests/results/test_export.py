"""CSV, JSON lines and asv's own files, read back by other programs."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from asv.benchmarks import Benchmarks
from asv.results import Results

from sparsebench.cli import main
from sparsebench.errors import SparsebenchError
from sparsebench.results import export, ingest, read

DATA = Path(__file__).parents[1] / "data" / "asv"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dataset")
    ingest([DATA / "v2"], folder)
    return folder


def test_csv_holds_every_row_and_sample(dataset, tmp_path, capsys):
    into = tmp_path / "rows.csv"
    assert main(["export", "--dataset", str(dataset), "--into", str(into)]) == 0
    assert capsys.readouterr().out == f"{into}: 74 rows\n"
    theirs, ours = pd.read_csv(into), read(dataset)
    assert list(theirs) == list(ours)
    pd.testing.assert_series_equal(theirs["value"], ours["value"])
    samples = theirs["samples"].dropna().map(json.loads)
    assert samples.tolist() == [list(s) for s in ours["samples"].dropna()]
    times = pd.to_datetime(theirs["started_at"], format="ISO8601")
    assert (times.dropna() == ours["started_at"].dropna()).all()


def test_json_lines_hold_every_row(dataset, tmp_path):
    export(dataset, tmp_path / "rows.jsonl", "jsonl", status="ok")
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    ours = read(dataset, status="ok")
    assert [row["value"] for row in rows] == ours["value"].tolist()
    assert [row["params"] for row in rows] == [list(params) for params in ours["params"]]
    assert rows[0]["requirements"] == {"wheel": "0.45.1"}
    assert rows[0]["commit_date"] == ours["commit_date"][0].isoformat()


def test_asv_reads_exported_files_as_it_reads_its_own(dataset, tmp_path):
    export(dataset, tmp_path, "asv")
    (tree,) = [path for path in tmp_path.iterdir() if path.is_dir()]
    listed = Benchmarks.load(_Config(tree))
    assert listed["grid.Grid.time_step"]["params"] == [
        [
            "'shape=128x128,level=0.3,block=1x4,zeros=2'",
            "'shape=255x324,level=0.9,block=8x1,zeros=all'",
        ],
        ["'cpu'", "'cuda'"],
    ]
    ours = {p.name: p for p in (tree / "workstation").glob("*-*.json")}
    theirs = {p.name: p for p in (DATA / "v2" / "workstation").glob("*-*.json")}
    assert len(ours) == len(theirs) == 2
    for name in ours:
        mine = Results.load(str(ours[name]))
        original = Results.load(str(_same_commit(name, theirs)))
        assert mine.commit_hash == original.commit_hash
        assert mine.date == original.date
        assert mine.env_name == original.env_name
        keys = set(original.get_all_result_keys())
        assert set(mine.get_all_result_keys()) == keys <= set(listed)
        for key in keys:
            params = original.get_result_params(key)
            assert mine.get_result_params(key) == params
            assert _equal(
                mine.get_result_value(key, params), original.get_result_value(key, params)
            )
            assert mine.get_result_samples(key, params) == original.get_result_samples(key, params)
            assert mine.get_result_stats(key, params) == original.get_result_stats(key, params)
            assert mine.benchmark_version[key] == original.benchmark_version[key]
            assert mine.started_at[key] == original.started_at[key]
            assert mine.duration[key] == original.duration[key]


def test_asv_publishes_exported_files(repository, write_result, tmp_path):
    folder, commit = repository
    params = [["'a'", "'b'"], ["1", "2"]]
    listed = {"time_x": {"type": "time", "unit": "seconds", "param_names": ["kind", "n"]}}
    for number, subject in enumerate(["one", "two", "three"], 1):
        values = [float(number * (n + 1)) for n in range(3)]
        row = [[*values, math.nan], params, "v", 1, 1.0]
        date = 1_700_000_000_000 + number
        path = write_result(
            {"time_x": row}, benchmarks=listed, commit_hash=commit(subject), date=date
        )
        ingest([path], tmp_path / "dataset", project="tiny")
    export(tmp_path / "dataset", tmp_path / "trees", "asv")
    config = {"version": 1, "project": "tiny", "repo": ".", "branches": ["main"]}
    config["results_dir"] = str(tmp_path / "trees" / "tiny")
    (folder / "asv.conf.json").write_text(json.dumps(config))
    subprocess.run(
        [sys.executable, "-m", "asv", "publish", "--no-pull"],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    (graph,) = (folder / "html" / "graphs").glob("**/branch-main/**/time_x.json")
    points = json.loads(graph.read_text())
    assert [point[1] for point in points] == [[n, 2 * n, 3 * n, None] for n in (1.0, 2.0, 3.0)]
    index = json.loads((folder / "html" / "index.json").read_text())
    assert index["benchmarks"]["time_x"]["params"] == params
    assert index["benchmarks"]["time_x"]["param_names"] == ["kind", "n"]


def test_exported_asv_files_can_be_ingested_again(dataset, tmp_path):
    export(dataset, tmp_path / "trees", "asv")
    (tree,) = (tmp_path / "trees").iterdir()
    ingest([tree], tmp_path / "again", project=read(dataset)["project"][0])
    columns = ["commit_hash", "benchmark", "case", "value", "ci_99_a", "number", "status"]
    keys = ["commit_hash", "benchmark", "case"]
    first, again = (
        read(folder, columns=columns).sort_values(keys, ignore_index=True)
        for folder in (dataset, tmp_path / "again")
    )
    again["status"] = again["status"].where(first["status"] != "timeout", "timeout")
    pd.testing.assert_frame_equal(again, first)


def test_exported_files_are_inside_the_folder_whatever_the_names(write_result, tmp_path):
    path = write_result(
        {"time_x": [[1.0]]}, params={"machine": "../../m"}, env_name="../e", commit_hash="../c"
    )
    ingest([path], tmp_path / "dataset", project="../p")
    export(tmp_path / "dataset", tmp_path / "in" / "trees", "asv")
    assert {path.name for path in (tmp_path / "in").iterdir()} == {"trees"}
    (written,) = (tmp_path / "in" / "trees").rglob("*-*.json")
    assert json.loads(written.read_text())["env_name"] == "../e"


def test_an_output_that_cannot_be_written_is_one_line(dataset):
    with pytest.raises(SparsebenchError, match=r"^/proc/x: cannot be written: "):
        export(dataset, Path("/proc/x"), "csv")


class _Config:
    def __init__(self, tree):
        self.results_dir = str(tree)
        self.benchmark_dir = str(tree)


def _same_commit(name, paths):
    return next(path for other, path in paths.items() if other[:8] == name[:8])


def _equal(mine, original):
    pairs = zip(mine, original, strict=True)
    return all(
        a == b or (a is not None and b is not None and math.isnan(a) and math.isnan(b))
        for a, b in pairs
    )
