"""The working tree as a commit, and the folders of commits beside it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sparsebench.errors import SparsebenchError
from sparsebench.project.commits import differs, extract, find_commit, work_tree_commit
from tests.conftest import git

Repository = tuple[Path, Callable[[str], str]]


def test_a_clean_tree_is_its_own_head(repository: Repository) -> None:
    folder, commit = repository
    head = commit("one")
    assert work_tree_commit(folder) == (head, 0)


def test_changes_become_a_commit_that_nothing_else_shows(repository: Repository) -> None:
    folder, commit = repository
    (folder / ".gitignore").write_text("ignored.txt\n")
    (folder / "gone.txt").write_text("gone")
    (folder / "half.txt").write_text("one")
    head = commit("one")
    (folder / "file.txt").write_text("changed")
    (folder / "half.txt").write_text("staged")
    git(folder, "add", "half.txt")
    (folder / "half.txt").write_text("after staging")
    (folder / "new \u00fc.txt").write_text("new")
    (folder / "gone.txt").unlink()
    (folder / "ignored.txt").write_text("ignored")
    before = git(folder, "status", "--porcelain"), (folder / ".git" / "index").read_bytes()

    made, count = work_tree_commit(folder)

    assert count == 4
    assert (git(folder, "status", "--porcelain"), (folder / ".git" / "index").read_bytes()) == (
        before
    )
    assert git(folder, "for-each-ref", "--format=%(objectname)") == head
    assert git(folder, "rev-parse", f"{made}^") == head
    tree = git(folder, "-c", "core.quotePath=false", "ls-tree", "--name-only", made).splitlines()
    assert tree == [".gitignore", "file.txt", "half.txt", "new \u00fc.txt"]
    assert git(folder, "show", f"{made}:half.txt") == "after staging"
    assert work_tree_commit(folder) == (made, 4)  # the same content, the same commit
    (folder / "file.txt").write_text("else")
    assert work_tree_commit(folder)[0] != made


def test_it_begins_at_the_repository_wherever_it_is_called(repository: Repository) -> None:
    folder, commit = repository
    (folder / "below").mkdir()
    commit("one")
    (folder / "file.txt").write_text("changed")
    assert work_tree_commit(folder / "below")[1] == work_tree_commit(folder)[1] == 1


def test_without_a_commit_git_says_why(repository: Repository) -> None:
    with pytest.raises(SparsebenchError, match=r"git rev-parse in .*: fatal: Needed a single"):
        work_tree_commit(repository[0])


def test_a_folder_differs_by_commits_and_by_changes(repository: Repository) -> None:
    folder, commit = repository
    inside = folder / "inside"
    inside.mkdir()
    (inside / "a.txt").write_text("1")
    first = commit("one")
    second = commit("two")
    assert not differs(folder, first, inside)
    (inside / "b.txt").write_text("untracked")
    assert differs(folder, second, inside)
    commit("three")
    assert differs(folder, second, inside)
    assert not differs(folder, "HEAD", inside)


def test_a_folder_of_an_old_commit_is_extracted(repository: Repository, tmp_path: Path) -> None:
    folder, commit = repository
    empty = commit("zero")
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "c.txt").write_text("old")
    old = commit("one")
    (folder / "a" / "b" / "c.txt").write_text("new")
    assert extract(folder, empty, folder / "a" / "b", tmp_path) is None
    extracted = extract(folder, old, folder / "a" / "b", tmp_path)
    assert extracted
    assert (extracted / "c.txt").read_text() == "old"


@pytest.mark.parametrize("revision", ["--all", "HEAD~1..HEAD", "HEAD..."])
def test_one_commit_is_neither_an_option_nor_a_range(revision: str, repository: Repository) -> None:
    repository[1]("one")
    with pytest.raises(SparsebenchError, match="BASE: must be one commit, got"):
        find_commit(repository[0], revision, "BASE")


def test_one_commit_by_any_of_its_names(repository: Repository) -> None:
    folder, commit = repository
    full = commit("subject\twith a tab")
    git(folder, "tag", "-a", "-m", "annotated", "v1")
    for name in ("main", "v1", full[:9], "HEAD"):
        assert find_commit(folder, name, "BASE").hash == full
    assert find_commit(folder, "v1", "BASE").subject == "subject\twith a tab"
