"""A static site over the results: no server and no outside resources, opens from a file path.

Rows in (`site_data`), HTML pages with pictures and their CSV out. Read `build` first: it lists the
pages; each kind of page is a module, `page` and `table` are what they share.
"""

from sparsebench.report.site.build import BuiltSite, SiteContent, build
from sparsebench.report.site.site_data import DatasetRows, collect_rows, read_history, runs_of
from sparsebench.report.site.table import CommitLinks

__all__ = [
    "BuiltSite",
    "CommitLinks",
    "DatasetRows",
    "SiteContent",
    "build",
    "collect_rows",
    "read_history",
    "runs_of",
]
