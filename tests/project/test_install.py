"""Copies of an environment: their own where they name their folder, shared elsewhere."""

import json
import os
from pathlib import Path

import pytest

from sparsebench.project import installations
from sparsebench.project.install import copy_environment
from sparsebench.project.installations import KEPT, Installation, installed
from sparsebench.project.settings import Project


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "env"
    site = folder / "lib" / "site-packages"
    site.mkdir(parents=True)
    (folder / "bin").mkdir()
    (folder / "bin" / "tool").write_text(f"#!{folder}/bin/python\n")
    (folder / "bin" / "tool").chmod(0o755)
    (folder / "bin" / "python").symlink_to("/usr/bin/env")
    (site / "module.py").write_text("x = 1\n")
    (site / "editable.pth").write_text(f"{folder}/project\n")
    (folder / "asv-env-info.json").write_text("{}")
    return folder


def test_a_copy_shares_files_and_has_its_own_paths(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "gate" / "abc"
    copy_environment(source, target, {"A": "b"})
    site = target / "lib" / "site-packages"
    assert (site / "module.py").samefile(source / "lib" / "site-packages" / "module.py")
    assert (site / "editable.pth").read_text() == f"{target}/project\n"
    assert (target / "bin" / "tool").read_text() == f"#!{target}/bin/python\n"
    assert os.access(target / "bin" / "tool", os.X_OK)
    assert (target / "bin" / "python").readlink() == Path("/usr/bin/env")
    assert not (target / "asv-env-info.json").exists()
    assert json.loads((target / "ready.json").read_text()) == {"A": "b"}
    assert (source / "bin" / "tool").read_text() == f"#!{source}/bin/python\n"


def test_what_an_interrupted_copy_left_is_replaced(source: Path, tmp_path: Path) -> None:
    unfinished = tmp_path / "gate" / "abc.unfinished"
    unfinished.mkdir(parents=True)
    (unfinished / "junk").touch()
    copy_environment(source, tmp_path / "gate" / "abc", {})
    assert [path.name for path in (tmp_path / "gate").iterdir()] == ["abc"]
    assert not (tmp_path / "gate" / "abc" / "junk").exists()


def test_without_hard_links_files_are_copied(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refused)
    copy_environment(source, tmp_path / "gate" / "abc", {})
    copied = tmp_path / "gate" / "abc" / "lib" / "site-packages" / "module.py"
    assert copied.read_text() == "x = 1\n"
    assert not copied.samefile(source / "lib" / "site-packages" / "module.py")


def test_the_least_recently_used_installation_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def install(_: Project, __: str, commit: str, folder: Path, ___: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "ready.json").write_text("{}")
        made.append(commit)

    monkeypatch.setattr(installations, "install_commit", install)
    project = Project(
        tmp_path, "p", tmp_path, tmp_path, tmp_path, "recipe", 60.0, environments=("e",)
    )

    def use(commit: str, moment: int) -> Installation:
        got = installed(project, "e", commit, tmp_path / "log", lambda _: None)
        os.utime(got.folder, (moment, moment))
        return got

    for moment in range(KEPT):
        use(f"{moment:016}", moment)
    first = use("0" * 16, KEPT)  # used again: not installed again
    assert len(made) == KEPT
    use("f" * 16, KEPT + 1)
    assert first.folder.is_dir()
    assert len(list(first.folder.parent.iterdir())) == KEPT
    assert not (first.folder.parent / f"{1:016}").exists()
