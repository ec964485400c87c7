"""The place of a dataset: a folder, or a URI that pyarrow's or fsspec's file systems open.

A file is written whole or not at all, and never changed after. In a folder it is written under a
temporary name that no ``*.parquet`` pattern matches, then renamed. In an object store an object
shows when it is complete. So readers and other writers need no lock. A writer that is killed leaves
at worst a temporary file, which is never read and which a later writer removes.
"""

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.fs as pafs

from sparsebench.errors import SparsebenchError
from sparsebench.files import atomic_path, find_files

_URI: Final = re.compile(r"[a-z][a-z0-9+.-]+:/")
_CREDENTIALS: Final = re.compile(r"//[^/@]*@")

# By default Google's client retries for a quarter of an hour if a store does not answer.
_RETRY_LIMIT: Final = 30  # seconds

# A writer renames its temporary file within a fraction of a second; the writer of one as old as
# this was killed.
_ABANDONED_AFTER: Final = 3600.0  # seconds


@dataclass(frozen=True)
class Store:
    """The folder or object store of a dataset; files have names relative to ``root``.

    Attributes:
        shown: the store's name in messages, without credentials.
        root: the path of the dataset in ``system``.
        local: whether it is a folder on this machine's file systems.
    """

    shown: str
    system: pafs.FileSystem
    root: str
    local: bool

    def path(self, name: str) -> str:
        """Return the path of the file ``name`` in ``system``."""
        return f"{self.root}/{name}"

    def show(self, name: str) -> str:
        """Return what messages call the file ``name``."""
        return f"{self.shown}/{name}"

    def names(self) -> list[str]:
        """Return the names of all Parquet files, sorted; none if there is no such folder yet.

        Raises:
            SparsebenchError: the dataset is a file, or cannot be listed.
        """
        with store_errors(self.shown, "cannot be read"):
            if self.system.get_file_info(self.root).type == pafs.FileType.File:
                raise SparsebenchError(f"{self.shown}: the dataset must be a folder, got a file")
            paths = self._list()
        names = (path.removeprefix(self.root).lstrip("/") for path in paths)
        return sorted(
            name
            for name in names
            if name.endswith(".parquet") and not any(p.startswith(".") for p in name.split("/"))
        )

    def _list(self) -> list[str]:
        if self.local:  # pyarrow would not say which folder cannot be read
            search = find_files(Path(self.root), lambda name: name.endswith(".parquet"))
            if search.problems and self.exists():
                problem = next(iter(search.problems.values()))
                raise SparsebenchError(problem.removesuffix(", skipped"))
            return [str(path) for path in search.files]
        if isinstance(self.system, pafs.PyFileSystem):  # fsspec's may cache an old listing
            self.system.handler.fs.invalidate_cache()
        selector = pafs.FileSelector(self.root, recursive=True, allow_not_found=True)
        return [info.path for info in self.system.get_file_info(selector) if info.is_file]

    def exists(self) -> bool:
        """Return whether there is anything at ``root``."""
        with store_errors(self.shown, "cannot be read"):
            kind = self.system.get_file_info(self.root).type
        return bool(kind != pafs.FileType.NotFound)

    def open(self, name: str) -> pa.NativeFile:
        """Open the file ``name`` for random access; the caller closes it.

        Raises:
            OSError: there is none.
        """
        file = self.system.open_input_file(self.path(name))
        if file.closed:  # Google's file system returns this if the object was just deleted
            raise FileNotFoundError(self.show(name))
        return file

    def gone(self, name: str) -> bool:
        """Return whether ``name`` is missing; errors of object stores do not say it reliably."""
        with store_errors(self.show(name), "cannot be read"):
            kind = self.system.get_file_info(self.path(name)).type
        return bool(kind == pafs.FileType.NotFound)

    def put(self, name: str, content: pa.Buffer) -> None:
        """Store ``content`` as ``name``, whole or not at all.

        Raises:
            SparsebenchError: the disk is full or read-only, or the store cannot be reached.
        """
        path = self.path(name)
        with store_errors(self.show(name), "cannot be written"):
            if self.local:
                with atomic_path(Path(path)) as temporary:
                    temporary.write_bytes(content)
                return
            if isinstance(self.system, pafs.PyFileSystem):  # may be a disk that needs folders
                self.system.create_dir(path.rpartition("/")[0], recursive=True)
            with self.system.open_output_stream(path) as sink:
                sink.write(content)  # in one call: a broken stream must not be closed as complete

    def remove(self, name: str) -> None:
        """Delete ``name`` if it is still there and may be deleted."""
        with suppress(OSError):
            self.system.delete_file(self.path(name))

    def remove_abandoned(self) -> None:
        """Delete the temporary files of writers that were killed more than an hour ago."""
        if self.local:
            for temporary in Path(self.root).rglob(".*.parquet.*.tmp"):  # named by `atomic_path`
                with suppress(OSError):  # another process may have removed it
                    if time.time() - temporary.stat().st_mtime > _ABANDONED_AFTER:
                        temporary.unlink()


def open_store(dataset: str | Path) -> Store:
    """Return the store at a folder's path or a URI: s3://, gs://, memory://, ...

    Raises:
        SparsebenchError: no file system is known for the URI, or it has no path.
    """
    text = str(dataset)
    if not _URI.match(text):
        root = os.path.abspath(text)  # noqa: PTH100 - resolve() would follow links
        return Store(text, pafs.LocalFileSystem(), root, local=True)
    uri = re.sub(r":/+", "://", text, count=1) if not text.startswith("file:") else text
    shown = _CREDENTIALS.sub("//", uri.partition("?")[0]).rstrip("/")
    with store_errors(shown, "cannot be opened"):
        system, root = _file_system(uri)
    if not root.strip("/"):
        raise SparsebenchError(f"{shown}: must name a folder in the store, got none")
    return Store(shown, system, root.rstrip("/"), isinstance(system, pafs.LocalFileSystem))


@contextmanager
def store_errors(where: str, problem: str) -> Iterator[None]:
    """Raise errors of a store as one line.

    Raises:
        SparsebenchError: the block raised an error of the operating system or of Arrow.
    """
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise SparsebenchError(
            f"{where}: {problem}: {reason}; what was stored is kept, the same command continues"
        ) from None


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text; Arrow's have many, the first says what failed."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def slug(text: str) -> str:
    """Return ``text`` as a folder's name that is not hidden, not ``..`` and not ``key=value``."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-.")[:60] or "unnamed"


def _file_system(uri: str) -> tuple[pafs.FileSystem, str]:
    """Return pyarrow's file system for the scheme, or else fsspec's, and the path in it."""
    if uri.startswith(("gs:", "gcs:")) and "retry_limit_seconds=" not in uri:
        uri += f"{'&' if '?' in uri else '?'}retry_limit_seconds={_RETRY_LIMIT}"
    try:
        system, root = pafs.FileSystem.from_uri(uri)
    except pa.ArrowInvalid:
        try:
            system, root = pafs.FileSystem.from_uri(f"fsspec+{uri}")
        except (ImportError, ValueError) as error:  # no such scheme, or its package is missing
            raise OSError(first_line(error)) from None
    return system, root
