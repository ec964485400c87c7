"""Which commits a run measures."""

from pathlib import Path

import pytest

from sparsebench.errors import SparsebenchError
from sparsebench.project.commits import resolve, uncommitted_changes
from tests.conftest import Commit, git

Repository = tuple[Path, Commit]


def subjects(folder: Path, commits: str | None) -> list[str]:
    return [commit.subject for commit in resolve(folder, commits)]


def test_by_default_head_and_two_before_it_oldest_first(repository: Repository) -> None:
    folder, commit = repository
    for subject in "abcd":
        commit(subject)
    assert subjects(folder, None) == ["b", "c", "d"]


def test_a_young_repository_gives_what_it_has(repository: Repository) -> None:
    folder, commit = repository
    commit("only")
    assert subjects(folder, None) == ["only"]


def test_a_shallow_clone_gives_what_it_has(repository: Repository, tmp_path: Path) -> None:
    folder, commit = repository
    for subject in "abc":
        commit(subject)
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "--quiet", "--depth", "1", folder.as_uri(), str(shallow))
    assert subjects(shallow, None) == ["c"]
    with pytest.raises(SparsebenchError, match="the clone is shallow and may lack it: `git fetch "):
        resolve(shallow, "HEAD~1")


def test_revisions_and_ranges_are_joined_and_each_commit_taken_once(repository: Repository) -> None:
    folder, commit = repository
    for subject in "abcd":
        commit(subject)
    git(folder, "tag", "v1", "HEAD~3")
    assert subjects(folder, "v1") == ["a"]
    assert subjects(folder, "v1..main") == ["b", "c", "d"]
    assert subjects(folder, "HEAD~1, v1 HEAD~2..HEAD") == ["c", "a", "d"]


def test_a_range_follows_first_parents(repository: Repository) -> None:
    folder, commit = repository
    commit("a")
    git(folder, "checkout", "--quiet", "-b", "side")
    commit("aside")
    git(folder, "checkout", "--quiet", "main")
    git(folder, "merge", "--quiet", "--no-ff", "--message", "merged", "side")
    assert subjects(folder, "HEAD~1..HEAD") == ["merged"]


@pytest.mark.parametrize(
    ("commits", "message"),
    [
        ("mian", "--commits: unknown revision 'mian'; near: main"),
        ("v9..main", "--commits: unknown revision 'v9'; known: main"),
        ("--all", r"--commits: .* may not start with a dash, got '--all'"),
        ("HEAD..HEAD", r"a range must hold commits, got 'HEAD\.\.HEAD', which is empty"),
        (" , ", "--commits: must name a commit or a range, got nothing"),
    ],
)
def test_what_names_no_commit_is_refused(
    repository: Repository, commits: str, message: str
) -> None:
    folder, commit = repository
    commit("a")
    with pytest.raises(SparsebenchError, match=message):
        resolve(folder, commits)


def test_a_folder_without_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SparsebenchError, match="not a git repository"):
        resolve(tmp_path, None)


def test_uncommitted_changes_are_counted_untracked_files_are_not(repository: Repository) -> None:
    folder, commit = repository
    commit("a")
    (folder / "untracked").write_text("")
    assert uncommitted_changes(folder) == 0
    (folder / "file.txt").write_text("changed")
    assert uncommitted_changes(folder) == 1
