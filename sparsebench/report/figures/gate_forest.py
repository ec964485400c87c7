"""The gate's forest plot: every change with its interval, beside the band that is tolerated."""

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.markers import CARETLEFT, CARETRIGHT
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from sparsebench.analysis.dimensions import word_for
from sparsebench.analysis.units import counted
from sparsebench.gate.findings import DEFAULT_FAIL_ON, Finding, GateResult, Verdict
from sparsebench.report.figures import canvas
from sparsebench.report.text.gate_sections import Row, Section, is_unchanged, sections
from sparsebench.report.text.gate_words import about, one_line, outcome, percent

NAME: Final = "gate"
MOST_LINES: Final = 40  # a page
LONGEST_LABEL: Final = 60
SIZE: Final = (8.0, 0.19)  # inches: the page's width, a line's height

# verdict: marker and colour; both, because colours alone are not told apart by everyone
MARKS: Final = {
    Verdict.CHANGED_RESULT: ("X", "#cc78bc"),
    Verdict.REGRESSED: (">", "#d55e00"),
    Verdict.UNDECIDED: ("s", "#de8f05"),
    Verdict.IMPROVED: ("<", "#029e73"),
    Verdict.UNCHANGED: ("o", "0.5"),
}
# Beyond this many tolerances the axis is squeezed (asinh), so that one large change does not hide
# the small ones; a tick stands at least this share of the axis from the next.
WIDEST_LINEAR: Final = 2.0
LEAST_GAP: Final = 0.075

_ROUND: Final = (-0.99, -0.95, -0.9, -0.75, -0.5, -0.3, -0.2, -0.1, -0.05, -0.02, -0.01)
_TICKS: Final = (*_ROUND, 0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 100.0)
_GOLDEN: Final = 0.618  # its multiples, modulo one, spread evenly: a jitter without a random number


@dataclass(frozen=True)
class Line:
    """One line of the picture: a benchmark's name, a case, or all unchanged cases in a strip."""

    label: str
    findings: tuple[Finding, ...] = ()


def plot_gate(
    result: GateResult,
    into: Path,
    formats: Iterable[str],
    fail_on: Collection[Verdict] = DEFAULT_FAIL_ON,
) -> Iterator[Path]:
    """Write the forest plot, worst on top, and yield each path as it is written.

    A page holds forty lines: ``gate.png``, then ``gate-2.png`` and so on. Where all cases do not
    fit on one, each benchmark's unchanged ones share a line. Nothing is written where no case has a
    change. Raises SparsebenchError: an unknown format, or a file that cannot be written.
    """
    formats, pages = tuple(formats), _pages(_lines(result))
    for number, page in enumerate(pages, start=1):
        name = NAME if number == 1 else f"{NAME}-{number}"
        with canvas.style():
            figure = _draw(result, page)
            where = [f"page {number} of {len(pages)}"] if len(pages) > 1 else []
            head = f"{outcome(result, fail_on)} · {' · '.join(about(result))}"
            title = (
                f"gate of {one_line(result.project)}: {result.base.short} to {result.head.short}"
            )
            canvas.surround(figure, title, head, [*where, *_notes(result)])
            yield from canvas.save(figure, into, name, _describe(result, fail_on), formats)


def _lines(result: GateResult) -> list[Line]:
    drawable = [(s, [row for row in s.rows if _can_draw(row)]) for s in sections(result.findings)]
    drawable = [(section, rows) for section, rows in drawable if rows]
    fold = sum(1 + len(rows) for _, rows in drawable) > MOST_LINES
    return [line for section, rows in drawable for line in _of_section(section, rows, fold=fold)]


def _of_section(section: Section, rows: list[Row], *, fold: bool) -> Iterator[Line]:
    yield Line(_clipped(section.benchmark, LONGEST_LABEL))
    unchanged = [row for row in rows if fold and is_unchanged(row)]
    for row in rows:
        if row not in unchanged:
            words = " · ".join(word_for(name, value) for name, value in row.params.items())
            label = words or section.benchmark.rpartition(".")[2]
            yield Line(_clipped(label, LONGEST_LABEL), (row.finding,))
    if unchanged:
        yield Line(f"{len(unchanged)} unchanged", tuple(row.finding for row in unchanged))


def _pages(lines: Sequence[Line]) -> list[list[Line]]:
    """Break the lines into pages, each with the name of the benchmark that it goes on with."""
    pages: list[list[Line]] = []
    head = Line("")
    for line in lines:
        head = line if not line.findings else head
        if not pages or len(pages[-1]) >= MOST_LINES:
            pages.append([head] if line.findings else [])
        pages[-1].append(line)
    return pages


def _can_draw(row: Row) -> bool:
    change = row.finding.change
    drawn = row.finding.verdict in MARKS and row.numbers["change"] != ""
    return drawn and change is not None and math.isfinite(change) and change > -1


def _draw(result: GateResult, page: Sequence[Line]) -> Figure:
    figure = Figure(figsize=(SIZE[0], 1.1 + len(page) * SIZE[1]), layout="constrained")
    axes = figure.add_subplot()
    low, high = _limits(result.tolerance, [f for line in page for f in line.findings])
    axes.set_xscale("asinh", linear_width=WIDEST_LINEAR * result.tolerance)
    axes.set_xlim(low, high)
    axes.set_ylim(len(page) - 0.4, -0.6)
    axes.axvspan(np.log1p(-result.tolerance), np.log1p(result.tolerance), color="0.93", zorder=0)
    axes.axvline(0, color="0.6", linewidth=0.8, zorder=1)
    for place, line in enumerate(page):
        _draw_line(axes, place, line)
    _label(axes, page)
    _change_axis(axes)
    _legend(axes, result, page)
    return figure


def _draw_line(axes: Axes, place: int, line: Line) -> None:
    if len(line.findings) == 1:
        _draw_case(axes, place, line.findings[0])
    elif line.findings:
        _draw_strip(axes, place, line.findings)
    else:
        axes.axhspan(place - 0.5, place + 0.5, color="white", alpha=0.7, zorder=1.5)


def _draw_case(axes: Axes, place: int, finding: Finding) -> None:
    marker, colour = MARKS[finding.verdict]
    if finding.interval:
        left, right = axes.get_xlim()
        low, high = (_log(end) for end in (finding.interval.low, finding.interval.high))
        ends = [max(low, left), min(high, right)]
        axes.plot(ends, [place, place], color=colour, linewidth=1.6, zorder=2)
        for beyond, end, caret in (
            (low < left, left, CARETLEFT),
            (high > right, right, CARETRIGHT),
        ):
            if beyond:
                axes.plot(end, place, marker=caret, color=colour, markersize=5, clip_on=False)
    axes.plot(
        _log(finding.change or 0.0), place, marker=marker, color=colour, markersize=5.5,
        markeredgecolor="white", markeredgewidth=0.6, zorder=3,
    )  # fmt: skip
    words = percent(finding.change or 0.0, signed=True)
    axes.text(1.01, place, words, transform=axes.get_yaxis_transform(), va="center", fontsize=7.5)


def _draw_strip(axes: Axes, place: int, findings: Sequence[Finding]) -> None:
    marker, colour = MARKS[Verdict.UNCHANGED]
    changes = [_log(finding.change or 0.0) for finding in findings]
    heights = place + 0.7 * ((np.arange(len(findings)) * _GOLDEN) % 1 - 0.5)
    axes.scatter(changes, heights, s=7, marker=marker, color=colour, alpha=0.45, linewidths=0)


def _label(axes: Axes, page: Sequence[Line]) -> None:
    """Name the cases at the left of the axes and the benchmarks in bold inside their own line."""
    cases = [(place, line.label) for place, line in enumerate(page) if line.findings]
    axes.set_yticks([place for place, _ in cases], [label for _, label in cases], fontsize=7.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    for place, line in enumerate(page):
        if not line.findings:
            axes.annotate(
                line.label, (0.005, place), xycoords=("figure fraction", "data"), va="center",
                fontsize=8, fontweight="bold", annotation_clip=False, in_layout=False,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},  # over the spine
            )  # fmt: skip


def _change_axis(axes: Axes) -> None:
    axes.xaxis.set_major_locator(FixedLocator(_ticks(axes)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda log, _place: _tick_text(math.expm1(log))))
    axes.set_xlabel("change from base to head (right: slower, or more)", fontsize=8)


def _ticks(axes: Axes) -> list[float]:
    """Choose round changes that lie a tenth of the axis apart, from its ends inwards; always 0."""
    low, high = axes.get_xlim()
    logs = [log for change in _TICKS if low <= (log := _log(change)) <= high]
    points = axes.transData.transform([(log, 0.0) for log in logs])
    places = dict(zip(logs, axes.transAxes.inverted().transform(points)[:, 0], strict=True))
    chosen = [0.0]
    for tick in sorted(logs, key=lambda log: -abs(places[log] - places[0.0])):
        if min(abs(places[tick] - places[other]) for other in chosen) >= LEAST_GAP:
            chosen.append(tick)
    return chosen


def _tick_text(change: float) -> str:
    return f"{100 * change:+.3g} %" if abs(change) > 1e-9 else "0"


def _limits(tolerance: float, findings: Sequence[Finding]) -> tuple[float, float]:
    """Return room for every change, and for the intervals up to twice as far; the band is whole."""
    changes = [_log(finding.change or 0.0) for finding in findings]
    ends = [_log(e) for f in findings if f.interval for e in (f.interval.low, f.interval.high)]
    band = 2 * math.log1p(tolerance)
    least, most = min([-band, *changes]), max([band, *changes])
    return 1.05 * max(min([least, *ends]), 2 * least), 1.05 * min(max([most, *ends]), 2 * most)


def _log(change: float) -> float:
    return math.log1p(max(change, -0.999))


def _legend(axes: Axes, result: GateResult, page: Sequence[Line]) -> None:
    shown = {finding.verdict for line in page for finding in line.findings}
    handles = [
        Line2D([], [], marker=marker, color=colour, markersize=5.5, label=verdict.value.lower())
        for verdict, (marker, colour) in MARKS.items()
        if verdict in shown
    ]
    tolerated = f"tolerated: {100 * result.tolerance:.3g} %"
    band = Line2D([], [], color="0.88", linewidth=7, label=tolerated)
    axes.legend(
        handles=[*handles, band], loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=6,
        borderaxespad=0.2, columnspacing=1.2, handletextpad=0.5,
    )  # fmt: skip


def _notes(result: GateResult) -> list[str]:
    """What the picture leaves out, and what is to be known of the run."""
    rows = [row for section in sections(result.findings) for row in section.rows]
    left = sum(not _can_draw(row) for row in rows)
    exact = [f"{counted(left, 'case')} without a change to draw: see the table"] if left else []
    squeezed = f"the axis is squeezed beyond {100 * WIDEST_LINEAR * result.tolerance:.3g} %"
    return [squeezed, *exact, *map(one_line, result.notes)]


def _describe(result: GateResult, fail_on: Collection[Verdict]) -> str:
    """Return the picture in words, for who cannot see it."""
    return f"Forest plot of a gate's changes with their intervals. {outcome(result, fail_on)}"


def _clipped(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
