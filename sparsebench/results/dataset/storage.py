"""Where a dataset lies: a folder, or a URI that one of pyarrow's or fsspec's file systems opens.

A file is put whole or not at all, and never changed after: into a folder under a name that no
``*.parquet`` pattern matches, then renamed; on object stores an object shows when it is complete.
So readers and other writers need no lock, and a writer killed at any point leaves at worst a
temporary file, which nobody reads and a later writer removes.
"""

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
import pyarrow.fs as pafs

from sparsebench.errors import SparsebenchError
from sparsebench.results.asv.walk import walk

_URI: Final = re.compile(r"[a-z][a-z0-9+.-]+:/")
_SECRET: Final = re.compile(r"//[^/@]*@")

# Left to itself, Google's client asks a store that does not answer for a quarter of an hour.
_PATIENCE: Final = 30  # seconds

# A writer needs a fraction of a second to rename what it wrote; this old, it has lost its writer.
_ABANDONED_AFTER: Final = 3600.0  # seconds


@dataclass(frozen=True)
class Store:
    """A dataset's place; files go by their names below ``root``, with slashes."""

    shown: str  # as messages name it, without credentials
    system: pafs.FileSystem
    root: str
    local: bool

    def path(self, name: str) -> str:
        """What ``system`` calls the file ``name``."""
        return f"{self.root}/{name}"

    def show(self, name: str) -> str:
        """What a message calls the file ``name``."""
        return f"{self.shown}/{name}"

    def names(self) -> list[str]:
        """Every Parquet file, sorted; none where there is no such place yet.

        Raises:
            SparsebenchError: the place is a file, or cannot be listed.
        """
        with telling(self.shown, "cannot be read"):
            if self.system.get_file_info(self.root).type == pafs.FileType.File:
                raise SparsebenchError(f"{self.shown}: the dataset must be a folder, got a file")
            found = self._listed()
        below = [path.removeprefix(self.root).lstrip("/") for path in found]
        return sorted(name for name in below if name.endswith(".parquet") and not _hidden(name))

    def _listed(self) -> list[str]:
        if self.local:  # pyarrow would not say which folder cannot be read
            looked = walk(Path(self.root), lambda name: name.endswith(".parquet"))
            if looked.problems and self.exists():
                raise SparsebenchError(next(iter(looked.problems.values())).partition(", skip")[0])
            return [str(path) for path in looked.files]
        if isinstance(self.system, pafs.PyFileSystem):  # fsspec's may remember an old listing
            self.system.handler.fs.invalidate_cache()
        chosen = pafs.FileSelector(self.root, recursive=True, allow_not_found=True)
        return [info.path for info in self.system.get_file_info(chosen) if info.is_file]

    def exists(self) -> bool:
        """Whether anything lies there."""
        with telling(self.shown, "cannot be read"):
            kind = self.system.get_file_info(self.root).type
        return bool(kind != pafs.FileType.NotFound)

    def open(self, name: str) -> pa.NativeFile:
        """The file ``name``, to be read at any place; the caller closes it.

        Raises:
            OSError: there is none.
        """
        file = self.system.open_input_file(self.path(name))
        if file.closed:  # so Google's shows an object that went while it was opened
            raise FileNotFoundError(self.show(name))
        return file

    def gone(self, name: str) -> bool:
        """Whether another writer has removed ``name``; object stores tell it in many ways."""
        with telling(self.show(name), "cannot be read"):
            kind = self.system.get_file_info(self.path(name)).type
        return bool(kind == pafs.FileType.NotFound)

    def put(self, name: str, content: pa.Buffer) -> None:
        """Store ``content`` as ``name``, whole or not at all.

        Raises:
            SparsebenchError: the disk is full or read-only, or the store is out of reach.
        """
        with telling(self.show(name), "cannot be written"):
            if self.local:
                _put_file(Path(self.path(name)), content)
            else:
                _put_object(self.system, self.path(name), content)

    def remove(self, name: str) -> None:
        """Delete ``name``; that another writer was first, or that it may not, is no matter."""
        with suppress(OSError):
            self.system.delete_file(self.path(name))

    def remove_abandoned(self) -> None:
        """Delete the temporary files of writers that were killed more than an hour ago."""
        if self.local:
            for temporary in Path(self.root).rglob(".*.parquet.*.tmp"):
                with suppress(OSError):  # another process may have removed it
                    if time.time() - temporary.stat().st_mtime > _ABANDONED_AFTER:
                        temporary.unlink()


def open_store(dataset: str | Path) -> Store:
    """The store of a folder's path or a URI: s3://, gs://, memory://, ...

    Raises:
        SparsebenchError: no file system is known for the URI, or it has no path.
    """
    text = str(dataset)
    if not _URI.match(text):
        root = os.path.abspath(text)  # noqa: PTH100 - resolve() would follow links
        return Store(text, pafs.LocalFileSystem(), root, local=True)
    uri = re.sub(r":/+", "://", text, count=1) if not text.startswith("file:") else text
    shown = _SECRET.sub("//", uri.partition("?")[0]).rstrip("/")
    with telling(shown, "cannot be opened"):
        system, root = _file_system(uri)
    if not root.strip("/"):
        raise SparsebenchError(f"{shown}: must name a folder in the store, got none")
    return Store(shown, system, root.rstrip("/"), isinstance(system, pafs.LocalFileSystem))


@contextmanager
def telling(where: str, what: str) -> Iterator[None]:
    """Give a store's error as one line."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise SparsebenchError(
            f"{where}: {what}: {reason}; what was stored stays, the same command continues"
        ) from None


def first_line(error: BaseException) -> str:
    """Arrow's errors run over many lines; the first says what is wrong."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def slug(text: str) -> str:
    """``text`` as a folder's name: never hidden, never ``..``, never Hive's ``key=value``."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-.")[:60] or "unnamed"


def _file_system(uri: str) -> tuple[pafs.FileSystem, str]:
    """The one of pyarrow where it has one for the scheme, else fsspec's."""
    if uri.startswith(("gs:", "gcs:")) and "retry_limit_seconds=" not in uri:
        uri += f"{'&' if '?' in uri else '?'}retry_limit_seconds={_PATIENCE}"
    try:
        system, root = pafs.FileSystem.from_uri(uri)
    except pa.ArrowInvalid:
        try:
            system, root = pafs.FileSystem.from_uri(f"fsspec+{uri}")
        except (ImportError, ValueError) as error:  # no such scheme, or its package is missing
            raise OSError(first_line(error)) from None
    return system, root


def _put_file(path: Path, content: pa.Buffer) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as sink:
            sink.write(content)
            sink.flush()
            os.fsync(sink.fileno())  # or a power cut could leave the new name with no content
        temporary.replace(path)
    finally:
        with suppress(OSError):  # the first error is the one to be told
            temporary.unlink(missing_ok=True)


def _put_object(system: pafs.FileSystem, path: str, content: pa.Buffer) -> None:
    if isinstance(system, pafs.PyFileSystem):  # fsspec's may be a disk, with folders to be made
        system.create_dir(path.rpartition("/")[0], recursive=True)
    with system.open_output_stream(path) as sink:
        sink.write(content)  # at once: a stream that breaks off must not be closed as complete


def _hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))
