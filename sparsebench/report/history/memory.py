"""What earlier searches found, kept by the content of what was searched."""

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from sparsebench.stats.change_points import SEARCH
from sparsebench.stats.median import Floats


def key(values: Floats) -> str:
    """Return the content's name: equal values and an equal search method give equal ones."""
    return hashlib.blake2b(values.tobytes(), digest_size=16, person=SEARCH).hexdigest()


def usual_place() -> Path:
    """Return where the memory lies unless told otherwise: the user's cache folder."""
    folder = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(folder) / "sparsebench" / "history.sqlite"


class Memory:
    """A file of candidates by content; without a path it is empty.

    It only ever saves work: results are the same without it, so a file that cannot be read or
    written is no error. Several processes may use it at once.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def recall(self, keys: Iterable[str]) -> dict[str, list[int]]:
        """Return what is known of ``keys``."""
        wanted = json.dumps(list(dict.fromkeys(keys)))
        query = "SELECT * FROM found WHERE content IN (SELECT value FROM json_each(?))"
        known: dict[str, list[int]] = {}
        with suppress(sqlite3.Error, OSError), self._open() as database:
            rows = database.execute(query, [wanted])
            known |= {name: json.loads(places) for name, places in rows}
        return known

    def keep(self, found: dict[str, list[int]]) -> None:
        """Add what was found; places count from the begin of their window."""
        rows = [(name, json.dumps(places)) for name, places in found.items()]
        with suppress(sqlite3.Error, OSError), self._open() as database:
            database.executemany("INSERT OR IGNORE INTO found VALUES (?, ?)", rows)
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
