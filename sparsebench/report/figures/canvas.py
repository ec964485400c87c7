"""The look every figure shares, and figures as files: PNG and SVG, the same bytes every time."""

import hashlib
import io
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, Locator, LogLocator, MaxNLocator, NullLocator
from numpy.typing import ArrayLike

from sparsebench.analysis.units import human, scale_of
from sparsebench.errors import SparsebenchError, unknown_name
from sparsebench.report.figures.formats import FORMATS
from sparsebench.stats import Floats

PNG_DPI: Final = 144
SVG_DPI: Final = 72  # as matplotlib has it
QUIET: Final = "0.35"  # the grey of what is said beside the data
DASHES: Final = ("", (4, 1.5), (1, 1))

_LOG_FROM: Final = 10.0  # one decade: below it a linear axis shows a change best
_LEAST_SPAN: Final = 0.2  # an axis never zooms in so far that noise of a percent fills it
LINE: Final = 0.14  # inches of a line of the small text
_PATHS: Final = re.compile(rb' d="[^"]*"')
_DECIMALS: Final = re.compile(rb"(\.\d\d)\d+")
_NAME_LENGTH: Final = 120  # below every file system's limit, with a suffix to come


@contextmanager
def style() -> Iterator[None]:
    """Set the look for the figures made inside; the importing program's own settings come back."""
    look = sns.axes_style("whitegrid") | sns.plotting_context("paper")
    ours = {
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
        "text.parse_math": False,  # a "$" in somebody's parameter is a dollar
        "svg.fonttype": "none",  # text stays text: searchable, and read aloud
        "svg.hashsalt": "sparsebench",
    }
    with mpl.rc_context(look | ours):
        yield


def palette(names: Sequence[str]) -> dict[str, tuple[float, float, float]]:
    """Return a colour-blind-safe colour a name; after ten they come again (see :func:`dashes`)."""
    colours = sns.color_palette("colorblind")
    return {name: colours[place % len(colours)] for place, name in enumerate(names)}


def dashes(names: Sequence[str]) -> dict[str, str | tuple[float, ...]]:
    """Return a line pattern a name: solid for the first ten colours, then dashed, then dotted."""
    return {name: DASHES[(place // 10) % len(DASHES)] for place, name in enumerate(names)}


def surround(figure: Figure, name: str, about: str, notes: Sequence[str] = ()) -> None:
    """Write ``name`` and ``about`` above the figure and ``notes`` below it, wrapped to its width.

    The figure grows by as much, so that no panel can run into them; its panels keep their size.
    """
    width, height = figure.get_size_inches()
    columns = int(width * 15)  # characters of this size to an inch, and a little air
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
    """Scale the y axis to ``values`` in human units: log from one decade up, never far zoomed."""
    numbers = np.asarray(values, dtype=float).ravel()
    numbers = numbers[np.isfinite(numbers)]
    if not numbers.size:
        axes.set_yticks([])
        return
    low, high = float(numbers.min()), float(numbers.max())
    if low > 0 and high / low >= _LOG_FROM:
        axes.set_yscale("log")
        axes.set_ylim(low / 1.25, high * 1.25)
        axes.yaxis.set_major_locator(_log_locator(high / low))
        axes.yaxis.set_minor_locator(NullLocator())
        label_axis(axes.yaxis, unit)
    else:
        axes.set_ylim(*_linear_limits(low, high, from_zero=unit != "ratio"))
        axes.yaxis.set_major_locator(_ScaledLocator(unit))
        label_axis(axes.yaxis, unit, like=high)


def spread(values: Floats) -> float:
    """Return the highest by the lowest of ``values``, 1 of none; infinite from zero down."""
    known = values[np.isfinite(values)]
    if not known.size:
        return 1.0
    return float(known.max() / known.min()) if known.min() > 0 else np.inf


def label_axis(axis: Axis, unit: str | None, like: float | None = None) -> None:
    """Make ``axis`` print its tick labels as `human` does."""
    axis.set_major_formatter(FuncFormatter(lambda value, _place: human(value, unit, like=like)))


def save(figure: Figure, into: Path, name: str, alt: str, formats: Iterable[str]) -> list[Path]:
    """Write ``figure`` as ``into/name.<format>``, each file whole or not at all; return the paths.

    Must be called inside :func:`style`. ``alt`` is the text for who cannot see the picture; it goes
    into the SVG's description and the PNG's metadata. No date is written.

    Raises:
        SparsebenchError: an unknown format, or a file that cannot be written.
    """
    written = []
    for kind in formats:
        if kind not in FORMATS:
            raise SparsebenchError(f"--format: {unknown_name('format', kind, FORMATS)}")
        path = into / f"{name}.{kind}"
        _write(path, _rendered(figure, kind, name, alt))
        written.append(path)
    return written


def safe_names(names: Sequence[str]) -> dict[str, str]:
    """Return a file name (without suffix) for each name, all different on every file system.

    Letters, digits, dot, dash and underscore stay. A name that had to change, or that differs from
    another only in case, gets eight digits of its hash.
    """
    lowered = [name.lower() for name in names]
    return {name: _safe_name(name, unique=lowered.count(name.lower()) == 1) for name in names}


def _wrapped(text: str, columns: int) -> list[str]:
    """Wrap at the dots between facts where there are any, so that none of them is torn apart."""
    if " · " in text:
        text = text.replace(" ", "\u00a0").replace("\u00a0·\u00a0", "\u00a0· ")
    return [
        line.replace("\u00a0", " ") for line in textwrap.wrap(text, columns, break_on_hyphens=False)
    ]


def _safe_name(name: str, *, unique: bool) -> str:
    kept = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip(".")[:_NAME_LENGTH]
    if kept == name and unique:
        return kept
    return f"{kept}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _rendered(figure: Figure, kind: str, name: str, alt: str) -> bytes:
    _lay_out(figure)
    buffer = io.BytesIO()
    if kind == "png":
        about: dict[str, str | None] = {"Title": name, "Description": alt, "Software": None}
        figure.savefig(buffer, format="png", dpi=PNG_DPI, metadata=about)
        return buffer.getvalue()
    about = {"Title": name, "Date": None, "Creator": None}
    figure.savefig(buffer, format="svg", metadata=about)
    described = f"</title>\n <desc>{escape(alt)}</desc>"
    whole = _PATHS.sub(_shortened, buffer.getvalue())
    return whole.replace(b"</title>", described.encode(), 1)


def _lay_out(figure: Figure) -> None:
    """Place everything for good; a figure that still has its layout engine is drawn twice."""
    if layout := figure.get_layout_engine():
        figure.set_dpi(SVG_DPI)  # or texts come out wider than the room that was left for them
        layout.execute(figure)
        with mpl.rc_context({"figure.constrained_layout.use": False}):
            figure.set_layout_engine(None)


def _shortened(path: re.Match[bytes]) -> bytes:
    """Cut coordinates to hundredths of a point: half the bytes, and no pixel differs."""
    return _DECIMALS.sub(rb"\1", path[0])


def _write(path: Path, content: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise SparsebenchError(f"{path}: cannot be written: {error.strerror or error}") from None


def _linear_limits(low: float, high: float, *, from_zero: bool) -> tuple[float, float]:
    """Return room around the values; from zero on where they reach below half of the highest."""
    middle, half = (low + high) / 2, (high - low) / 2 * 1.12
    half = max(half, abs(middle) * _LEAST_SPAN) or 1.0
    begins_at_zero = from_zero and 0 <= low <= high / 2
    return (0.0 if begins_at_zero else middle - half), middle + half


def _log_locator(span: float) -> LogLocator:
    subs = (1.0, 2.0, 5.0) if span < 300 else (1.0,)
    return LogLocator(base=10, subs=subs, numticks=8)


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
