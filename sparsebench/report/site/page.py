"""The HTML of a page, from a template and from what every page of a site shares.

Everything that comes from data is escaped: autoescape is always on.
"""

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from sparsebench.report.site.table import CommitLinks


@dataclass(frozen=True)
class SiteContext:
    """What all pages of a site share.

    Attributes:
        title: the projects' names.
        dataset: as named on the command line, for the commands beside the figures.
        links: web addresses of commits.
        menu: path and title of the pages that every page links to.
        version: of sparsebench.
    """

    title: str
    dataset: str
    links: CommitLinks
    menu: tuple[tuple[str, str], ...]
    version: str

    def command(self, verb: str, benchmarks: Iterable[str], *options: str) -> str:
        """Return the command line that prints or draws these benchmarks, quoted for a shell."""
        names = sorted(re.escape(name) for name in set(benchmarks))
        pattern = names[0] if len(names) == 1 else f"({'|'.join(names)})"
        selection = ["--dataset", self.dataset, "--benchmark", f"^{pattern}$"]
        return shlex.join(["sparsebench", verb, *selection, *options])

    def plain_command(self, verb: str, *arguments: str) -> str:
        """Return a command line for all benchmarks of the dataset."""
        return shlex.join(["sparsebench", verb, *arguments, "--dataset", self.dataset])


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("sparsebench.report.site"),
        autoescape=True,
        undefined=StrictUndefined,  # a forgotten value is an error, not a gap in a page
        trim_blocks=True,
        lstrip_blocks=True,
    )


def page(template: str, site: SiteContext, path: str, **content: Any) -> str:
    """Return the HTML of the page at ``path``, which is relative to the site."""
    root = "../" * path.count("/")
    return _environment().get_template(template).render(site=site, root=root, path=path, **content)
