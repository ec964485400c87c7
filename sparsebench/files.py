"""Write files whole or not at all; search folders for files."""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sparsebench.errors import SparsebenchError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; what is written there replaces ``path`` at the end.

    The folder is made if need be. A reader sees the old file or the new one, never a part, also
    after a power cut. If the block raises, ``path`` is unchanged and the temporary file is deleted.
    If the process is killed, ``.NAME.*.tmp`` is left.

    Raises:
        OSError: the folder or the file cannot be written.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "figures" / "a.txt"
        >>> with atomic_path(target) as temporary:
        ...     _ = temporary.write_text("whole")
        >>> target.read_text()
        'whole'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())  # or a power cut could leave the new name without content
        temporary.replace(path)
    finally:
        with suppress(OSError):  # an earlier error is the one to be reported
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` in UTF-8, whole or not at all.

    Raises:
        SparsebenchError: it cannot be written.
    """
    try:
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise SparsebenchError(f"{path}: cannot be written: {error.strerror or error}") from None


@dataclass(frozen=True)
class FileSearch:
    """The files below a folder.

    Attributes:
        files: paths, sorted.
        problems: one line per folder that cannot be read, by its path.
    """

    files: list[Path]
    problems: dict[Path, str]


def find_files(folder: Path, wanted: Callable[[str], bool]) -> FileSearch:
    """Return the files at any depth below ``folder`` for whose name ``wanted`` is true.

    Links to folders are not followed.
    """
    problems: dict[Path, str] = {}

    def note(error: OSError) -> None:  # `Path.rglob` would skip such a folder silently
        path = Path(error.filename)
        problems[path] = f"{path}: folder cannot be read ({error.strerror}), skipped"

    files = [
        Path(parent, name)
        for parent, _, names in os.walk(folder, onerror=note)
        for name in names
        if wanted(name)
    ]
    return FileSearch(sorted(files), problems)
