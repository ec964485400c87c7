"""One static site over the results: no server, nothing from elsewhere, opens from a file path."""

from sparsebench.report.site.build import Built, Content, build
from sparsebench.report.site.commits import CommitLinks
from sparsebench.report.site.gathering import gather, read_history, runs_of

__all__ = ["Built", "CommitLinks", "Content", "build", "gather", "read_history", "runs_of"]
