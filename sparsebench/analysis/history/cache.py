"""Results of earlier searches, cached by the content of what was searched."""

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, Final

from sparsebench.stats import Floats
from sparsebench.stats.change_points import change_points

MOST_ENTRIES: Final = 1_000_000  # about 90 MB; a fleet of 4,000 series adds that in 250 runs


def cache_key(values: Floats, kind: str) -> str:
    """Return the key of a search result: a hash of the values, its ``kind`` and the search code."""
    name = hashlib.blake2b(values.tobytes(), digest_size=16, salt=_code_hash())
    name.update(kind.encode())
    return name.hexdigest()


@cache
def _code_hash() -> bytes:
    source = Path(change_points.__code__.co_filename).read_bytes()
    return hashlib.blake2b(source, digest_size=16).digest()


def default_path() -> Path:
    """Return the cache's file in the user's cache folder."""
    folder = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(folder) / "sparsebench" / "history.sqlite"


class SearchCache:
    """A file of search results by key.

    Results are the same without it, so a file that cannot be read or written is not an error.
    Several processes may use it at once.

    Args:
        path: the file; None: an empty cache that keeps nothing.
        most_entries: the oldest entries beyond are removed.
    """

    def __init__(self, path: Path | None, most_entries: int = MOST_ENTRIES) -> None:
        self.path = path
        self.most_entries = most_entries

    def get(self, keys: Iterable[str]) -> dict[str, list[Any]]:
        """Return the cached results among ``keys``."""
        wanted = json.dumps(list(dict.fromkeys(keys)))
        query = "SELECT * FROM found WHERE content IN (SELECT value FROM json_each(?))"
        results: dict[str, list[Any]] = {}
        with suppress(sqlite3.Error, OSError), self._open() as database:
            rows = database.execute(query, [wanted])
            results |= {name: json.loads(content) for name, content in rows}
        return results

    def put(self, results: dict[str, list[Any]]) -> None:
        """Add results, lists of numbers; indices count from the start of the searched values."""
        rows = [(name, json.dumps(content)) for name, content in results.items()]
        with suppress(sqlite3.Error, OSError), self._open() as database:
            database.executemany("INSERT OR IGNORE INTO found VALUES (?, ?)", rows)
            remove = "DELETE FROM found WHERE rowid <= (SELECT max(rowid) FROM found) - ?"
            database.execute(remove, [self.most_entries])
            database.commit()

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.path or ":memory:", timeout=10)) as database:
            database.execute(
                "CREATE TABLE IF NOT EXISTS found (content TEXT PRIMARY KEY, places TEXT)"
            )
            yield database
