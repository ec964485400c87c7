"""A dataset on an object store: a real S3-protocol server, and fsspec's file systems."""

import json
import re
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest

from sparsebench.cli import main
from sparsebench.errors import SparsebenchError
from sparsebench.results import compact, ingest, read
from tests.results.writers import FILES, ROWS, make_source, start_writer, whole_files

DATA = Path(__file__).parents[1] / "data" / "asv"
SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()  # until the test closes it, or dies
"""


@pytest.fixture(scope="module")
def server():
    """The port of an S3 server on loopback, ended with the module."""
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        yield int(process.stdout.readline())
        process.stdin.close()


@pytest.fixture
def bucket(server, request):
    """The URI of a folder in a bucket of its own."""
    name = re.sub("[^a-z]+", "-", request.node.name.lower())[:50].strip("-")
    asked = urllib.request.Request(f"http://127.0.0.1:{server}/{name}", method="PUT")
    urllib.request.urlopen(asked).close()
    options = f"scheme=http&endpoint_override=127.0.0.1:{server}&region=us-east-1"
    return f"s3://key:secret@{name}/benchmarks?{options}"


def test_what_is_stored_in_a_bucket_is_what_is_stored_in_a_folder(bucket, tmp_path, capsys):
    assert main(["ingest", str(DATA / "v1"), str(DATA / "v2"), "--into", bucket]) == 0
    shown = capsys.readouterr().out
    assert "stored 7 files, 135 rows" in shown
    assert "secret" not in shown
    ingest([DATA / "v1", DATA / "v2"], tmp_path / "folder")
    pd.testing.assert_frame_equal(read(bucket), read(tmp_path / "folder"))
    assert main(["ingest", str(DATA / "v1"), str(DATA / "v2"), "--into", bucket]) == 0
    assert "7 unchanged" in capsys.readouterr().out


def test_machines_write_into_one_bucket_at_once(bucket, write_result, tmp_path):
    source = make_source(write_result)
    ingest([min(source.rglob("*-env.json"))], bucket)
    writers = [start_writer(source, bucket) for _ in range(2)]
    while any(writer.poll() is None for writer in writers):
        compact(bucket)
        whole_files(read(bucket))
    assert [writer.wait() for writer in writers] == [0, 0]
    assert whole_files(read(bucket)) == FILES
    done = compact(bucket)
    assert (done.after, done.rows, done.problems) == (1, FILES * ROWS, ())
    assert whole_files(read(bucket)) == FILES


def test_updates_of_one_commit_by_many_are_all_there(bucket, write_result, tmp_path):
    path = write_result({"time_x": [[0.0]]})
    content = json.loads(path.read_text())
    sources = []
    for number in range(6):
        sources.append(tmp_path / str(number) / "results" / "workstation" / path.name)
        sources[-1].parent.mkdir(parents=True)
        results = {f"time_{number}": [[float(number)]]}
        sources[-1].write_text(json.dumps({**content, "results": results}))
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda source: ingest([source], bucket, project="one"), sources))
    assert sorted(read(bucket)["value"]) == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert compact(bucket).after == 1
    assert sorted(read(bucket)["value"]) == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def test_a_vanished_bucket_is_one_line(server, write_result):
    uri = (
        "s3://key:secret@nowhere/x?scheme=http&region=us-east-1"
        f"&endpoint_override=127.0.0.1:{server}"
    )
    with pytest.raises(SparsebenchError, match=r"s3://nowhere/x: no such dataset"):
        read(uri)
    with pytest.raises(SparsebenchError, match=r"s3://nowhere/x/.*cannot be written: ") as caught:
        ingest([write_result({"time_x": [[1.0]]})], uri)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_fsspec_opens_what_pyarrow_does_not(write_result):
    ingest([write_result({"time_x": [[1.0]]})], "memory://bench/set")
    ingest([write_result({"time_x": [[2.0]]})], "memory://bench/set")
    assert read("memory://bench/set")["value"].tolist() == [2.0]
    assert compact(Path("memory://bench/set")).rows == 1  # a Path drops a slash of it


@pytest.mark.parametrize("uri", ["nosuch://x/y", "s3://"])
def test_a_uri_that_cannot_be_opened_is_one_line(uri):
    with pytest.raises(SparsebenchError, match=r"^(nosuch|s3):.*(cannot be opened|must name)"):
        read(uri)
