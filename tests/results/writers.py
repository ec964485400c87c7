"""Writers in processes of their own, killed or not, and checks of what they have stored."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pandas as pd

from sparsebench.results import ingest, read
from sparsebench.results.dataset.storage import Store

FILES, ROWS = 40, 25
KILL_MARKER = "SPARSEBENCH_TEST_KILL_MARKER"  # environment variable, a path

WRITER = """
import sys
from pathlib import Path
from sparsebench.results import ingest
{setting}
ingest([Path(sys.argv[1])], sys.argv[2])
"""
COMPACTOR = "import sys; from sparsebench.results import compact; compact(sys.argv[1])"
SMALL_BATCHES = (  # a writer stores one file per source, in its own process
    "from sparsebench.results import ingestion;ingestion.BATCH_BYTES = 1; ingestion.MAX_WORKERS = 1"
)


def start_writer(source, dataset, setting=""):
    """Start an ingest of ``source``."""
    code = WRITER.format(setting=setting)
    return subprocess.Popen([sys.executable, "-c", code, source, dataset])


def start_compaction(dataset):
    """Start a compaction."""
    return subprocess.Popen([sys.executable, "-c", COMPACTOR, dataset])


def kill_after_put():
    """Kill this process once it has stored a file, unless one was killed so before."""

    def put_and_kill(store, name, content):
        put(store, name, content)
        with suppress(FileExistsError):
            Path(os.environ[KILL_MARKER]).touch(exist_ok=False)
            os.kill(os.getpid(), signal.SIGKILL)

    put = Store.put
    Store.put = put_and_kill


def kill_this_process():
    os.kill(os.getpid(), signal.SIGKILL)


def count_sources(frame):
    """Return how many sources are in ``frame``; check that each has all of its rows, once."""
    generated = frame[frame["benchmark"] == "generated.time_x"]
    sizes = generated.groupby(["commit_hash", "value"]).size()
    assert set(sizes) <= {ROWS}
    assert generated.groupby("commit_hash")["value"].nunique().isin([1]).all()
    assert generated["samples"].map(lambda samples: len(set(samples))).isin([1]).all()
    return generated["commit_hash"].nunique()


def make_source(write_result):
    """Forty result files of 25 rows each."""
    params = [[str(n) for n in range(ROWS)]]
    for number in range(FILES):
        row = [[float(number)] * ROWS, params, "v", 1, 1.0, None, None, None, None, None, None]
        results = {"generated.time_x": [*row, [[float(number)] * 50] * ROWS]}
        path = write_result(results, name=f"{number:08x}-env.json", commit_hash=f"{number:040x}")
    return path.parents[1]


def kill_writers(source, earlier, folder, count, seed=20):
    """Kill a writer or a compaction at a random moment, ``count`` times; check that no row is lost.

    Returns how many of the killed had done only a part of their work.
    """
    draw = random.Random(seed)
    before = _sorted(read(earlier))
    parts = 0
    for attempt in range(count):
        dataset = Path(shutil.copytree(earlier, folder / f"dataset-{attempt}"))
        compacting = attempt % 4 == 3
        if compacting:
            ingest([source / "workstation" / f"{n:08x}-env.json" for n in range(5)], dataset)
            ingest([source / "workstation" / f"{n:08x}-env.json" for n in range(5, 9)], dataset)
            process = start_compaction(dataset)
        else:
            process = start_writer(source, dataset, SMALL_BATCHES)
        paths = len(list(dataset.rglob("*")))
        while process.poll() is None and len(list(dataset.rglob("*"))) == paths:
            pass  # the first file, temporary or not, appears; the moment is somewhere after
        time.sleep(draw.uniform(0, 0.05 if compacting else 0.4))
        process.kill()
        process.wait()
        frame = read(dataset)
        old = _sorted(frame[frame["benchmark"] != "generated.time_x"])
        pd.testing.assert_frame_equal(old, before)
        stored = count_sources(frame)
        assert not compacting or stored == 9
        parts += 0 < stored < FILES
        ingest([source], dataset)  # continues
        assert count_sources(read(dataset)) == FILES
        shutil.rmtree(dataset)
    return parts


def _sorted(frame):
    keys = ["machine", "commit_hash", "env_name", "benchmark", "case"]
    return frame.sort_values(keys, kind="stable").reset_index(drop=True)


def write_halves(source, folder):
    """Write one commit's file as two, with different benchmarks, in two trees, and return both."""
    path = min(source.rglob("*-*.json"))
    content = json.loads(path.read_text())
    halves = []
    for half in ("_first", "_second"):
        names = {name + half: row for name, row in content["results"].items()}
        halves.append(folder / half / "results" / path.parent.name / path.name)
        halves[-1].parent.mkdir(parents=True)
        halves[-1].write_text(json.dumps({**content, "results": names}))
    return halves
