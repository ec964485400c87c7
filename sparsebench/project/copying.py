"""Copies of Python environments that share their files."""

import json
import os
import shutil
from pathlib import Path
from typing import Final

# asv's own, of no use to a process that runs benchmarks
_LEFT_OUT: Final = {"asv-build-cache", "asv-env-info.json", "asv-install-status.json"}
# Text that names the environment's folder: scripts, and what points to an editable install.
_NAMES_FOLDER: Final = ("*.pth", "__editable__*", "*.egg-link", "direct_url.json")


def copy_environment(source: Path, target: Path, variables: dict[str, str]) -> None:
    """A second environment like ``source``, sharing its files; whole, or not there at all."""
    unfinished = target.with_name(target.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.rmtree(target, ignore_errors=True)
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, unfinished, symlinks=True, ignore=_left_out, copy_function=_link)
    _rename_within(unfinished, str(source), str(target))
    (unfinished / "ready.json").write_text(json.dumps(variables), encoding="utf-8")
    unfinished.rename(target)


def _left_out(_: str, names: list[str]) -> set[str]:
    return _LEFT_OUT.intersection(names)


def _link(source: str, target: str) -> None:
    """A hard link; where the file system has none, a copy."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def _rename_within(folder: Path, old: str, new: str) -> None:
    """Make what names the old environment name the new one; the old one's files stay as they are.

    Without it a console script, or an editable install, would lead to whatever commit asv has
    installed since.
    """
    scripts = [path for path in (folder / "bin").iterdir() if not path.is_symlink()]
    for path in scripts + [p for pattern in _NAMES_FOLDER for p in folder.rglob(pattern)]:
        content = path.read_bytes() if path.is_file() else b""
        if old.encode() in content and b"\0" not in content:
            mode = path.stat().st_mode
            path.unlink()  # the link, not the file
            path.write_bytes(content.replace(old.encode(), new.encode()))
            path.chmod(mode)
