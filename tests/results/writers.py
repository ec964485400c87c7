"""Writers in processes of their own, killed or not, and what must hold of what they leave."""

import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

from sparsebench.results import ingest, read

FILES, ROWS = 40, 25

WRITER = """
import sys
from pathlib import Path
from sparsebench.results import ingest
{setting}
ingest([Path(sys.argv[1])], sys.argv[2])
"""
COMPACTOR = "import sys; from sparsebench.results import compact; compact(sys.argv[1])"
SMALL = (
    "from sparsebench.results import ingestion; ingestion._BATCH = 1 ; ingestion.cores = lambda: 1"
)
STEPS = "import sparsebench.results.workers as w; w.cores = lambda: 1"


def start_writer(source, dataset, setting=""):
    """Start an ingest of ``source``."""
    code = WRITER.format(setting=setting)
    return subprocess.Popen([sys.executable, "-c", code, source, dataset])


def start_compaction(dataset):
    """Start a compaction."""
    return subprocess.Popen([sys.executable, "-c", COMPACTOR, dataset])


def in_small_batches():
    """Settings that make a writer store a file a source, in its own process."""
    return f"{SMALL}; {STEPS}"


def whole_files(frame):
    """How many sources are in ``frame``; each must be there with all of its rows, once."""
    made = frame[frame["benchmark"] == "made.time_x"]
    sizes = made.groupby(["commit_hash", "value"]).size()
    assert set(sizes) <= {ROWS}
    assert made.groupby("commit_hash")["value"].nunique().isin([1]).all()
    assert made["samples"].map(lambda samples: len(set(samples))).isin([1]).all()
    return made["commit_hash"].nunique()


def make_source(write_result):
    """Forty result files of 25 rows each."""
    params = [[str(n) for n in range(ROWS)]]
    for number in range(FILES):
        row = [[float(number)] * ROWS, params, "v", 1, 1.0, None, None, None, None, None, None]
        results = {"made.time_x": [*row, [[float(number)] * 50] * ROWS]}
        path = write_result(results, name=f"{number:08x}-env.json", commit_hash=f"{number:040x}")
    return path.parents[1]


def kill_writers(source, earlier, folder, count, seed=20):
    """Kill a writer or a compaction at a random moment, ``count`` times; what stood must stand.

    Gives how many of the killed left only a part of their work.
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
            process = start_writer(source, dataset, in_small_batches())
        found = len(list(dataset.rglob("*")))
        while process.poll() is None and len(list(dataset.rglob("*"))) == found:
            pass  # the first file, temporary or not, appears; the moment is somewhere after
        time.sleep(draw.uniform(0, 0.05 if compacting else 0.4))
        process.kill()
        process.wait()
        frame = read(dataset)
        old = _sorted(frame[frame["benchmark"] != "made.time_x"])
        pd.testing.assert_frame_equal(old, before)
        stored = whole_files(frame)
        assert not compacting or stored == 9
        parts += 0 < stored < FILES
        ingest([source], dataset)  # continues
        assert whole_files(read(dataset)) == FILES
        shutil.rmtree(dataset)
    return parts


def _sorted(frame):
    keys = ["machine", "commit_hash", "env_name", "benchmark", "case"]
    return frame.sort_values(keys, kind="stable").reset_index(drop=True)


def halves(source, folder):
    """One commit's file as two, with different benchmarks, in two trees."""
    path = min(source.rglob("*-*.json"))
    content = json.loads(path.read_text())
    made = []
    for half in ("_first", "_second"):
        names = {name + half: row for name, row in content["results"].items()}
        made.append(folder / half / "results" / path.parent.name / path.name)
        made[-1].parent.mkdir(parents=True)
        made[-1].write_text(json.dumps({**content, "results": names}))
    return made
