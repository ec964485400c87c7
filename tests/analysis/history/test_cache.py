"""The search cache: what it returns, and that it removes the oldest entries."""

from pathlib import Path

from sparsebench.analysis.history.cache import SearchCache


def results(first: int, last: int) -> dict[str, list[int]]:
    return {f"name {number}": [number] for number in range(first, last)}


def test_the_oldest_entries_are_removed(tmp_path: Path) -> None:
    cache = SearchCache(tmp_path / "cache.sqlite", most_entries=10)
    cache.put(results(0, 8))
    assert cache.get(results(0, 8)) == results(0, 8)
    cache.put(results(8, 14))
    assert cache.get(results(0, 14)) == results(4, 14)


def test_without_a_file_nothing_is_cached() -> None:
    cache = SearchCache(None)
    cache.put(results(0, 3))
    assert cache.get(results(0, 3)) == {}
