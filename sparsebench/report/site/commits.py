"""Commits as people see them in a page: a short hash, linked where the project says where to."""

from dataclasses import dataclass
from urllib.parse import quote

from sparsebench.analysis.history import short_hash
from sparsebench.report.site.table import Cell


@dataclass(frozen=True)
class CommitLinks:
    """Where a project's commits can be seen: the hash is put behind ``url``; None: nowhere."""

    url: str | None = None

    def href(self, commit: str) -> str | None:
        """The address of one commit."""
        return None if self.url is None else self.url + quote(commit, safe="")

    def cell(self, commit: str) -> Cell:
        """A cell of a table with the commit in it."""
        return Cell(short_hash(commit), href=self.href(commit))
