"""What the earlier site says of its pages: one whose data are the same is not made again."""

import dataclasses
import hashlib
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import matplotlib as mpl
import seaborn as sns

from sparsebench.report.site.output import Output

T = TypeVar("T")

_PACKAGE: Final = Path(__file__).parents[2]
_DECIDING: Final = ("report/**/*.py", "report/site/templates/*.html", "stats/*.py")


def page_key(*parts: object) -> str:
    """Return the name of a page's content: of all it is made from, and of the code that does."""
    words = [code(), *map(repr, parts)]
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:32]


@cache
def code() -> str:
    """Return a hash of all that decides how a page and its pictures come out of their data."""
    versions = f"{mpl.__version__} {sns.__version__} {sys.version_info[:2]}"
    files = sorted(path for pattern in _DECIDING for path in _PACKAGE.glob(pattern))
    content = b"\0".join([versions.encode(), *(path.read_bytes() for path in files)])
    return hashlib.sha256(content).hexdigest()


@dataclasses.dataclass(frozen=True)
class Page(Generic[T]):
    """A page, written or kept.

    Attributes:
        path: of the site; ``key``: of its content, see `page_key`.
        told: what other pages say of it, a dataclass of plain values.
        files: of it, its pictures and data.
        drawn: how many pictures were; ``reused``: how many were there already.
    """

    path: str
    key: str
    told: T
    files: frozenset[str]
    drawn: int
    reused: int

    def plain(self) -> dict[str, Any]:
        """Return what the manifest says of the page."""
        told = dataclasses.asdict(self.told)  # type: ignore[call-overload]  # any dataclass
        pictures = self.drawn + self.reused
        return {"key": self.key, "files": sorted(self.files), "pictures": pictures, "told": told}


@dataclasses.dataclass(frozen=True)
class Kept:
    """The pages of an earlier site, as its manifest has them, by path."""

    pages: Mapping[str, Any]

    def page(
        self, path: str, key: str, read: Callable[[dict[str, Any]], T], output: Output
    ) -> Page[T] | None:
        """Return the page of this key, counted as written; None if it is not there whole.

        ``read`` makes what is told of it out of plain values.
        """
        page = self.pages.get(path)
        if not isinstance(page, dict) or page.get("key") != key:
            return None
        try:
            told, files = read(page["told"]), frozenset(map(str, page["files"]))
            kept = Page(path, key, told, files, 0, int(page["pictures"]))
        except (KeyError, TypeError, ValueError):  # somebody else's: it is made again
            return None
        return kept if all(output.has(file) for file in files) else None
