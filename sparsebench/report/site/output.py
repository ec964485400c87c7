"""The folder of a site: files written atomically, and stale files of an earlier site removed."""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from sparsebench.errors import SparsebenchError
from sparsebench.files import write_text

MANIFEST: Final = "site.json"


@dataclass(frozen=True)
class Output:
    """The folder that a site is written into.

    Attributes:
        root: the folder.
        written: the site's files so far, relative to ``root``.
    """

    root: Path
    written: set[str] = field(default_factory=set)

    def write(self, path: str, content: str) -> None:
        """Write ``content`` to ``path``, unless the file has this content already."""
        self.written.add(path)
        target = self.root / path
        with suppress(OSError, UnicodeDecodeError):  # then it is written below
            if target.read_text(encoding="utf-8") == content:
                return
        write_text(target, content)

    def keep(self, path: str) -> bool:
        """Count ``path`` among the site's files, and return whether it exists."""
        self.written.add(path)
        return self.has(path)

    def has(self, path: str) -> bool:
        """Return whether ``path`` is a file inside the site."""
        return _is_inside(path) and (self.root / path).is_file()


def check(root: Path) -> None:
    """Refuse a folder that holds anything but an earlier site.

    Raises:
        SparsebenchError: it is a file, or a folder with files and without a site's manifest.
    """
    if root.is_file():
        raise SparsebenchError(f"{root}: must be a folder for the site, got a file")
    if root.is_dir() and any(root.iterdir()) and not (root / MANIFEST).is_file():
        raise SparsebenchError(
            f"{root}: must be empty or hold an earlier site, got other files; give another --into"
        )


def claim(root: Path) -> None:
    """Make the folder and an empty manifest, so that an interrupted build can be repeated."""
    root.mkdir(parents=True, exist_ok=True)
    if not (root / MANIFEST).exists():
        _write_manifest(root, {"files": [], "pages": {}})


def finish(root: Path, written: Iterable[str], pages: Mapping[str, object]) -> None:
    """Remove files that only the earlier site had, and write the manifest.

    Args:
        root: the site's folder.
        written: the files of this site, relative to ``root``.
        pages: by path what the next build needs to reuse a page, in plain values.
    """
    files = sorted(written)
    earlier = manifest(root)["files"]
    for stale in set(map(str, earlier)) - set(files) if isinstance(earlier, list) else ():
        if _is_inside(stale):
            (root / stale).unlink(missing_ok=True)
    _write_manifest(root, {"files": files, "pages": pages})


def manifest(root: Path) -> dict[str, object]:
    """Return the manifest of the site in ``root``: "files" and "pages", empty if unreadable."""
    try:
        content = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = None
    empty: dict[str, object] = {"files": [], "pages": {}}
    return empty | content if isinstance(content, dict) else empty


def _write_manifest(root: Path, content: Mapping[str, object]) -> None:
    write_text(root / MANIFEST, json.dumps(content, indent=0) + "\n")


def _is_inside(path: str) -> bool:
    """Return whether ``path``, from a manifest that anyone may have edited, is below the site."""
    pure = PurePosixPath(path)
    return bool(pure.parts) and not pure.is_absolute() and ".." not in pure.parts
