"""The generated history has the statistics that asv would compute from its samples."""

import json

import pytest
from asv.util import truncate_float_list
from asv_runner.statistics import compute_stats

from sparsebench.results import ingest, read
from studies.fleet_history import REPEAT, write_tree


@pytest.fixture
def tree(tmp_path):
    write_tree(tmp_path / "history", files=3, benchmarks=60, with_samples=True)
    return tmp_path / "history"


def test_values_and_statistics_are_those_that_asv_computes_of_the_samples(tree):
    compared = 0
    for path in tree.glob("*/*-*.json"):
        data = json.loads(path.read_text())
        for row in data["results"].values():
            cells = dict(zip(data["result_columns"], row, strict=False))
            for place, samples in enumerate(cells.get("samples") or []):
                if samples is None or len(samples) < REPEAT:
                    continue
                number = cells["stats_number"][place]
                value, stats = compute_stats(samples, number)
                assert cells["result"][place] == pytest.approx(value, rel=1e-15)
                written = {name: cells[f"stats_{name}"][place] for name in stats}
                assert written == {n: truncate_float_list(v) for n, v in stats.items()}
                compared += 1
    assert compared > 400


def test_it_holds_failed_and_skipped_values_of_two_machines(tree, tmp_path):
    assert ingest([tree], tmp_path / "dataset").problems == ()
    frame = read(tmp_path / "dataset")
    assert set(frame["status"]) == {"ok", "failed", "skipped"}
    assert frame["machine"].nunique() == 2
    assert set(frame["type"]) >= {"time", "peakmemory"}
