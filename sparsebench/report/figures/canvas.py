"""The style and the axes that all figures share, and figures as PNG and SVG files.

The same figure gives the same bytes every time.
"""

import hashlib
import io
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, Locator, LogLocator, MaxNLocator, NullLocator
from numpy.typing import ArrayLike

from sparsebench.analysis.history import short_hash
from sparsebench.analysis.units import human, scale_of
from sparsebench.errors import SparsebenchError, unknown_name
from sparsebench.files import atomic_path
from sparsebench.report.figures import FORMATS

Colour = tuple[float, float, float]

PNG_DPI: Final = 144
SVG_DPI: Final = 72  # matplotlib's
QUIET: Final = "0.35"  # grey of the text beside the data
DASHES: Final = ("", (4, 1.5), (1, 1))
COLOURS: Final = 10  # in the palette
LINE: Final = 0.14  # inches per line of the small text
MOST_TICKS: Final = 7  # hashes that fit below a panel

_LOG_FROM: Final = 10.0  # one decade; below it a linear axis shows a change best
_LEAST_SPAN: Final = 0.2  # of the value: noise of one percent must not fill the axis
_PATHS: Final = re.compile(rb' d="[^"]*"')
_DECIMALS: Final = re.compile(rb"(\.\d\d)\d+")
_NAME_LENGTH: Final = 120  # below every file system's limit, suffix included


@contextmanager
def style() -> Iterator[None]:
    """Set the style for figures made inside the block; afterwards restore the caller's settings."""
    shared = sns.axes_style("whitegrid") | sns.plotting_context("paper")
    own = {
        "figure.constrained_layout.use": True,
        "figure.constrained_layout.w_pad": 0.07,  # inches
        "font.family": ["DejaVu Sans", "sans-serif"],  # the first comes with matplotlib
        "axes.titlelocation": "left",
        "axes.titlesize": 8.5,
        "axes.edgecolor": ".7",
        "grid.color": ".9",
        "xtick.labelsize": 7.5,
        "ytick.labelsize": 8,
        "legend.fontsize": 8,
        "legend.frameon": False,
        "text.parse_math": False,  # a "$" in a parameter is a dollar
        "svg.fonttype": "none",  # text stays text: searchable, and read aloud
        "svg.hashsalt": "sparsebench",
    }
    with mpl.rc_context(shared | own):
        yield


def colour(index: int) -> Colour:
    """Return a colour-blind-safe colour; after ten they repeat (see :func:`dash`)."""
    return tuple(sns.color_palette("colorblind")[index % COLOURS])


def dash(index: int) -> str | tuple[float, ...]:
    """Return a line pattern: solid for the first ten colours, then dashed, then dotted."""
    return DASHES[(index // COLOURS) % len(DASHES)]


def palette(names: Sequence[str]) -> dict[str, Colour]:
    """Return a colour per name."""
    return {name: colour(index) for index, name in enumerate(names)}


def dashes(names: Sequence[str]) -> dict[str, str | tuple[float, ...]]:
    """Return a line pattern per name."""
    return {name: dash(index) for index, name in enumerate(names)}


def surround(figure: Figure, name: str, about: str, notes: Sequence[str] = ()) -> None:
    """Write ``name`` and ``about`` above the figure and ``notes`` below it, wrapped to its width.

    The figure grows by their height, so that no panel overlaps them; its panels keep their size.
    """
    width, height = figure.get_size_inches()
    columns = int(width * 15)  # characters of the small text per inch, with some margin
    about_lines = _wrapped(about, columns)
    note_lines = [line for note in notes for line in _wrapped(note, columns)]
    head = 0.36 + LINE * len(about_lines)
    foot = 0.08 + LINE * len(note_lines)
    total = head + height + foot
    figure.set_size_inches(width, total)
    layout = figure.get_layout_engine()
    assert isinstance(layout, ConstrainedLayoutEngine), "figures are made inside `style`"
    layout.set(rect=(0, foot / total, 1, height / total))
    left = 0.08 / width
    title: dict[str, Any] = {"ha": "left", "va": "top", "fontsize": 11, "fontweight": "bold"}
    figure.text(left, 1 - 0.07 / total, name, **title)
    small: dict[str, Any] = {"ha": "left", "fontsize": 8, "color": QUIET, "linespacing": 1.25}
    figure.text(left, 1 - 0.31 / total, "\n".join(about_lines), va="top", **small)
    figure.text(left, (foot - 0.02) / total, "\n".join(note_lines), va="top", **small)


def value_axis(axes: Axes, values: ArrayLike, unit: str | None) -> None:
    """Scale the y axis to ``values`` and label it in readable units.

    The scale is logarithmic from one decade on. A linear axis begins at zero if the values reach
    below half of the highest; ratios never do.
    """
    numbers = np.asarray(values, dtype=float).ravel()
    numbers = numbers[np.isfinite(numbers)]
    if not numbers.size:
        axes.set_yticks([])
        return
    low, high = float(numbers.min()), float(numbers.max())
    like: float | None = None
    if low > 0 and high / low >= _LOG_FROM:
        axes.set_yscale("log")
        axes.set_ylim(low / 1.25, high * 1.25)
        subs = (1.0, 2.0, 5.0) if high / low < 300 else (1.0,)
        axes.yaxis.set_major_locator(LogLocator(base=10, subs=subs, numticks=8))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        middle, half = (low + high) / 2, (high - low) / 2 * 1.12
        half = max(half, abs(middle) * _LEAST_SPAN) or 1.0
        from_zero = unit != "ratio" and 0 <= low <= high / 2
        axes.set_ylim(0.0 if from_zero else middle - half, middle + half)
        axes.yaxis.set_major_locator(_ScaledLocator(unit))
        like = high
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda value, _position: human(value, unit, like=like))
    )


def commit_axis(axes: Axes, commits: list[str], *, labelled: bool) -> None:
    """Make commit indices the x axis, labelled with as many hashes as fit, the newest included."""
    count = len(commits)
    stride = -(-count // MOST_TICKS)
    ticks = range((count - 1) % stride, count, stride)
    margin = max(0.5, 0.02 * count)
    axes.set_xlim(-margin, count - 1 + margin)
    hashes = [short_hash(commits[tick]) for tick in ticks]
    axes.set_xticks(ticks, hashes, rotation=40, ha="right", rotation_mode="anchor")
    axes.tick_params(axis="x", labelbottom=labelled, length=2, pad=1)
    axes.grid(visible=False, axis="x")
    axes.set_xlabel("")


def name_commit_axis(figure: FigureBase, dates: pd.Series) -> None:
    """Write below the whole figure what its x axis is, and from when to when it runs."""
    dates = dates.dropna()
    days = [f"{date:%Y-%m-%d}" for date in (dates.min(), dates.max())] if len(dates) else []
    span = f" ({' to '.join(dict.fromkeys(days))})" if days else ""
    figure.supxlabel(f"commit, oldest first{span}", fontsize=8, color=QUIET)


def save(figure: Figure, into: Path, name: str, alt: str, formats: Iterable[str]) -> list[Path]:
    """Write ``figure`` as ``into/name.<format>`` and return the paths; each file is replaced whole.

    Must be called inside :func:`style`. ``alt`` describes the figure for readers who cannot see it;
    it becomes the SVG's description and the PNG's metadata. No date is written.

    Raises:
        SparsebenchError: an unknown format, or a file that cannot be written.
    """
    paths = []
    for kind in formats:
        if kind not in FORMATS:
            raise SparsebenchError(f"--format: {unknown_name('format', kind, FORMATS)}")
        path = into / f"{name}.{kind}"
        content = _rendered(figure, kind, name, alt)
        try:
            with atomic_path(path) as temporary:
                temporary.write_bytes(content)
        except OSError as error:
            reason = error.strerror or error
            raise SparsebenchError(f"{path}: cannot be written: {reason}") from None
        paths.append(path)
    return paths


def safe_names(names: Sequence[str]) -> dict[str, str]:
    """Return a file name (without suffix) per name, all different on every file system.

    Letters, digits, dot, dash and underscore stay. A name that had to change, or that differs from
    another only in case, gets eight digits of its hash.
    """
    lowered = [name.lower() for name in names]
    files = {}
    for name in names:
        safe = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip(".")[:_NAME_LENGTH]
        is_unique = safe == name and lowered.count(name.lower()) == 1
        digits = hashlib.sha256(name.encode()).hexdigest()[:8]
        files[name] = name if is_unique else f"{safe}-{digits}"
    return files


def _wrapped(text: str, columns: int) -> list[str]:
    """Wrap at the dots between facts if there are any, so that no fact is broken over two lines."""
    if " · " in text:
        text = text.replace(" ", "\u00a0").replace("\u00a0·\u00a0", "\u00a0· ")
    return [
        line.replace("\u00a0", " ") for line in textwrap.wrap(text, columns, break_on_hyphens=False)
    ]


def _rendered(figure: Figure, kind: str, name: str, alt: str) -> bytes:
    if layout := figure.get_layout_engine():  # a figure that keeps its engine is laid out twice
        figure.set_dpi(SVG_DPI)  # at another one, texts come out wider than the layout allowed
        layout.execute(figure)
        with mpl.rc_context({"figure.constrained_layout.use": False}):
            figure.set_layout_engine(None)
    buffer = io.BytesIO()
    if kind == "png":
        about: dict[str, str | None] = {"Title": name, "Description": alt, "Software": None}
        figure.savefig(buffer, format="png", dpi=PNG_DPI, metadata=about)
        return buffer.getvalue()
    about = {"Title": name, "Date": None, "Creator": None}
    figure.savefig(buffer, format="svg", metadata=about)
    # Coordinates to hundredths of a point: half the bytes, and no pixel differs.
    short = _PATHS.sub(lambda path: _DECIMALS.sub(rb"\1", path[0]), buffer.getvalue())
    description = f"</title>\n <desc>{escape(alt)}</desc>"
    return short.replace(b"</title>", description.encode(), 1)


class _ScaledLocator(Locator):
    """Round numbers in the unit that is printed: 0.5 MiB and 2 min, not 500000 bytes and 100 s."""

    def __init__(self, unit: str | None) -> None:
        self._unit = unit
        self._round = MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10])

    def __call__(self) -> Sequence[float]:
        low, high = self.axis.get_view_interval()  # type: ignore[union-attr]  # set by the axis
        return self.tick_values(low, high)

    def tick_values(self, vmin: float, vmax: float) -> Sequence[float]:
        scale = scale_of(max(abs(vmin), abs(vmax)), self._unit)
        ticks = np.asarray(self._round.tick_values(vmin / scale, vmax / scale)) * scale
        return [float(tick) for tick in ticks]
