"""What earlier searches found, kept by the content of what was searched."""

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

_MOST: Final = 1_000_000  # entries, about 90 MB; a fleet of 4,000 series adds that in 250 runs


def key(values: Floats, what: str) -> str:
    """Return the name of ``what`` is known of some values.

    The code that finds it is part of the name: a changed rule is not answered with what an older
    one found.
    """
    name = hashlib.blake2b(values.tobytes(), digest_size=16, salt=_code())
    name.update(what.encode())
    return name.hexdigest()


@cache
def _code() -> bytes:
    source = Path(change_points.__code__.co_filename).read_bytes()
    return hashlib.blake2b(source, digest_size=16).digest()


def usual_place() -> Path:
    """Return where the memory lies unless told otherwise: the user's cache folder."""
    folder = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(folder) / "sparsebench" / "history.sqlite"


class Memory:
    """A file of what was found, by content; without a path it is empty.

    It only ever saves work: results are the same without it, so a file that cannot be read or
    written is no error. Several processes may use it at once.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def recall(self, keys: Iterable[str]) -> dict[str, list[Any]]:
        """Return what is known of ``keys``."""
        wanted = json.dumps(list(dict.fromkeys(keys)))
        query = "SELECT * FROM found WHERE content IN (SELECT value FROM json_each(?))"
        known: dict[str, list[Any]] = {}
        with suppress(sqlite3.Error, OSError), self._open() as database:
            rows = database.execute(query, [wanted])
            known |= {name: json.loads(places) for name, places in rows}
        return known

    def keep(self, found: dict[str, list[Any]]) -> None:
        """Add what was found, as plain JSON; places count from the begin of what was searched.

        What was added longest ago is forgotten, once there is too much.
        """
        rows = [(name, json.dumps(places)) for name, places in found.items()]
        with suppress(sqlite3.Error, OSError), self._open() as database:
            database.executemany("INSERT OR IGNORE INTO found VALUES (?, ?)", rows)
            forget = "DELETE FROM found WHERE rowid <= (SELECT max(rowid) FROM found) - ?"
            database.execute(forget, [_MOST])
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
