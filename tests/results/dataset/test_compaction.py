"""The size of files after a compaction."""

import random

import pytest

from sparsebench.results import compact, ingest, read
from sparsebench.results.dataset import compaction


@pytest.fixture
def dataset(tmp_path, write_result):
    """Six files of one run each, whose samples make up nearly all of their size."""
    for number in range(6):
        draw = random.Random(number)
        samples = [[draw.random() for _ in range(5000)]]
        row = [[1.0], [], "v", 1, 1.0, None, None, None, None, None, None, samples]
        path = write_result({"time_x": row}, commit_hash=f"{number:040x}")
        ingest([path], tmp_path / "dataset")
    return tmp_path / "dataset"


def sizes(dataset):
    return sorted(path.stat().st_size for path in dataset.rglob("*.parquet"))


@pytest.mark.parametrize(("limit", "rows"), [("FILE_ROWS", 3), ("FILE_BYTES", None)])
def test_a_file_has_at_most_so_many_rows_and_bytes(dataset, monkeypatch, limit, rows):
    small = sizes(dataset)
    assert len(small) == 6
    monkeypatch.setattr(compaction, limit, rows or 3 * small[-1])
    before = read(dataset).sort_values("commit_hash", ignore_index=True)
    assert compact(dataset).after == 2
    after = read(dataset).sort_values("commit_hash", ignore_index=True)
    assert after["samples"].map(list).tolist() == before["samples"].map(list).tolist()
    large = sizes(dataset)
    assert compact(dataset).after == 2
    assert sizes(dataset) == large
