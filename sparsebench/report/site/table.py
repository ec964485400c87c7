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
    """One cell: its text, what to sort it by, where it links to, and a class for its colour."""

    text: str
    value: float | None = None
    href: str | None = None
    kind: str = ""
    spark: str = ""


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
