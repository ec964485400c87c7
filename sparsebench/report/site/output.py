"""The site's folder: files written whole, and what an earlier site left behind removed."""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from sparsebench.errors import SparsebenchError

MANIFEST: Final = "site.json"


@dataclass(frozen=True)
class Output:
    """A folder that one site is written into; ``written`` are its files, relative to it."""

    root: Path
    written: set[str] = field(default_factory=set)

    def write(self, path: str, content: str) -> None:
        """Put ``content`` there, unless that is what is there already."""
        self.written.add(path)
        target = self.root / path
        with suppress(OSError, UnicodeDecodeError):  # then it is written below
            if target.read_text(encoding="utf-8") == content:
                return
        part = target.with_name(f".{target.name}.part")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(content, encoding="utf-8", newline="")
            part.replace(target)
        except OSError as error:
            with suppress(OSError):
                part.unlink()
            reason = error.strerror or error
            raise SparsebenchError(f"{target}: cannot be written: {reason}") from None

    def keep(self, path: str) -> bool:
        """Count ``path`` among the site's files; whether it is there already."""
        self.written.add(path)
        return self.has(path)

    def has(self, path: str) -> bool:
        """Whether a file of the site is there."""
        return _is_inside(path) and (self.root / path).is_file()


def check(root: Path) -> None:
    """Refuse a folder that holds anything but an earlier site.

    Raises:
        SparsebenchError: it is a file, or not empty and no site.
    """
    if root.is_file():
        raise SparsebenchError(f"{root}: must be a folder for the site, got a file")
    if root.is_dir() and any(root.iterdir()) and not (root / MANIFEST).is_file():
        raise SparsebenchError(
            f"{root}: must be empty or hold an earlier site, got other files; give another --into"
        )


def finish(root: Path, written: Iterable[str], pages: Mapping[str, object]) -> None:
    """Remove the files that only the earlier site had, and note what this one has.

    ``pages`` is what the next build may keep, in plain values.
    """
    files = sorted(written)
    earlier = manifest(root)["files"]
    for stale in set(map(str, earlier)) - set(files) if isinstance(earlier, list) else ():
        if _is_inside(stale):
            (root / stale).unlink(missing_ok=True)
    _note(root, {"files": files, "pages": pages})


def claim(root: Path) -> None:
    """Make the folder and its manifest, so that a site that was cut off is taken for one."""
    root.mkdir(parents=True, exist_ok=True)
    if not (root / MANIFEST).exists():
        _note(root, {"files": [], "pages": {}})


def manifest(root: Path) -> dict[str, object]:
    """Return what an earlier site notes of itself: its files, and its pages by path."""
    try:
        noted = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        noted = None
    empty: dict[str, object] = {"files": [], "pages": {}}
    return empty | noted if isinstance(noted, dict) else empty


def _note(root: Path, noted: Mapping[str, object]) -> None:
    part = root / f".{MANIFEST}.part"
    part.write_text(json.dumps(noted, indent=0) + "\n", encoding="utf-8")
    part.replace(root / MANIFEST)


def _is_inside(path: str) -> bool:
    """Whether a manifest's line names a file below the site; a meddled-with one may not."""
    pure = PurePosixPath(path)
    return bool(pure.parts) and not pure.is_absolute() and ".." not in pure.parts
