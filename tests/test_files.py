from pathlib import Path

import pytest

from sparsebench.errors import SparsebenchError
from sparsebench.files import atomic_path, find_files, write_text


def write_half(path: Path) -> None:
    path.write_text("ha")
    raise ValueError("half")


def test_an_error_leaves_the_old_file_and_no_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(ValueError, match="half"), atomic_path(path) as temporary:
        write_half(temporary)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_text_is_written_as_it_is_and_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "below" / "a.txt"
    write_text(path, "\u00b5s\r\n")
    assert path.read_bytes() == b"\xc2\xb5s\r\n"


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SparsebenchError, match=r"a.txt: cannot be written: (Not a|File ex)"):
        write_text(tmp_path / "file" / "a.txt", "")


def test_files_are_found_at_any_depth_and_links_are_not_followed(tmp_path: Path) -> None:
    for name in ("b.json", "below/a.json", "below/c.txt"):
        write_text(tmp_path / name, "")
    (tmp_path / "below" / "loop").symlink_to(tmp_path)
    search = find_files(tmp_path, lambda name: name.endswith(".json"))
    assert [str(path.relative_to(tmp_path)) for path in search.files] == ["b.json", "below/a.json"]
    assert search.problems == {}
