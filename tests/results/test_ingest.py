import errno
import json
import os
import shutil
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sparsebench.errors import SparsebenchError
from sparsebench.files import atomic_path
from sparsebench.results import ingest, read
from sparsebench.results.asv.context import find_config, project_of
from sparsebench.results.dataset.storage import Store, slug
from sparsebench.results.table.schema import SCHEMA

DATA = Path(__file__).parents[1] / "data" / "asv"


def contents(dataset):
    paths = (path for path in sorted(dataset.rglob("*")) if path.is_file())
    return {path: path.read_bytes() for path in paths}


def states(report):
    return [outcome.state for outcome in report.outcomes]


def test_repeating_an_ingest_changes_nothing(tmp_path):
    first = ingest([DATA / "v1", DATA / "v2"], tmp_path)
    before = contents(tmp_path)
    again = ingest([DATA / "v1", DATA / "v2"], tmp_path)
    assert set(states(first)) == {"stored"}
    assert set(states(again)) == {"unchanged"}
    assert contents(tmp_path) == before
    assert len(before) == 3  # machines
    assert len(first.outcomes) == 7
    assert first.rows == len(read(tmp_path)) == 74 + 61


def test_every_way_to_name_a_source_finds_the_same_rows(tmp_path, v2):
    ingest([v2], tmp_path / "dataset")
    before = contents(tmp_path / "dataset")
    machine = v2 / "workstation"
    for sources in ([machine], sorted(machine.glob("*-*.json")), [v2, machine]):
        assert set(states(ingest(sources, tmp_path / "dataset"))) == {"unchanged"}
    assert contents(tmp_path / "dataset") == before


def test_a_changed_file_replaces_its_rows(tmp_path, write_result):
    ingest([write_result({"time_x": [[1.0]]})], tmp_path / "dataset")
    report = ingest([write_result({"time_x": [[3.0]]})], tmp_path / "dataset")
    assert states(report) == ["stored"]
    assert read(tmp_path / "dataset")["value"].tolist() == [3.0]


def test_a_stored_file_that_cannot_be_read_is_not_replaced(tmp_path, write_result, monkeypatch):
    def denied(store, name):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    ingest([write_result({"time_x": [[1.0]]})], tmp_path / "dataset")
    before = contents(tmp_path / "dataset")
    monkeypatch.setattr(Store, "open", denied)
    report = ingest([write_result({"time_y": [[3.0]]})], tmp_path / "dataset")
    assert "not readable as Parquet, skipped ([Errno 13] Permission denied)" in report.problems[0]
    assert before.items() <= contents(tmp_path / "dataset").items()


def test_a_folder_of_the_source_that_cannot_be_read_is_reported(tmp_path, write_result, locked):
    source = write_result({"time_x": [[1.0]]}).parents[1]
    (source / "other").mkdir()
    locked("other")
    problem = f"{source / 'other'}: folder cannot be read (Permission denied), skipped"
    report = ingest([source], tmp_path / "dataset")
    assert (states(report), report.problems) == (["stored"], (problem,))
    locked("results")
    with pytest.raises(SparsebenchError, match=r"results: folder cannot be read"):
        ingest([source], tmp_path / "dataset")


def test_a_change_of_benchmarks_json_stores_the_file_again(tmp_path, write_result):
    path = write_result({"track_x": [[1.0]]})
    ingest([path], tmp_path / "dataset")
    assert read(tmp_path / "dataset")["unit"].isna().all()
    write_result({"track_x": [[1.0]]}, benchmarks={"track_x": {"type": "track", "unit": "rows"}})
    assert states(ingest([path], tmp_path / "dataset")) == ["stored"]
    assert read(tmp_path / "dataset")["unit"].tolist() == ["rows"]


def test_a_value_keeps_the_settings_it_was_measured_with(tmp_path, write_result):
    """After `repeat` was changed, benchmarks.json describes the new runs and not the old ones."""
    timing = {"type": "time", "unit": "seconds", "number": 10, "repeat": 5, "rounds": 1}
    old, added = {"time_x": [[1.0], [], "v", 1000]}, {"time_y": [[2.0], [], "v", 2000]}
    ingest([write_result(old, benchmarks={"time_x": timing})], tmp_path / "dataset")
    new = timing | {"repeat": 7}
    path = write_result(old | added, benchmarks={"time_x": new, "time_y": new})
    ingest([path], tmp_path / "dataset")
    fingerprints = read(tmp_path / "dataset").set_index("benchmark")["fingerprint"]
    assert fingerprints["time_x"] == "number=10 repeat=5 rounds=1"
    assert fingerprints["time_y"] == "number=10 repeat=7 rounds=1"
    again = write_result({"time_x": [[1.0], [], "v", 3000]} | added)
    ingest([again], tmp_path / "dataset")  # measured anew, so with the new settings
    assert set(read(tmp_path / "dataset")["fingerprint"]) == {"number=10 repeat=7 rounds=1"}


def test_a_benchmark_that_was_removed_keeps_its_unit_and_parameter_names(tmp_path, write_result):
    listed = {"type": "track", "unit": "rows/s", "param_names": ["shape"]}
    results = {"a.track_x": [[1.0], [["(2, 3)"]], "v", 1000]}
    ingest([write_result(results, benchmarks={"a.track_x": listed})], tmp_path / "dataset")
    before = read(tmp_path / "dataset")
    assert before[["unit", "direction", "shape", "case"]].values.tolist() == [
        ["rows/s", "higher", "2x3", "shape=2x3"]
    ]
    path = write_result(results, benchmarks={})
    assert states(ingest([path], tmp_path / "dataset")) == ["unchanged"]
    added = results | {"a.time_new": [[3.0], [], "v", 2000]}
    assert states(ingest([write_result(added)], tmp_path / "dataset")) == ["stored"]
    frame = read(tmp_path / "dataset", benchmark="track_x")
    before["source_sha256"] = frame["source_sha256"] = ""
    pd.testing.assert_frame_equal(frame, before)


def test_two_projects_with_the_same_machine_commit_and_environment_stay_apart(
    tmp_path, write_result
):
    write_result({"time_x": [[1.0]]}, folder="one/results")
    write_result({"time_x": [[2.0]]}, folder="two/results")
    report = ingest([tmp_path / "one", tmp_path / "two"], tmp_path / "dataset")
    assert states(report) == ["stored", "stored"]
    frame = read(tmp_path / "dataset").set_index("project")
    assert frame["value"].to_dict() == {"one": 1.0, "two": 2.0}


def test_two_sources_of_the_same_commit_are_merged(tmp_path, write_result):
    """Such as the shards of a run, each in a tree of its own, or a copy."""
    first = write_result({"time_x": [[1.0]], "time_y": [[5.0]]})
    second = write_result({"time_x": [[2.0]], "time_z": [[6.0]]}, name="aaaaaaaa-copy.json")
    report = ingest([first, second], tmp_path / "dataset")
    assert (states(report), report.problems, report.merged) == (["stored", "stored"], (), 2)
    frame = read(tmp_path / "dataset").set_index("benchmark")
    assert frame["value"].to_dict() == {"time_x": 2.0, "time_y": 5.0, "time_z": 6.0}
    assert len(list((tmp_path / "dataset").rglob("*.parquet"))) == 1
    assert states(ingest([first, second], tmp_path / "dataset")) == ["unchanged", "unchanged"]


def test_of_two_sources_the_later_run_counts_whatever_their_order(tmp_path, write_result):
    late = write_result({"time_x": [[2.0], [], "v", 2000]})
    early = write_result({"time_x": [[1.0], [], "v", 1000]}, name="aaaaaaaa-early.json")
    for order in ([late, early], [early, late]):
        dataset = tmp_path / order[0].stem
        ingest(order, dataset)
        assert read(dataset)["value"].tolist() == [2.0]


def test_a_bad_file_is_reported_and_the_others_are_stored(tmp_path, v2):
    machine = v2 / "workstation"
    good = sorted(machine.glob("*-*.json"))
    (machine / "11111111-cut.json").write_bytes(good[0].read_bytes()[:3000])
    (machine / "22222222-empty.json").touch()
    (machine / "33333333-future.json").write_text('{"version": 3, "results": {}}')
    report = ingest([v2], tmp_path / "dataset")
    assert states(report) == ["bad", "bad", "bad", "stored", "stored"]
    assert [Path(line.partition(": ")[0]).name[:8] for line in report.problems] == [
        "11111111",
        "22222222",
        "33333333",
    ]
    assert len(read(tmp_path / "dataset")) == 74


@pytest.mark.parametrize("name", ["benchmarks.json", "workstation/machine.json"])
def test_a_broken_file_beside_the_results_is_reported_once_and_not_used(tmp_path, v2, name):
    (v2 / name).write_text('{"version": 1, "cut')
    report = ingest([v2], tmp_path / "dataset")
    assert states(report) == ["stored", "stored"]
    (problem,) = report.problems
    assert problem.startswith(f"{v2 / name}: ")
    assert problem.endswith("the results beside it are read without it")
    assert len(read(tmp_path / "dataset")) == 74


def test_a_file_without_benchmarks_is_stored_as_no_row(tmp_path, write_result):
    path = write_result({})
    report = ingest([path], tmp_path / "dataset")
    assert (states(report), report.rows, report.problems) == (["stored"], 0, ())
    assert states(ingest([path], tmp_path / "dataset")) == ["unchanged"]
    assert read(tmp_path / "dataset").columns.tolist() == SCHEMA.names


def test_a_project_is_named_by_its_asv_conf_or_else_by_its_folder(tmp_path):
    tree = tmp_path / "asv_bench" / "numerics" / "asv_bench" / "results"
    tree.mkdir(parents=True)
    assert project_of(tree) == "numerics"
    config = '{\n  // "project": "commented",\n  "version": 1,\n  "project": "real",\n}'
    (tree.parents[1] / "asv.conf.json").write_text(config)
    assert project_of(tree) == "real"
    assert find_config(tree) == tree.parents[1] / "asv.conf.json"
    assert find_config(tree, levels=1) is None


def test_a_benchmark_with_an_empty_parameter_list_has_no_row(tmp_path, write_result):
    path = write_result({"time_none": [None, [[]]], "time_x": [[1.0]]})
    assert states(ingest([path], tmp_path / "dataset")) == ["stored"]
    assert read(tmp_path / "dataset")["benchmark"].tolist() == ["time_x"]


names = st.one_of(
    st.sampled_from(
        ["..", "../../../etc/x", "a/b", ".hidden", "_x", "machine=m", "a\\b", "CON", ""]
    ),
    st.text(max_size=20),
)


@given(name=names)
def test_any_name_becomes_one_plain_folder(name):
    part = slug(name)
    assert "/" not in part
    assert "\\" not in part
    assert part[0] not in "._"  # or pyarrow would not look into it
    assert "=" not in part  # or DuckDB would take it for a column
    assert len(part.encode()) < 100


def test_files_are_inside_the_dataset_whatever_the_names(tmp_path, write_result):
    for number, odd in enumerate(
        ["..", "../../../etc/x", "a/b", ".hidden", "machine=m", "\u202e", ""]
    ):
        path = write_result(
            {odd or "x": [[1.0]]}, params={"machine": odd}, commit_hash=odd or "0", env_name=odd
        )
        ingest([path], tmp_path / "in" / "dataset", project=odd or None)
        assert len(list((tmp_path / "in" / "dataset").glob("*/*/*.parquet"))) == number + 1
    assert sorted(path.name for path in (tmp_path / "in").iterdir()) == ["dataset"]
    assert len(read(tmp_path / "in" / "dataset")) == 7


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(texts=st.lists(st.text(min_size=1, max_size=12), min_size=4, max_size=4, unique=True))
def test_any_texts_are_stored_unchanged(tmp_path, write_result, texts):
    machine, env, benchmark, param = texts
    path = write_result({benchmark: [[1.0], [[param]]]}, params={"machine": machine}, env_name=env)
    dataset = tmp_path / "dataset"
    shutil.rmtree(dataset, ignore_errors=True)
    ingest([path], dataset)
    (row,) = read(dataset).to_dict("records")
    assert (row["machine"], row["env_name"], row["benchmark"]) == (machine, env, benchmark)
    assert list(row["params"]) == [param]


json_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**30), 10**30),
        st.floats(),
        st.text(max_size=5),
        st.sampled_from([10**400, "\ud800", "' '", [[]], {"ci_99": [1, 2]}]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)


def value_paths(data, prefix=()):
    """Yield the path to each value inside nested dicts and lists."""
    inner = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in inner:
        yield (*prefix, key)
        if isinstance(value, dict | list):
            yield from value_paths(value, (*prefix, key))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), version=st.sampled_from([1, 2]), beside=st.booleans())
def test_a_file_with_any_value_anywhere_is_stored_or_reported(tmp_path, data, version, beside):
    tree = tmp_path / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    shutil.copytree(DATA / f"v{version}", tree)
    results = sorted(tree.glob("*/*-*.json"))
    path = tree / "benchmarks.json" if beside else results[-1]
    content = json.loads(path.read_text())
    keys = data.draw(st.sampled_from(sorted(value_paths(content), key=str)))
    holder = content
    for key in keys[:-1]:
        holder = holder[key]
    holder[keys[-1]] = data.draw(json_values)
    path.write_text(json.dumps(content))
    shutil.rmtree(tmp_path / "dataset", ignore_errors=True)
    report = ingest([tree], tmp_path / "dataset")
    assert len(report.outcomes) == len(results)
    assert len(read(tmp_path / "dataset")) == report.rows
    assert report.count("bad") <= 1


def test_deep_nesting_inside_a_file_is_not_fatal(tmp_path, write_result):
    path = write_result({"time_x": [[1.0], ["DEEP"]]})
    path.write_text(path.read_text().replace('"DEEP"', "[" * 900 + "]" * 900))
    assert states(ingest([path], tmp_path / "dataset")) in (["bad"], ["stored"])


def test_names_with_the_same_folder_name_do_not_collide(tmp_path, write_result):
    for number, machine in enumerate(["a/b", "a-b", "a b", "A/B"]):
        write_result(
            {"time_x": [[float(number)]]},
            name=f"aaaaaaaa-{number}.json",
            params={"machine": machine},
        )
    report = ingest([tmp_path / "generated"], tmp_path / "dataset")
    assert report.problems == ()
    assert read(tmp_path / "dataset").set_index("machine")["value"].to_dict() == {
        "a/b": 0.0,
        "a-b": 1.0,
        "a b": 2.0,
        "A/B": 3.0,
    }


def no_space(*args, **kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class FullAfter100Bytes:
    """A file on a disk that is full after some bytes."""

    def __init__(self, sink):
        self.sink = sink

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sink.close()

    def write(self, content):
        self.sink.write(bytes(content)[:100])
        no_space()


def test_a_full_disk_changes_nothing(tmp_path, write_result, monkeypatch):
    dataset = tmp_path / "dataset"
    ingest([write_result({"time_x": [[1.0]]})], dataset)
    before = contents(dataset)
    path = write_result({"time_x": [[2.0]]})
    with monkeypatch.context() as patch:
        original = Path.open

        def open_on_full_disk(path, mode="r", **options):
            sink = original(path, mode, **options)
            return FullAfter100Bytes(sink) if mode == "wb" else sink

        patch.setattr(Path, "open", open_on_full_disk)
        with pytest.raises(SparsebenchError, match=r"\.parquet: cannot be written: No space left"):
            ingest([path], dataset)
    assert contents(dataset) == before  # no temporary file either
    ingest([path], dataset)
    assert read(dataset)["value"].tolist() == [2.0]


def test_a_dataset_that_cannot_be_written_is_reported(tmp_path, write_result):
    path = write_result({"time_x": [[1.0]]})
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SparsebenchError, match="file: the dataset must be a folder, got a file"):
        ingest([path], tmp_path / "file")
    with pytest.raises(SparsebenchError, match="cannot be written: "):
        ingest([path], Path("/proc/dataset"))


def test_a_read_only_dataset_can_be_ingested_again(tmp_path, write_result, monkeypatch):
    path = write_result({"time_x": [[1.0]]})
    ingest([path], tmp_path / "dataset")
    for write in ("mkdir", "replace", "unlink", "touch", "write_bytes"):
        monkeypatch.setattr(Path, write, no_space)
    assert states(ingest([path], tmp_path / "dataset")) == ["unchanged"]


def test_an_interrupt_loses_nothing_that_was_stored(tmp_path, v2, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    first, _ = sorted((v2 / "workstation").glob("*-*.json"))
    ingest([first], tmp_path / "dataset")
    (v2 / "workstation" / "ffffffff-bad.json").write_text("{")
    with monkeypatch.context() as patch:
        patch.setattr(Store, "put", interrupt)
        with pytest.raises(KeyboardInterrupt):
            ingest([v2], tmp_path / "dataset")
    assert len(read(tmp_path / "dataset")) == 37
    assert sorted(states(ingest([v2], tmp_path / "dataset"))) == ["bad", "stored", "unchanged"]


def test_a_damaged_file_is_reported_and_its_sources_are_stored_again(tmp_path, v2, write_result):
    dataset = tmp_path / "dataset"
    ingest([v2], dataset)
    ingest([write_result({"time_x": [[1.0]]})], dataset)
    (broken,) = dataset.glob("tiny/*/*.parquet")
    broken.write_bytes(broken.read_bytes()[:2000])
    report = ingest([v2], dataset)
    assert states(report) == ["stored", "stored"]
    (problem,) = report.problems
    assert problem.startswith(f"{broken}: not readable as Parquet, skipped (")
    broken.unlink()
    assert len(read(dataset)) == 75


def test_temporary_files_of_killed_writers_are_removed_after_an_hour(tmp_path, v2):
    dataset = tmp_path / "dataset"
    ingest([v2], dataset)
    folder = next(dataset.rglob("*.parquet")).parent
    for name in ("old.parquet", "young.parquet"):
        with atomic_path(folder / name) as temporary:
            temporary.write_bytes(b"PAR1 half")
            shutil.copy(temporary, temporary.with_name(f"{temporary.name[:-4]}-copy.tmp"))
        (folder / name).unlink()
    (old,), (young,) = folder.glob(".old*"), folder.glob(".young*")
    os.utime(old, (1_000_000, 1_000_000))
    ingest([v2], dataset)
    assert not old.exists()
    assert young.exists()  # its writer may still be running
    assert len(read(dataset)) == 74


def test_a_newer_dataset_is_neither_read_nor_written(tmp_path, v2):
    dataset = tmp_path / "dataset"
    ingest([v2], dataset)
    newer = SCHEMA.with_metadata({"sparsebench_schema": "4"}).empty_table()
    pq.write_table(newer, dataset / "newer.parquet")
    message = r"newer\.parquet: dataset schema version must be at most 3, got 4; update sparsebench"
    for action in (lambda: read(dataset), lambda: ingest([v2], dataset)):
        with pytest.raises(SparsebenchError, match=message):
            action()


def test_all_files_of_version_1_are_stored_or_reported(tmp_path):
    report = ingest([DATA / "v1", DATA / "v1-bad"], tmp_path, project="astropy")
    recorded = 0
    for path in (DATA / "v1" / "cheetah").glob("*-*.json"):
        for entry in json.loads(path.read_text())["results"].values():
            values = entry["result"] if isinstance(entry, dict) else entry
            recorded += len(values) if isinstance(values, list) else 1
    frame = read(tmp_path)
    assert len(frame) == recorded == report.rows
    assert len(report.problems) == 2
    assert set(frame["project"]) == {"astropy"}
    assert frame["status"].value_counts().to_dict() == {"ok": 53, "failed": 6, "skipped": 2}
