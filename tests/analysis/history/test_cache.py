"""What the memory of a search keeps, and that it forgets the oldest when there is too much."""

from pathlib import Path

import pytest

from sparsebench.analysis.history.cache import Memory


def found(first: int, last: int) -> dict[str, list[int]]:
    return {f"name {number}": [number] for number in range(first, last)}


def test_the_oldest_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sparsebench.analysis.history.cache._MOST", 10)
    memory = Memory(tmp_path / "memory.sqlite")
    memory.keep(found(0, 8))
    assert memory.recall(found(0, 8)) == found(0, 8)
    memory.keep(found(8, 14))
    assert memory.recall(found(0, 14)) == found(4, 14)


def test_without_a_file_nothing_is_known() -> None:
    memory = Memory(None)
    memory.keep(found(0, 3))
    assert memory.recall(found(0, 3)) == {}
