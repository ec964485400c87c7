"""Pictures of a page: an SVG and its data as CSV, drawn only if data or code changed."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import pandas as pd
from matplotlib.figure import Figure

from sparsebench.report.figures import canvas
from sparsebench.report.site.output import Output
from sparsebench.report.site.page_cache import code_hash

FIGURES: Final = "figures"
DATA: Final = "data"
_SIZE: Final = re.compile(r'<svg[^>]*? width="([\d.]+)pt" height="([\d.]+)pt"', re.DOTALL)
_PIXELS: Final = 96 / 72  # of CSS to a point


class Picture(Protocol):
    """A picture; its methods are called in this order, ``draw`` only if needed."""

    def table(self) -> pd.DataFrame:
        """Return the data that the picture shows."""

    def alt(self) -> str:
        """Return a description of the picture for people who cannot see it."""

    def draw(self) -> Figure:
        """Return the figure; called inside `canvas.style`."""


@dataclass(frozen=True)
class PageImage:
    """A picture as a page shows it; paths are relative to the site, sizes in CSS pixels."""

    title: str
    svg: str
    csv: str
    alt: str
    width: int
    height: int
    command: str
    drawn: bool


def show(picture: Picture, output: Output, name: str, title: str, command: str) -> PageImage:
    """Write ``figures/<name>-<hash>.svg`` and ``data/<name>.csv``, and return how to show them.

    The hash covers the data, the description, the drawing code and the libraries' versions. If
    such a file exists, nothing is drawn.
    """
    table, alt = picture.table().to_csv(index=False), picture.alt()
    kind = type(picture)
    key = hashlib.sha256("\0".join([code_hash(), kind.__name__, table, alt]).encode())
    stem = f"{name}-{key.hexdigest()[:10]}"
    svg = f"{FIGURES}/{stem}.svg"
    drawn = not output.keep(svg)
    if drawn:
        with canvas.style():
            canvas.save(picture.draw(), output.root / FIGURES, stem, alt, ["svg"])
    output.write(f"{DATA}/{name}.csv", table)
    width, height = _size(output.root / svg)
    return PageImage(title, svg, f"{DATA}/{name}.csv", alt, width, height, command, drawn)


def _size(path: Path) -> tuple[int, int]:
    with path.open(encoding="utf-8") as file:
        match = _SIZE.search(file.read(4096))
    assert match, f"{path}: matplotlib writes the size of an SVG in points"
    return round(float(match[1]) * _PIXELS), round(float(match[2]) * _PIXELS)
