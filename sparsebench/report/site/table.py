"""Tables as a page shows them: words for people, and beside them the numbers to sort by."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """A heading; numbers stand to the right and sort by value."""

    title: str
    numeric: bool = False


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: what it says; ``detail``: what it says smaller, below.
        value: what to sort it by instead.
        href: where the text links to: a path of the site, or a web address.
        kind: a class for its colour, "worse" or "better".
        spark: the points of a small line, in place of the text.
    """

    text: str
    value: float | None = None
    href: str | None = None
    kind: str = ""
    spark: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Table:
    """A table that the page's script makes sortable and searchable."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()


def columns(*titles: str, numeric: Sequence[str] = ()) -> tuple[Column, ...]:
    """Return the columns of these titles; those in ``numeric`` hold numbers."""
    return tuple(Column(title, title in numeric) for title in titles)
