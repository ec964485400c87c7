"""Tables of a page: texts to show, numbers to sort by, and links to commits."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from sparsebench.analysis.history import short_hash


@dataclass(frozen=True)
class Column:
    """A heading; numeric columns are aligned to the right and sorted by value."""

    title: str
    numeric: bool = False


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: shown; ``detail`` is shown smaller below it.
        value: number to sort by; None: sort by the text.
        href: target of a link: a path of the site, or a web address.
        kind: CSS class for the colour, "worse" or "better".
        spark: points of a sparkline that replaces the text.
    """

    text: str
    value: float | None = None
    href: str | None = None
    kind: str = ""
    spark: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Table:
    """A table, which the page's script makes sortable and searchable."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()


def columns(*titles: str, numeric: Sequence[str] = ()) -> tuple[Column, ...]:
    """Return the columns of these titles; those in ``numeric`` are numeric."""
    return tuple(Column(title, title in numeric) for title in titles)


@dataclass(frozen=True)
class CommitLinks:
    """Web addresses of commits: ``url`` followed by the hash; None: no links."""

    url: str | None = None

    def href(self, commit: str) -> str | None:
        """Return the address of a commit."""
        return None if self.url is None else self.url + quote(commit, safe="")

    def cell(self, commit: str) -> Cell:
        """Return a table cell with the short hash, linked."""
        return Cell(short_hash(commit), href=self.href(commit))
