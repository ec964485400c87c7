"""The Parquet dataset on disk: one file an asv result file, replaced whole or not at all.

Layout: ``<project>/<machine>/<commit>-<identity>.parquet``. The folders are for people; the
identity is a hash over project, machine, commit and environment, so that odd names can neither
collide nor leave the dataset. Every value is a column inside the files, none is in a path.

A file is written under a name that no ``*.parquet`` pattern matches, and then renamed: a reader, or
a second writer, sees the old file or the new one, and a writer killed at any point leaves at worst
a temporary file, which nobody reads and a later ingest removes.
"""

import fcntl
import hashlib
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from sparsebench.errors import SparsebenchError
from sparsebench.results.schema import SCHEMA_VERSION
from sparsebench.results.walk import walk

_SCHEMA_KEY: Final = b"sparsebench_schema"
_ORIGIN_KEY: Final = b"sparsebench_origin"

# A writer needs a fraction of a second; a temporary file this old has lost its writer.
_ABANDONED_AFTER: Final = 3600.0  # seconds


@dataclass(frozen=True)
class Survey:
    """The files of a dataset: the readable ones, and a line on every other file or folder."""

    origins: dict[Path, str]  # what each readable file was made from, see `store`
    problems: dict[Path, str]


def survey(dataset: Path) -> Survey:
    """Look at the footer of every Parquet file of ``dataset`` (about 0.3 ms each), sorted by path.

    Raises:
        SparsebenchError: a file has a newer schema version than this sparsebench knows, or the
            dataset is no folder.
    """
    if dataset.exists() and not dataset.is_dir():
        raise SparsebenchError(f"{dataset}: the dataset must be a folder, got a file")
    found = walk(dataset, lambda name: name.endswith(".parquet")) if dataset.exists() else None
    origins, problems = {}, dict(found.problems if found else {})
    for path in found.files if found else ():
        try:
            footer = pq.read_metadata(path).metadata or {}
        except (pa.ArrowException, OSError) as error:
            problems[path] = f"{path}: not readable as Parquet, skipped ({first_line(error)})"
            continue
        _check_schema(path, footer)
        origins[path] = footer.get(_ORIGIN_KEY, b"").decode(errors="replace")
    return Survey(origins, problems)


def path_of(dataset: Path, project: str, machine: str, commit_hash: str, env_name: str) -> Path:
    """Where the rows of one (project, machine, commit, environment) lie in ``dataset``."""
    identity = "\0".join([project, machine, commit_hash, env_name])
    digest = hashlib.sha256(identity.encode("utf-8", "replace")).hexdigest()[:16]
    name = f"{_slug(commit_hash)[:8]}-{digest}.parquet"
    return dataset / _slug(project) / _slug(machine) / name


def store(table: pa.Table, path: Path, origin: str) -> None:
    """Put ``table`` at ``path``, atomically; what was there before is replaced.

    Args:
        table: rows of the dataset's schema.
        path: from `path_of`.
        origin: a hash over everything that the rows were made from; kept in the footer, so that
            the next ingest can tell without parsing that nothing has changed.

    Raises:
        OSError: the disk is full or read-only; ``path`` is as it was.
    """
    metadata = {**(table.schema.metadata or {}), _ORIGIN_KEY: origin.encode()}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as sink:
            pq.write_table(table.replace_schema_metadata(metadata), sink, compression="zstd")
            sink.flush()
            os.fsync(sink.fileno())  # or a power cut could leave the new name with no content
        temporary.replace(path)
    finally:
        with suppress(OSError):  # the first error is the one to be told
            temporary.unlink(missing_ok=True)


@contextmanager
def one_writer(dataset: Path) -> Iterator[None]:
    """Wait for every other writer on this machine to finish; a killed one holds nobody up.

    What is stored is read, merged and replaced: of two writers at once, one's rows would be lost.

    Raises:
        OSError: the disk is full or read-only.
    """
    dataset.mkdir(parents=True, exist_ok=True)
    with (dataset / ".lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def remove_abandoned(dataset: Path) -> None:
    """Remove the temporary files of writers that were killed more than an hour ago."""
    for temporary in _temporary_files(dataset):
        with suppress(OSError):  # another process may have removed it, or the disk is read-only
            if time.time() - temporary.stat().st_mtime > _ABANDONED_AFTER:
                temporary.unlink()


def _temporary_files(dataset: Path) -> Iterator[Path]:
    return dataset.rglob(".*.parquet.*.tmp")


def _check_schema(path: Path, footer: dict[bytes, bytes]) -> None:
    stored = footer.get(_SCHEMA_KEY, b"0").decode(errors="replace")
    if not stored.isdecimal() or int(stored) > SCHEMA_VERSION:
        raise SparsebenchError(
            f"{path}: dataset schema version must be at most {SCHEMA_VERSION}, got {stored}; "
            "update sparsebench"
        )


def _slug(text: str) -> str:
    """``text`` as a folder's name: never hidden, never ``..``, never Hive's ``key=value``."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-.")[:60] or "unnamed"


def first_line(error: BaseException) -> str:
    """Arrow's errors run over many lines; the first says what is wrong."""
    return (str(error).splitlines() or [type(error).__name__])[0]
