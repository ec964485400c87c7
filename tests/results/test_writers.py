"""Several writers, and writers killed at any point, in processes of their own."""

import json
import random
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest

from sparsebench.results import ingest, ingestion, read

DATA = Path(__file__).parents[1] / "data" / "asv"
FILES, ROWS = 40, 25

WRITER = """
import sys
from pathlib import Path
from sparsebench.results import ingest
ingest([Path(sys.argv[1])], Path(sys.argv[2]))
"""


def start_writer(source, dataset):
    return subprocess.Popen([sys.executable, "-c", WRITER, source, dataset])


@pytest.fixture
def source(tmp_path, write_result):
    """Forty result files of 25 rows each."""
    params = [[str(n) for n in range(ROWS)]]
    for number in range(FILES):
        row = [[float(number)] * ROWS, params, "v", 1, 1.0, None, None, None, None, None, None]
        results = {"made.time_x": [*row, [[float(number)] * 50] * ROWS]}
        write_result(results, name=f"{number:08x}-env.json", commit_hash=f"{number:040x}")
    return tmp_path / "made-up"


def whole_files(frame):
    """How many files of `source` are in ``frame``; each must be there with all of its rows."""
    made = frame[frame["benchmark"] == "made.time_x"]
    sizes = made.groupby(["commit_hash", "value"]).size()
    assert set(sizes) <= {ROWS}
    assert made["samples"].map(lambda samples: len(set(samples))).isin([1]).all()
    return len(sizes)


def test_a_writer_killed_at_any_point_leaves_what_was_there(tmp_path, source):
    earlier = tmp_path / "earlier"
    ingest([DATA / "v2"], earlier)
    before = read(earlier)
    draw = random.Random(20)
    seen = []
    for attempt in range(10):
        dataset = Path(shutil.copytree(earlier, tmp_path / f"dataset-{attempt}"))
        enough = 2 + draw.randrange(FILES // 2)
        writer = start_writer(source, dataset)
        while writer.poll() is None and len(list(dataset.rglob("*.parquet"))) < enough:
            pass
        writer.kill()
        writer.wait()
        frame = read(dataset)
        old = frame[frame["benchmark"] != "made.time_x"].reset_index(drop=True)
        pd.testing.assert_frame_equal(old, before)
        seen.append(whole_files(frame))
        ingest([source], dataset)  # continues
        assert whole_files(read(dataset)) == FILES
    assert any(0 < count < FILES for count in seen)


def test_two_writers_at_once_leave_what_one_leaves(tmp_path, source):
    alone, together = tmp_path / "alone", tmp_path / "together"
    ingest([source], alone)
    writers = [start_writer(source, together) for _ in range(2)]
    assert [writer.wait() for writer in writers] == [0, 0]
    files = sorted(path.relative_to(alone) for path in alone.rglob("*") if path.is_file())
    assert files == sorted(p.relative_to(together) for p in together.rglob("*") if p.is_file())
    assert all((alone / path).read_bytes() == (together / path).read_bytes() for path in files)


def test_two_writers_of_one_commit_lose_nothing(tmp_path, source, monkeypatch):
    """What is stored is read, merged and replaced; here both would read before either replaces."""
    path = min(source.rglob("*-*.json"))
    content = json.loads(path.read_text())
    halves = []
    for half in ("_first", "_second"):
        names = {name + half: row for name, row in content["results"].items()}
        halves.append(tmp_path / half / "results" / path.parent.name / path.name)
        halves[-1].parent.mkdir(parents=True)
        halves[-1].write_text(json.dumps({**content, "results": names}))

    def stored_slowly(target, read_stored=ingestion._stored):
        table = read_stored(target)
        time.sleep(0.3)
        return table

    monkeypatch.setattr(ingestion, "_stored", stored_slowly)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda half: ingest([half], tmp_path / "set", project="one"), halves))
    frame = read(tmp_path / "set")
    assert frame["benchmark"].str.rpartition("_")[2].value_counts().to_dict() == {
        "first": ROWS,
        "second": ROWS,
    }


def test_a_reader_beside_a_writer_sees_whole_files_only(tmp_path, source):
    dataset = tmp_path / "dataset"
    ingest([source], dataset)
    for path in source.rglob("*-env.json"):
        data = json.loads(path.read_text())
        data["results"]["made.time_x"][0] = [float(data["commit_hash"] == "0") + 99.0] * ROWS
        path.write_text(json.dumps(data))
    writer = start_writer(source, dataset)
    while writer.poll() is None:
        assert whole_files(read(dataset)) == FILES
    assert writer.returncode == 0
    assert set(read(dataset)["value"]) == {99.0}
