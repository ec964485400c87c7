"""The working tree as a commit that no branch knows, so that it can be built like any other."""

import shutil
import tempfile
from pathlib import Path

from sparsebench.project.git import git

_IDENTITY = {
    f"GIT_{role}_{field}": value
    for role in ("AUTHOR", "COMMITTER")
    for field, value in (("NAME", "sparsebench"), ("EMAIL", "sparsebench@localhost"))
}


def work_tree_commit(repository: Path) -> tuple[str, int]:
    """The hash of a commit with the working tree's content, and how many files it changes.

    Ignored files are left out, untracked ones are in it. Without changes it is HEAD itself. The
    same content gives the same hash. Index, branches and files are not touched.

    Raises:
        SparsebenchError: there is no commit yet, or git fails.
    """
    head = git(repository, "rev-parse", "--verify", "HEAD")
    with tempfile.TemporaryDirectory() as folder:
        index = Path(folder) / "index"
        current = Path(git(repository, "rev-parse", "--absolute-git-dir")) / "index"
        if current.is_file():
            shutil.copy2(current, index)  # knows which files git need not read again
        variables = {"GIT_INDEX_FILE": str(index)}
        git(repository, "add", "--all", "--", ":/", variables=variables)
        tree = git(repository, "write-tree", variables=variables)
    changed = git(repository, "diff-tree", "-r", "--name-only", head, tree).splitlines()
    if not changed:
        return head, 0
    date = git(repository, "show", "--no-patch", "--format=%cI", head)
    variables = {**_IDENTITY, "GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
    message = "Uncommitted changes"
    return (
        git(repository, "commit-tree", tree, "-p", head, "-m", message, variables=variables),
        len(changed),
    )
