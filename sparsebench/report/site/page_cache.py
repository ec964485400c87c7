"""Pages of an earlier site, reused where their data and the code did not change."""

import dataclasses
import hashlib
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import matplotlib as mpl
import seaborn as sns

from sparsebench.report.site.output import Output, manifest

T = TypeVar("T")

_PACKAGE: Final = Path(__file__).parents[2]
_SOURCES: Final = (
    "analysis/**/*.py",
    "report/**/*.py",
    "report/site/templates/*.html",
    "stats/*.py",
)


def page_key(*parts: object) -> str:
    """Return the hash of a page's data and of the code that makes pages."""
    texts = [code_hash(), *map(repr, parts)]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:32]


@cache
def code_hash() -> str:
    """Return the hash of the code and the library versions that pages and pictures depend on."""
    versions = f"{mpl.__version__} {sns.__version__} {sys.version_info[:2]}"
    sources = sorted(path for pattern in _SOURCES for path in _PACKAGE.glob(pattern))
    content = b"\0".join([versions.encode(), *(path.read_bytes() for path in sources)])
    return hashlib.sha256(content).hexdigest()


@dataclasses.dataclass(frozen=True)
class WrittenPage(Generic[T]):
    """A page that was written or reused.

    Attributes:
        path: relative to the site.
        key: of its content, see `page_key`.
        summary: what other pages show of it, a dataclass of plain values.
        files: the page, its pictures and their data, relative to the site.
        drawn: number of pictures drawn; ``reused``: number of pictures reused.
    """

    path: str
    key: str
    summary: T
    files: frozenset[str]
    drawn: int
    reused: int

    def plain(self) -> dict[str, Any]:
        """Return the manifest's entry of this page, in plain values."""
        summary = dataclasses.asdict(self.summary)  # type: ignore[call-overload]  # any dataclass
        pictures = self.drawn + self.reused
        return {
            "key": self.key,
            "files": sorted(self.files),
            "pictures": pictures,
            "summary": summary,
        }


@dataclasses.dataclass(frozen=True)
class EarlierPages:
    """The pages of an earlier site by path, in plain values as its manifest has them."""

    pages: Mapping[str, Any]

    @classmethod
    def read(cls, root: Path) -> "EarlierPages":
        """Return the pages of the site in ``root``; none if its manifest cannot be used."""
        pages = manifest(root)["pages"]
        return cls(pages if isinstance(pages, dict) else {})

    def page(
        self, path: str, key: str, parse: Callable[[dict[str, Any]], T], output: Output
    ) -> WrittenPage[T] | None:
        """Return the page at ``path`` if it has this key and all its files, else None.

        Its files count as written. ``parse`` makes the page's summary from plain values.
        """
        entry = self.pages.get(path)
        if not isinstance(entry, dict) or entry.get("key") != key:
            return None
        try:
            summary, files = parse(entry["summary"]), frozenset(map(str, entry["files"]))
            page = WrittenPage(path, key, summary, files, 0, int(entry["pictures"]))
        except (KeyError, TypeError, ValueError):  # not written by this version: make it again
            return None
        return page if all(output.has(file) for file in files) else None
