"""Pages out of templates. Everything that comes from data is escaped: autoescape is always on."""

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from sparsebench.report.site.site_context import About


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("sparsebench.report.site"),
        autoescape=True,
        undefined=StrictUndefined,  # a forgotten value is an error, not a gap in a page
        trim_blocks=True,
        lstrip_blocks=True,
    )


def page(template: str, about: About, path: str, **content: Any) -> str:
    """Return the HTML of the page that will stand at ``path`` (relative to the site, with "/")."""
    root = "../" * path.count("/")
    return (
        _environment().get_template(template).render(about=about, root=root, path=path, **content)
    )
