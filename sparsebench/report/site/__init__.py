"""One static site over the results: no server, nothing from elsewhere, opens from a file path."""

from sparsebench.report.site.build import Built, Content, build
from sparsebench.report.site.commits import CommitLinks

__all__ = ["Built", "CommitLinks", "Content", "build"]
