"""A dataset on object stores: servers of the S3 and Google protocols, fsspec's file systems."""

import json
import re
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from sparsebench.cli import main
from sparsebench.errors import SparsebenchError
from sparsebench.results import compact, ingest, read
from sparsebench.results.dataset.storage import Store, open_store
from tests.results.writers import FILES, ROWS, count_sources, make_source, start_writer

DATA = Path(__file__).parents[2] / "data" / "asv"
SERVERS = {
    "s3": """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()  # until the test closes it, or dies
""",
    "gs": """
import sys
from gcp_storage_emulator.server import create_server
server = create_server("127.0.0.1", 0, in_memory=True)
server.start()
print(server._api._httpd.server_address[1], flush=True)
sys.stdin.read()
server.stop()
""",
}


@contextmanager
def serving(scheme):
    """Yield the port of a local server that speaks the protocol, and a function to kill it."""
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SERVERS[scheme]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        yield int(process.stdout.readline()), process.kill
        process.stdin.close()


@pytest.fixture(scope="module", params=SERVERS)
def server(request):
    """A function that returns the URI of a folder in a bucket of this name."""
    with serving(request.param) as (port, _):
        yield partial(uri_of, request.param, port)


def uri_of(scheme, port, name):
    where = f"scheme=http&endpoint_override=127.0.0.1:{port}"
    if scheme == "s3":
        return f"s3://key:secret@{name}/benchmarks?{where}&region=us-east-1"
    return f"gs://anonymous@{name}/benchmarks?{where}&retry_limit_seconds=2"


JSON = {"Content-Type": "application/json"}


def make_bucket(uri, name):
    address = f"http://{uri.partition('endpoint_override=')[2].partition('&')[0]}"
    request = urllib.request.Request(f"{address}/{name}", method="PUT")
    if uri.startswith("gs:"):
        body = json.dumps({"name": name}).encode()
        request = urllib.request.Request(f"{address}/storage/v1/b?project=p", body, JSON)
    urllib.request.urlopen(request).close()


@pytest.fixture
def bucket(server, request):
    """The URI of a folder in a bucket of its own."""
    name = re.sub("[^a-z]+", "-", request.node.name.lower())[:50].strip("-")
    make_bucket(server(name), name)
    return server(name)


def test_a_bucket_holds_the_same_rows_as_a_folder(bucket, tmp_path, capsys):
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
        count_sources(read(bucket))
    assert [writer.wait() for writer in writers] == [0, 0]
    assert count_sources(read(bucket)) == FILES
    done = compact(bucket)
    assert (done.after, done.rows, done.problems) == (1, FILES * ROWS, ())
    assert count_sources(read(bucket)) == FILES


def test_updates_of_one_commit_by_many_writers_are_all_stored(bucket, write_result, tmp_path):
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


def test_a_bucket_that_is_not_there_is_one_line(server, write_result):
    with pytest.raises(SparsebenchError, match=r"^..://nowhere/benchmarks: no such dataset"):
        read(server("nowhere"))
    with pytest.raises(SparsebenchError, match=r"^..://nowhere/.*cannot be written: ") as caught:
        ingest([write_result({"time_x": [[1.0]]})], server("nowhere"))
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("scheme", SERVERS)
def test_a_server_that_ends_while_it_is_written_to_is_one_line(scheme, write_result, monkeypatch):
    def put_then_end(store, name, content):
        original(store, name, content)
        end()

    source, original = make_source(write_result), Store.put
    monkeypatch.setattr(Store, "put", put_then_end)
    with serving(scheme) as (port, end):
        uri = uri_of(scheme, port, "short-lived")
        make_bucket(uri, "short-lived")
        with pytest.raises(SparsebenchError, match=r"^..://short-lived/benchmarks") as caught:
            ingest([source], uri)
    assert "what was stored is kept, the same command continues" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_google_store_that_does_not_answer_is_given_up_after_30_seconds():
    clients = [open_store(f"gs://b/x{options}").system.__reduce__()[1][0] for options in LIMITS]
    assert [each["retry_time_limit"].seconds for each in clients] == [30, 30, 7]


LIMITS = ["", "?scheme=http", "?retry_limit_seconds=7"]


def test_fsspec_opens_what_pyarrow_does_not(write_result):
    ingest([write_result({"time_x": [[1.0]]})], "memory://bench/set")
    ingest([write_result({"time_x": [[2.0]]})], "memory://bench/set")
    assert read("memory://bench/set")["value"].tolist() == [2.0]
    assert compact(Path("memory://bench/set")).rows == 1  # a Path drops a slash of it


def test_files_of_other_processes_are_seen_despite_a_cached_listing(write_result, monkeypatch):
    """Many of fsspec's file systems list a folder once and then cache it."""
    cached = lru_cache(MemoryFileSystem.find)
    monkeypatch.setattr(MemoryFileSystem, "find", cached)
    monkeypatch.setattr(
        MemoryFileSystem, "invalidate_cache", lambda self, path=None: cached.cache_clear()
    )
    ingest([write_result({"time_x": [[1.0]]})], "memory://mine/set")
    ingest([write_result({"time_x": [[1.0]]}, commit_hash="b" * 40)], "memory://theirs/set")
    assert len(read("memory://mine/set")) == 1
    system = MemoryFileSystem()
    (theirs,) = (name for name in system.store if name.startswith("/theirs/"))
    system.store[theirs.replace("/theirs/", "/mine/")] = system.store[theirs]
    assert len(read("memory://mine/set")) == 2


@pytest.mark.parametrize("uri", ["nosuch://x/y", "s3://"])
def test_a_uri_that_cannot_be_opened_is_one_line(uri):
    with pytest.raises(SparsebenchError, match=r"^(nosuch|s3):.*(cannot be opened|must name)"):
        read(uri)


def test_an_object_that_is_deleted_while_it_is_opened_is_a_missing_file():
    """pyarrow's file system for gs:// opens it without an error, as a closed file."""

    class Opened:
        def open_input_file(self, path):
            file = pa.BufferReader(b"")
            file.close()
            return file

    with pytest.raises(FileNotFoundError, match=r"x\.parquet"):
        Store("gs://bucket", Opened(), "bucket", local=False).open("x.parquet")
