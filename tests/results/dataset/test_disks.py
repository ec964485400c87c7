"""Real disks that are full, read-only or unmounted; each in a mount namespace of its own."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sparsebench.errors import SparsebenchError
from sparsebench.results import ingest, ingestion, read
from sparsebench.results.dataset.storage import Store
from tests.results.writers import FILES, SMALL_BATCHES, make_source

DATA = Path(__file__).parents[2] / "data" / "asv"
NAMESPACE = ["unshare", "--map-root-user", "--mount"]
BEGIN = """
import subprocess, sys
from sparsebench.cli import main
from sparsebench.results import ingest, read
from tests.results.writers import count_sources
source, old, disk = sys.argv[1:]
def mount(options):
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", disk], check=True)
mount("size=300k")
assert main(["ingest", old, "--into", disk + "/set"]) == 0
before = len(read(disk + "/set"))
"""
FULL = """
{setting}
assert main(["ingest", source, "--into", disk + "/set"]) == 2
part = read(disk + "/set")
assert len(part) > before, "nothing was written before the disk was full"
assert 0 < count_sources(part) < {files}
mount("remount,size=20m")
assert main(["ingest", source, "--into", disk + "/set"]) == 0
assert count_sources(read(disk + "/set")) == {files}
"""
READ_ONLY = """
mount("remount,ro")
assert main(["ingest", source, "--into", disk + "/set"]) == 2
assert main(["ingest", old, "--into", disk + "/set"]) == 0
assert main(["compact", disk + "/set"]) == 0
assert len(read(disk + "/set")) == before
"""


def in_namespace(code, *arguments):
    """Run the code where it may mount; return the lines that it prints on stderr."""
    if (
        shutil.which("unshare") is None
        or subprocess.run([*NAMESPACE, "true"], check=False).returncode
    ):
        pytest.skip("no mount namespace may be made here")
    done = subprocess.run(
        [*NAMESPACE, sys.executable, "-c", BEGIN + code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == 0, done.stderr
    return done.stderr.splitlines()


@pytest.fixture
def folders(tmp_path, write_result):
    """A source to store, a stored source, and an empty folder to mount a disk on."""
    (tmp_path / "disk").mkdir()
    return [make_source(write_result), DATA / "v2", tmp_path / "disk"]


def test_a_full_disk_loses_nothing_and_the_next_ingest_completes_it(folders):
    (line,) = in_namespace(FULL.format(setting=SMALL_BATCHES, files=FILES), *folders)
    assert line.startswith(f"sparsebench: {folders[2]}/set/generated/workstation/")
    assert line.endswith(
        "cannot be written: No space left on device; "
        "what was stored is kept, the same command continues"
    )


def test_a_read_only_disk_is_read_and_ingested_again(folders):
    lines = in_namespace(READ_ONLY, *folders)
    assert len(lines) == 1
    assert "cannot be written: Read-only file system; what was stored is kept" in lines[0]


def test_a_disk_that_is_unmounted_between_two_files_is_reported(
    tmp_path, write_result, monkeypatch
):
    """Later files would be stored in the folder that it was mounted on."""

    def put_then_unmount(store, name, content):
        original(store, name, content)
        monkeypatch.setattr(Store, "put", original)
        (tmp_path / "set").rename(tmp_path / "taken")

    first = write_result({"time_x": [[1.0]]}, folder="one/results")
    second = write_result({"time_x": [[2.0]]}, folder="two/results")
    original = Store.put
    monkeypatch.setattr(ingestion, "MAX_WORKERS", 1)
    monkeypatch.setattr(Store, "put", put_then_unmount)
    with pytest.raises(
        SparsebenchError, match="1 of the files that were just stored are gone"
    ) as caught:
        ingest([first, second], tmp_path / "set")
    assert str(first) in str(caught.value)
    assert read(tmp_path / "taken")["value"].tolist() == [1.0]
    assert ingest([first, second], tmp_path / "set").count("unchanged") == 1
    assert sorted(read(tmp_path / "set")["value"]) == [1.0, 2.0]
