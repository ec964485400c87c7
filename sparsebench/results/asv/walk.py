"""The files under a folder, and a line on each folder that could not be looked into."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Walk:
    """The files found, sorted, and by its path what is wrong with each unreadable folder."""

    files: list[Path]
    problems: dict[Path, str]


def walk(folder: Path, wanted: Callable[[str], bool]) -> Walk:
    """Every file at any depth whose name is ``wanted``; links to folders are not followed."""
    problems: dict[Path, str] = {}

    def unreadable(error: OSError) -> None:  # `Path.rglob` would leave the folder out in silence
        path = Path(error.filename)
        problems[path] = f"{path}: folder cannot be read ({error.strerror}), skipped"

    found = [
        Path(parent, name)
        for parent, _, names in os.walk(folder, onerror=unreadable)
        for name in names
        if wanted(name)
    ]
    return Walk(sorted(found), problems)
