import json
from pathlib import Path

import pytest

from sparsebench.errors import SparsebenchError
from sparsebench.results.asv.json_files import BadFileError
from sparsebench.results.asv.result_files import STATS, find_result_files, load_result_file

DATA = Path(__file__).parents[2] / "data" / "asv"

V2 = {"version": 2, "commit_hash": "a", "results": {}, "result_columns": ["result"]}
BAD = {
    "empty": (b"", "got an empty file"),
    "blank": (b" \n", "got an empty file"),
    "binary": (b"\x00\xff\xfe\x80PAR1\x9c", "binary data|broken or truncated"),
    "truncated": (b'{"commit_hash": "a", "resul', "broken or truncated"),
    "list": (b"[1, 2]", "must be a JSON object, got a list"),
    "deep": (b"[" * 200_000, "nested too deeply"),
    "huge number": (b'{"version": ' + b"9" * 5000 + b"}", "broken or truncated"),
    "not asv": (b'{"name": "x"}', "must hold asv's integer 'version'; not an asv file"),
    "odd version": (b'{"version": "2"}', "must hold asv's integer 'version'"),
    "future": (b'{"version": 3}', "version must be at most 2, got 3; update sparsebench"),
    "too old": (b'{"version": 0}', r"version must be one of \(1, 2\), got 0"),
    "machine": (b'{"version": 1, "machine": "m"}', "must hold 'commit_hash' and 'results'"),
    "no columns": (json.dumps(V2 | {"result_columns": None}).encode(), "'result_columns'"),
}


def stat(result, name):
    return result.stats[STATS.index(name)]


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD)
def test_a_bad_file_is_one_line_with_its_path(tmp_path, content, message):
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(BadFileError, match=message) as caught:
        load_result_file(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    assert len(text) < len(str(path)) + 320


def test_a_folder_instead_of_a_file_is_reported(tmp_path):
    with pytest.raises(BadFileError, match="must be a plain file"):
        load_result_file(tmp_path)


@pytest.mark.parametrize("name", ["aaaaaaaa", "bbbbbbbb"])
def test_the_bad_files_of_asvs_own_tests_are_bad(name):
    with pytest.raises(BadFileError, match=r"broken or truncated|not an asv result"):
        load_result_file(DATA / "v1-bad" / f"{name}-py2.7-Cython-numpy1.8.json")


def test_version_2_rows():
    (path,) = (DATA / "v2" / "workstation").glob("a9f6fd0a-*.json")
    file = load_result_file(path)
    assert (file.machine, file.python) == ("workstation", "3.11")
    assert file.env_vars == {"OMP_NUM_THREADS": "1"}
    rows = {result.name: result for result in file.benchmarks}
    assert len(rows) == 13
    step = rows["grid.Grid.time_step"]
    assert [len(values) for values in step.params] == [2, 2]
    assert len(step.values) == 4
    assert stat(step, "number") == [10, None, 10, None]
    assert [s and len(s) for s in step.samples] == [8, None, 8, None]
    # asv collapses "nothing but nulls" to one null, and drops what is null at the end
    assert rows["grid.Edges.time_fails"].values == [None]
    assert rows["grid.Edges.time_fails"].samples == [None]


def test_version_1_in_all_its_shapes():
    file = load_result_file(DATA / "v1" / "cheetah" / "fcf8c079-py2.7-Cython-numpy1.8.json")
    assert file.env_name == "py2.7-Cython-numpy1.8"  # version 1 has it in the file's name only
    assert file.requirements == {"numpy": "1.8"}
    rows = {result.name: result for result in file.benchmarks}
    assert rows["time_units.mem_unit"].values == [344]  # a bare number
    assert rows["params_examples.ParamSuite.track_value"].values == [None]  # a bare null
    assert rows["time_other.time_parameterized"].params == (("1", "2", "3"),)
    assert rows["time_other.time_parameterized"].values == [1, 4, None]
    assert stat(rows["time_ci_big"], "ci_99_a") == [1.5]  # a list of dicts
    assert stat(rows["time_ci_big"], "q_75") == [3.5]


def test_version_1_times_and_versions_are_outside_the_results():
    started = load_result_file(DATA / "v1" / "cheetah" / "13dd6571-py2.7-Cython-numpy1.8.json")
    assert any(result.started_at and result.duration for result in started.benchmarks)
    versioned = load_result_file(DATA / "v1" / "cheetah" / "22b920c6-py2.7-Cython-numpy1.8.json")
    assert any(result.version for result in versioned.benchmarks)


def test_bare_samples_of_version_1_belong_to_the_one_combination(tmp_path):
    path = tmp_path / "aaaaaaaa-env.json"
    entry = {"result": 2.0, "samples": [1.0, 2.0, 3.0], "stats": {"ci_99": [1.0, 3.0], "n": 3}}
    path.write_text(json.dumps({"version": 1, "commit_hash": "a", "results": {"time_x": entry}}))
    (result,) = load_result_file(path).benchmarks
    assert result.samples == [[1.0, 2.0, 3.0]]
    assert (stat(result, "ci_99_b"), stat(result, "number")) == ([3.0], [None])


CONTRADICTIONS = {
    "too few": ([[1.0], [["1", "2"]]], "1 values for 2 parameter combinations"),
    "too many": ([[1.0, 2.0, 3.0], [["1", "2"]]], "3 values for 2 parameter combinations"),
    "no row": ({"result": 1.0}, "the file holds a dict instead of a row"),
    "million columns": ([None, [["1", "2"]] * 2000], "too many parameter combinations"),
}


@pytest.mark.parametrize(("row", "problem"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_a_row_that_contradicts_itself_is_one_failed_row(write_result, row, problem):
    bad, good = load_result_file(write_result({"time_bad": row, "time_good": [[1.0]]})).benchmarks
    assert problem in (bad.problem or "")
    assert len(bad.values) == 1
    assert good.values == [1.0]


def test_unusual_numbers_times_and_texts_are_unknown_and_not_fatal(write_result):
    path = write_result(
        {"time_x": [[10**400], [], 7, "yesterday", "long"]},
        date=10**30,
        python=None,
        requirements=[],
    )
    path.write_text(path.read_text().replace('"env_name": "env"', '"env_name": "\\ud800x"'))
    file = load_result_file(path)
    (result,) = file.benchmarks
    assert (file.commit_date, file.python, file.requirements) == (None, None, {})
    assert (result.version, result.started_at, result.duration) == ("7", None, None)
    assert file.env_name == "?x"


def test_other_json_files_are_not_result_files():
    names = {path.name for path in find_result_files(DATA / "v2").files}
    assert len(names) == 2
    assert not names & {"benchmarks.json", "machine.json", "asv.conf.json"}


def test_a_source_without_results_is_reported(tmp_path):
    with pytest.raises(SparsebenchError, match=r"nowhere: no such file or folder"):
        find_result_files(tmp_path / "nowhere")
    (tmp_path / "machine.json").write_text("{}")
    with pytest.raises(SparsebenchError, match=r"holds no asv result"):
        find_result_files(tmp_path)
