"""The rule for conflicting results of one commit, by ingesting one file after another."""

import pytest

from sparsebench.results import ingest, read

OLD, NEW = 1_000, 2_000  # ms since 1970
NAN = float("nan")


@pytest.fixture
def after(tmp_path, write_result):
    """A function that ingests results one after another and returns the rows and last report."""

    def run(*contents):
        for results in contents:
            report = ingest([write_result(results)], tmp_path / "dataset")
        return read(tmp_path / "dataset"), report

    return run


def entry(value, version="v", started_at=None, samples=None, params=()):
    """A benchmark's row of asv's version 2, in the order of its columns."""
    values = value if isinstance(value, list) else [value]
    listed = samples if params else [samples]
    return [values, list(params), version, started_at, None, *[None] * 6, listed]


def test_rows_that_the_new_source_does_not_hold_are_kept(after):
    params = [["'a'", "'b'"]]
    first = {
        "time_x": entry([1.0, 2.0], params=params, samples=[[1.0], [2.0]]),
        "time_y": entry(3.0),
    }
    frame, report = after(first, {"time_x": entry([9.0], params=[["'b'"]], samples=[[9.0]])})
    stored = {(row.benchmark, row.case): row.value for row in frame.itertuples()}
    assert stored == {("time_x", "a"): 1.0, ("time_x", "b"): 9.0, ("time_y", ""): 3.0}
    assert (report.rows, report.merged) == (1, 1)
    _, again = after({"time_x": entry([9.0], params=[["'b'"]], samples=[[9.0]])})
    assert (again.count("unchanged"), again.rows, again.merged) == (1, 0, 0)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (entry(1.0), entry(2.0), "ok 2.0"),
        (entry(None), entry(2.0), "ok 2.0"),
        (entry(NAN), entry(2.0), "ok 2.0"),
        (entry(1.0, started_at=OLD), entry(NAN, started_at=NEW), "ok 1.0"),
        (entry(None, started_at=OLD), entry(NAN, started_at=NEW), "failed nan"),
        (entry(1.0, started_at=OLD), entry(None, started_at=NEW), "failed nan"),
        (entry(1.0, started_at=NEW), entry(None, started_at=OLD), "ok 1.0"),
        (entry(1.0), entry(None, started_at=NEW), "ok 1.0"),
        (entry(1.0, started_at=OLD), entry(None, "w", started_at=NEW), "ok 1.0"),
        (entry(1.0, samples=[1.0]), entry(2.0, started_at=NEW), "ok 1.0"),
        (entry(1.0, samples=[1.0]), entry(2.0, samples=[2.0]), "ok 2.0"),
        (entry(1.0, samples=[1.0]), entry(2.0, "w"), "ok 2.0"),
    ],
)
def test_of_two_rows_of_one_case_the_one_with_more_information_is_used(after, old, new, expected):
    frame, report = after({"time_x": old}, {"time_x": new})
    (row,) = frame.itertuples()
    assert f"{row.status} {row.value}" == expected
    assert report.merged == 1


def test_equal_parameters_of_one_benchmark_are_rows_of_their_own(after):
    twice = [["1", "1"]]
    frame, _ = after(
        {"time_x": entry([1.0, 2.0], params=twice)}, {"time_x": entry([3.0, NAN], params=twice)}
    )
    assert frame["value"].tolist() == [3.0, 2.0]


def test_rows_replace_the_row_of_a_benchmark_that_could_not_be_read(after):
    frame, _ = after({"time_x": "no row"}, {"time_x": entry(1.0)})
    assert frame["status"].tolist() == ["ok"]


def test_rows_of_two_runs_keep_the_settings_of_their_run(tmp_path, write_result):
    """Half of the benchmark's rows are of an older run; the others keep theirs when asv's
    benchmarks.json changes."""
    timing = {"type": "time", "unit": "seconds", "number": 10, "repeat": 5, "rounds": 1}
    params = [["1", "2"]]
    first = {"time_x": entry([1.0, 2.0], started_at=OLD, params=params)}
    second = {"time_x": entry([3.0, NAN], started_at=NEW, params=params)}
    for results, repeat in [(first, 5), (second, 6), (second, 7)]:
        path = write_result(results, benchmarks={"time_x": timing | {"repeat": repeat}})
        ingest([path], tmp_path / "dataset")
    frame = read(tmp_path / "dataset")
    assert frame["value"].tolist() == [3.0, 2.0]
    assert frame["fingerprint"].tolist() == [f"number=10 repeat={n} rounds=1" for n in (6, 5)]
