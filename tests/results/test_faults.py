"""Unusual machines, unusual files and older datasets: a right result or one clear line."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sparsebench.results import compact, ingest, latest, read, read_latest
from sparsebench.results.table.schema import SCHEMA

STORED = Path(__file__).parents[2] / "results" / "parquet"


def as_version_1(table):
    """Return the table as version 1 stored it: maps of texts, no runs in the footer."""
    for name in ("requirements", "env_vars"):
        maps = [list(json.loads(text).items()) for text in table[name].to_pylist()]
        kind = pa.map_(pa.string(), pa.string())
        index = table.column_names.index(name)
        table = table.set_column(index, name, pa.array(maps, kind))
    return table.replace_schema_metadata({"sparsebench_schema": "1"})


def test_version_1_is_read_compacted_and_ingested_into(tmp_path, v2):
    ingest([v2], tmp_path / "new")
    expected = read(tmp_path / "new")
    (path,) = (tmp_path / "new").rglob("*.parquet")
    old = tmp_path / "old" / "tiny" / "workstation" / "a9f6fd0a-0123456789abcdef.parquet"
    old.parent.mkdir(parents=True)
    pq.write_table(as_version_1(pq.read_table(path, partitioning=None)), old)
    pd.testing.assert_frame_equal(read(tmp_path / "old"), expected)
    shutil.copytree(tmp_path / "old", tmp_path / "compacted")
    assert compact(tmp_path / "compacted").after == 1
    pd.testing.assert_frame_equal(read(tmp_path / "compacted"), expected)
    assert ingest([v2], tmp_path / "old").count("stored") == 2
    assert not old.exists()
    pd.testing.assert_frame_equal(read(tmp_path / "old"), expected)


def test_the_stored_dataset_of_this_repository_is_read():
    frame = read(STORED, columns=["machine", "benchmark", "value", "requirements"])
    assert len(frame) == sum(pq.read_metadata(p).num_rows for p in STORED.rglob("*.parquet"))
    assert "numpy" in str(frame["requirements"][0])


def test_one_name_with_different_hardware_is_two_machines(tmp_path, write_result):
    dataset = tmp_path / "dataset"
    same = {"machine": "runner", "num_cpu": "4"}
    for cpu, value in [("Xeon", 1.0), ("EPYC", 2.0)]:
        ingest([write_result({"time_x": [[value]]}, params=same | {"cpu": cpu})], dataset)
    frame = read(dataset).set_index("machine")
    assert frame["value"].to_dict() == {"runner (cpu Xeon)": 1.0, "runner (cpu EPYC)": 2.0}
    assert read(dataset, machine="runner (cpu EPYC)", columns=["value"])["value"].tolist() == [2.0]
    compact(dataset)
    assert len(list(dataset.rglob("*.parquet"))) == 1
    assert set(read(dataset)["machine"]) == {"runner (cpu Xeon)", "runner (cpu EPYC)"}
    pd.testing.assert_frame_equal(read_latest(dataset), latest(read(dataset)))
    older = write_result({"time_y": [[3.0]]}, params={"machine": "runner"}, commit_hash="b" * 40)
    ingest([older], dataset)  # without hardware, so it is no third machine
    assert read(dataset)["machine"].nunique() == 2


@pytest.mark.parametrize("rounds", [10**400, 1e19, float("inf"), 2**63 - 1], ids=range(4))
def test_an_absurd_number_of_rounds_is_not_fatal(tmp_path, write_result, rounds):
    asked = {"type": "time", "rounds": rounds, "timeout": rounds}
    row = [[1.0], [], "v", 1, 1.0, None, None, None, None, [7], [3]]
    path = write_result({"time_x": row, "time_y": [None]}, benchmarks={"time_x": asked})
    assert ingest([path], tmp_path / "dataset").problems == ()
    assert len(read(tmp_path / "dataset")["fingerprint"]) == 2


def test_infinity_and_each_bit_of_a_sample_are_stored(tmp_path, write_result):
    samples = [np.nextafter(0.1, 1), 5e-324, 1.7976931348623157e308, float("inf")]
    path = write_result(
        {
            "time_x": [
                [float("-inf")],
                [],
                "v",
                1,
                1.0,
                [0.1],
                [1e-5],
                [0.3],
                [7],
                [1],
                [2],
                [samples],
            ]
        }
    )
    ingest([path], tmp_path / "dataset")
    (row,) = read(tmp_path / "dataset").to_dict("records")
    assert row["value"] == -np.inf
    assert row["samples"].tolist() == samples
    assert (row["ci_99_a"], row["ci_99_b"], row["q_25"], row["q_75"]) == (0.1, 1e-5, 0.3, 7.0)


@pytest.mark.parametrize(
    "content",
    [
        b'{"version": 2, "commit_hash": "a", "result_columns": ["result"], "results": {'
        + b",".join(b'"c%d": %d' % (n, n) for n in range(100_000))
        + b"}}",
        b'{"version": 2, "commit_hash": "a", "result_columns": ['
        + b",".join(b'"c%d"' % n for n in range(100_000))
        + b', "result"], "results": {"x": [1]}}',
        b'{"version": 1, "commit_hash": "a", "results": {"x": ' + b"9" * 4000 + b"}}",
    ],
)
def test_nonsense_is_one_failed_row_per_benchmark(tmp_path, content):
    path = tmp_path / "results" / "m" / "aaaaaaaa-e.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    report = ingest([path], tmp_path / "dataset")
    assert report.problems == ()
    assert set(read(tmp_path / "dataset")["status"]) == {"failed"}
    assert read(tmp_path / "dataset").columns.tolist() == SCHEMA.names


LIMITED_MEMORY = """
import resource, sys
import pandas, pyarrow.dataset
import sparsebench.results.ingestion, sparsebench.results.dataset.compaction
from sparsebench.cli import main
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + 150_000_000, size + 150_000_000))
sparsebench.results.ingestion.MAX_WORKERS = 1
sys.exit(main(["ingest", *sys.argv[1:3], "--into", sys.argv[3]]))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's /proc")
def test_a_file_too_large_for_the_memory_is_one_line_and_others_are_stored(tmp_path, write_result):
    """As a file of 500 MB is on a small machine."""
    large = write_result({"time_x": [[1.0]]}, folder="large/results")
    large.write_text(large.read_text().replace("1.0", ", ".join(["0.5"] * 10_000_000)))
    small = write_result({"time_x": [[1.0]]}, folder="small/results")
    command = [sys.executable, "-c", LIMITED_MEMORY, large, small, tmp_path / "dataset"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == f"{large}: too large for this machine's memory\n"
    assert done.returncode == 2
    assert read(tmp_path / "dataset")["project"].tolist() == ["small"]
