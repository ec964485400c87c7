"""Several writers, and writers killed at any point, in processes of their own."""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest

from sparsebench.errors import SparsebenchError
from sparsebench.results import compact, ingest, ingestion, read
from sparsebench.results.dataset.snapshot import take_snapshot
from sparsebench.results.dataset.storage import open_store
from tests.results.writers import (
    FILES,
    KILL_MARKER,
    ROWS,
    SMALL_BATCHES,
    count_sources,
    kill_after_put,
    kill_this_process,
    kill_writers,
    make_source,
    start_compaction,
    start_writer,
    write_halves,
)

DATA = Path(__file__).parents[2] / "data" / "asv"
KILLS = int(os.environ.get("SPARSEBENCH_KILLS", "6"))


@pytest.fixture
def source(write_result):
    return make_source(write_result)


def test_a_writer_killed_at_any_point_loses_no_stored_row(tmp_path, source):
    """SPARSEBENCH_KILLS=200 is the long run whose result is in docs/results.md."""
    earlier = tmp_path / "earlier"
    ingest([DATA / "v2"], earlier)
    assert kill_writers(source, earlier, tmp_path, KILLS) > 0


def test_two_writers_and_a_compaction_at_once_lose_nothing(tmp_path, source):
    dataset = tmp_path / "together"
    ingest([DATA / "v2"], dataset)
    writers = [start_writer(source, dataset, SMALL_BATCHES) for _ in range(2)]
    while any(writer.poll() is None for writer in writers):
        assert start_compaction(dataset).wait() == 0
        count_sources(read(dataset))
    assert [writer.wait() for writer in writers] == [0, 0]
    frame = read(dataset)
    assert count_sources(frame) == FILES
    assert len(frame) == FILES * ROWS + 74
    compact(dataset)
    assert len(list(dataset.rglob("*.parquet"))) == 2  # projects
    pd.testing.assert_series_equal(
        read(dataset)["value"].sort_values(ignore_index=True),
        frame["value"].sort_values(ignore_index=True),
    )


def test_two_writers_of_one_commit_lose_nothing(tmp_path, source, monkeypatch):
    """Both list the files before either stores, and no conflict is resolved: readers do it."""
    monkeypatch.setattr(ingestion, "resolve_conflicts", lambda store, snapshot: snapshot)
    with ThreadPoolExecutor(2) as pool:
        list(
            pool.map(
                lambda half: ingest([half], tmp_path / "set", project="one"),
                write_halves(source, tmp_path),
            )
        )
    assert len(take_snapshot(open_store(tmp_path / "set")).conflicts()) == 1

    def counts():
        frame = read(tmp_path / "set")
        return frame["benchmark"].str.rpartition("_")[2].value_counts().to_dict()

    assert counts() == {"first": ROWS, "second": ROWS}
    compact(tmp_path / "set")
    assert len(list((tmp_path / "set").rglob("*.parquet"))) == 1
    assert counts() == {"first": ROWS, "second": ROWS}


def test_what_two_writers_stored_twice_is_read_once(tmp_path, source):
    """The same files from two machines with other clocks, one of them set back by years."""
    ingest([source], tmp_path / "one")
    ingest([source], tmp_path / "two")
    both = Path(shutil.copytree(tmp_path / "one", tmp_path / "both"))
    for path in (tmp_path / "two").rglob("*.parquet"):
        shutil.copy(path, both / path.relative_to(tmp_path / "two"))
    assert len(list(both.rglob("*.parquet"))) == 2
    pd.testing.assert_frame_equal(read(both), read(tmp_path / "two"))
    compact(both)
    assert len(list(both.rglob("*.parquet"))) == 1


def test_a_clock_that_was_set_back_does_not_make_new_rows_old(tmp_path, write_result, monkeypatch):
    ingest([write_result({"time_x": [[1.0]]})], tmp_path / "dataset")
    monkeypatch.setattr(ingestion.time, "time_ns", lambda: 0)
    ingest([write_result({"time_x": [[2.0]]})], tmp_path / "dataset")
    assert read(tmp_path / "dataset")["value"].tolist() == [2.0]


def test_a_reader_beside_a_writer_sees_complete_files_only(tmp_path, source):
    dataset = tmp_path / "dataset"
    ingest([source], dataset)
    for path in source.rglob("*-env.json"):
        data = json.loads(path.read_text())
        data["results"]["generated.time_x"][0] = [float(data["commit_hash"] == "0") + 99.0] * ROWS
        path.write_text(json.dumps(data))
    writer = start_writer(source, dataset)
    while writer.poll() is None:
        assert count_sources(read(dataset)) == FILES
    assert writer.returncode == 0
    assert set(read(dataset)["value"]) == {99.0}


@pytest.fixture
def two_workers(monkeypatch):
    monkeypatch.setattr(ingestion, "MIN_BATCH_BYTES", 1)
    monkeypatch.setattr(ingestion, "available_cores", lambda: 2)


def sorted_rows(dataset):
    return read(dataset).sort_values(["commit_hash", "case"], ignore_index=True)


@pytest.fixture
def expected(tmp_path, source):
    """The rows that one process stores."""
    ingest([source], tmp_path / "one-process")
    return sorted_rows(tmp_path / "one-process")


def test_worker_processes_store_what_one_process_stores(tmp_path, source, expected, two_workers):
    seen = []
    ingest([source], tmp_path / "set", progress=lambda done, total: seen.append((done, total)))
    assert seen == [(FILES // 2, FILES), (FILES, FILES)]
    assert len(list((tmp_path / "set").rglob("*.parquet"))) == 2
    pd.testing.assert_frame_equal(sorted_rows(tmp_path / "set"), expected)


def test_a_worker_killed_after_it_stored_a_file_repeats_its_batch(
    tmp_path, source, expected, two_workers, monkeypatch
):
    monkeypatch.setenv(KILL_MARKER, str(tmp_path / "marker"))
    monkeypatch.setattr(ingestion, "block_pandas", kill_after_put)
    report = ingest([source], tmp_path / "set")
    assert (tmp_path / "marker").exists()
    assert (report.count("stored"), report.merged, report.files) == (FILES, 0, 2)
    assert len(list((tmp_path / "set").rglob("*.parquet"))) == 2  # the same file was written again
    pd.testing.assert_frame_equal(sorted_rows(tmp_path / "set"), expected)


def test_a_batch_whose_worker_is_killed_twice_is_one_line(
    tmp_path, source, two_workers, monkeypatch
):
    monkeypatch.setattr(ingestion, "block_pandas", kill_this_process)
    message = (
        rf"^{tmp_path}/dataset: .* was killed twice .* \(out of memory\?\); what was stored is"
    )
    with pytest.raises(SparsebenchError, match=message):
        ingest([source], tmp_path / "dataset")
    assert not list(tmp_path.rglob("*.parquet"))


LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
from sparsebench.cli import main
sys.exit(main(["ingest", sys.argv[1], "--into", sys.argv[2]]))
"""


def test_a_file_size_limit_is_one_line_and_changes_nothing(tmp_path, source):
    """The operating system's own error, as a full disk or a quota gives it."""
    dataset = tmp_path / "dataset"
    ingest([DATA / "v2"], dataset)
    before = read(dataset)
    command = [sys.executable, "-c", LIMITED, source, dataset]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "cannot be written: File too large; what was stored is kept" in done.stderr
    pd.testing.assert_frame_equal(read(dataset), before)
    assert not list(dataset.rglob("*.tmp"))
