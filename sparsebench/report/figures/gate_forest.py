"""Forest plot of a gate: every change with its interval, and the band that is tolerated."""

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

from sparsebench.analysis.dimensions import value_label
from sparsebench.analysis.units import counted
from sparsebench.gate.findings import DEFAULT_FAIL_ON, Finding, GateResult, Verdict
from sparsebench.report.figures import canvas
from sparsebench.report.text.gate_format import facts, one_line, outcome, percent
from sparsebench.report.text.gate_sections import CaseRow, is_unchanged, sections

NAME: Final = "gate"
MOST_ROWS: Final = 40  # per page
LONGEST_LABEL: Final = 60
SIZE: Final = (8.0, 0.19)  # inches: width of the page, height of a row

# verdict: marker and colour; both, because not everyone can distinguish the colours
MARKS: Final = {
    Verdict.CHANGED_RESULT: ("X", "#cc78bc"),
    Verdict.REGRESSED: (">", "#d55e00"),
    Verdict.UNDECIDED: ("s", "#de8f05"),
    Verdict.IMPROVED: ("<", "#029e73"),
    Verdict.UNCHANGED: ("o", "0.5"),
}
# Beyond this many tolerances the axis is compressed (asinh), so that one large change does not hide
# the small ones. Ticks are at least this share of the axis apart.
WIDEST_LINEAR: Final = 2.0
LEAST_GAP: Final = 0.075

_ROUND: Final = (-0.99, -0.95, -0.9, -0.75, -0.5, -0.3, -0.2, -0.1, -0.05, -0.02, -0.01)
_TICKS: Final = (*_ROUND, 0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 100.0)
_GOLDEN: Final = 0.618  # multiples modulo one are evenly spread: jitter without random numbers


@dataclass(frozen=True)
class ForestRow:
    """One row of the plot: a benchmark's name (no findings), a case, or all unchanged cases."""

    label: str
    findings: tuple[Finding, ...] = ()


def plot_gate(
    result: GateResult,
    into: Path,
    formats: Iterable[str],
    fail_on: Collection[Verdict] = DEFAULT_FAIL_ON,
) -> Iterator[Path]:
    """Write the forest plot, worst case on top, and yield each path as it is written.

    A page has forty rows: ``gate.png``, then ``gate-2.png`` and so on. If the cases do not fit on
    one page, each benchmark's unchanged ones share a row. Nothing is written if no case changed.

    Raises:
        SparsebenchError: an unknown format, or a file that cannot be written.
    """
    formats, pages = tuple(formats), _pages(_rows(result))
    verdict = str(outcome(result, fail_on))
    title = f"gate of {one_line(result.project)}: {result.base.short} to {result.head.short}"
    alt = f"Forest plot of a gate's changes with their intervals. {verdict}"
    for number, page in enumerate(pages, start=1):
        notes = _notes(result)
        if len(pages) > 1:
            notes = [f"page {number} of {len(pages)}", *notes]
        name = NAME if number == 1 else f"{NAME}-{number}"
        with canvas.style():
            figure = _draw(result, page)
            canvas.surround(figure, title, " · ".join([verdict, *facts(result)]), notes)
            yield from canvas.save(figure, into, name, alt, formats)


def _rows(result: GateResult) -> list[ForestRow]:
    drawable = [(s, [row for row in s.rows if _can_draw(row)]) for s in sections(result.findings)]
    drawable = [(section, own) for section, own in drawable if own]
    fold_unchanged = sum(1 + len(own) for _, own in drawable) > MOST_ROWS
    rows = []
    for section, own in drawable:
        rows.append(ForestRow(_clipped(section.benchmark)))
        unchanged = [row for row in own if fold_unchanged and is_unchanged(row)]
        for row in own:
            if row not in unchanged:
                case = " · ".join(value_label(name, value) for name, value in row.params.items())
                label = case or section.benchmark.rpartition(".")[2]
                rows.append(ForestRow(_clipped(label), (row.finding,)))
        if unchanged:
            findings = tuple(row.finding for row in unchanged)
            rows.append(ForestRow(f"{len(unchanged)} unchanged", findings))
    return rows


def _pages(rows: Sequence[ForestRow]) -> list[list[ForestRow]]:
    """Break the rows into pages; each begins with the name of its first benchmark."""
    pages: list[list[ForestRow]] = []
    head = ForestRow("")
    for row in rows:
        head = row if not row.findings else head
        if not pages or len(pages[-1]) >= MOST_ROWS:
            pages.append([head] if row.findings else [])
        pages[-1].append(row)
    return pages


def _can_draw(row: CaseRow) -> bool:
    change = row.finding.change
    has_change = row.finding.verdict in MARKS and row.numbers["change"] != ""
    return has_change and change is not None and math.isfinite(change) and change > -1


def _draw(result: GateResult, page: Sequence[ForestRow]) -> Figure:
    figure = Figure(figsize=(SIZE[0], 1.1 + len(page) * SIZE[1]), layout="constrained")
    axes = figure.add_subplot()
    low, high = _limits(result.tolerance, [f for row in page for f in row.findings])
    axes.set_xscale("asinh", linear_width=WIDEST_LINEAR * result.tolerance)
    axes.set_xlim(low, high)
    axes.set_ylim(len(page) - 0.4, -0.6)
    axes.axvspan(np.log1p(-result.tolerance), np.log1p(result.tolerance), color="0.93", zorder=0)
    axes.axvline(0, color="0.6", linewidth=0.8, zorder=1)
    for y, row in enumerate(page):
        if len(row.findings) == 1:
            _draw_case(axes, y, row.findings[0])
        elif row.findings:
            _draw_strip(axes, y, row.findings)
        else:
            axes.axhspan(y - 0.5, y + 0.5, color="white", alpha=0.7, zorder=1.5)
    _label_rows(axes, page)
    axes.xaxis.set_major_locator(FixedLocator(_ticks(axes)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(_tick_text))
    axes.set_xlabel("change from base to head (right: slower, or more)", fontsize=8)
    _legend(axes, result, page)
    return figure


def _draw_case(axes: Axes, y: int, finding: Finding) -> None:
    marker, colour = MARKS[finding.verdict]
    if finding.interval:
        left, right = axes.get_xlim()
        low, high = (_log(end) for end in (finding.interval.low, finding.interval.high))
        ends = [max(low, left), min(high, right)]
        axes.plot(ends, [y, y], color=colour, linewidth=1.6, zorder=2)
        for is_beyond, end, caret in (
            (low < left, left, CARETLEFT),
            (high > right, right, CARETRIGHT),
        ):
            if is_beyond:
                axes.plot(end, y, marker=caret, color=colour, markersize=5, clip_on=False)
    axes.plot(
        _log(finding.change or 0.0), y, marker=marker, color=colour, markersize=5.5,
        markeredgecolor="white", markeredgewidth=0.6, zorder=3,
    )  # fmt: skip
    change = percent(finding.change or 0.0, signed=True)
    axes.text(1.01, y, change, transform=axes.get_yaxis_transform(), va="center", fontsize=7.5)


def _draw_strip(axes: Axes, y: int, findings: Sequence[Finding]) -> None:
    """Draw unchanged cases as points in one row, at heights that keep them apart."""
    marker, colour = MARKS[Verdict.UNCHANGED]
    changes = [_log(finding.change or 0.0) for finding in findings]
    heights = y + 0.7 * ((np.arange(len(findings)) * _GOLDEN) % 1 - 0.5)
    axes.scatter(changes, heights, s=7, marker=marker, color=colour, alpha=0.45, linewidths=0)


def _label_rows(axes: Axes, page: Sequence[ForestRow]) -> None:
    """Name the cases at the left of the axes and the benchmarks in bold inside their own row."""
    cases = {y: row.label for y, row in enumerate(page) if row.findings}
    axes.set_yticks(list(cases), list(cases.values()), fontsize=7.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    for y, row in enumerate(page):
        if not row.findings:
            axes.annotate(
                row.label, (0.005, y), xycoords=("figure fraction", "data"), va="center",
                fontsize=8, fontweight="bold", annotation_clip=False, in_layout=False,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},  # over the spine
            )  # fmt: skip


def _ticks(axes: Axes) -> list[float]:
    """Return round changes at least `LEAST_GAP` apart, chosen from the ends inwards; always 0."""
    low, high = axes.get_xlim()
    logs = [log for change in _TICKS if low <= (log := _log(change)) <= high]
    points = axes.transData.transform([(log, 0.0) for log in logs])
    positions = dict(zip(logs, axes.transAxes.inverted().transform(points)[:, 0], strict=True))
    chosen = [0.0]
    for tick in sorted(logs, key=lambda log: -abs(positions[log] - positions[0.0])):
        if min(abs(positions[tick] - positions[taken]) for taken in chosen) >= LEAST_GAP:
            chosen.append(tick)
    return chosen


def _tick_text(log: float, _position: int | None) -> str:
    change = math.expm1(log)
    return f"{100 * change:+.3g} %" if abs(change) > 1e-9 else "0"


def _limits(tolerance: float, findings: Sequence[Finding]) -> tuple[float, float]:
    """Return limits with the band, every change, and the intervals up to twice as far."""
    changes = [_log(finding.change or 0.0) for finding in findings]
    ends = [_log(e) for f in findings if f.interval for e in (f.interval.low, f.interval.high)]
    band = 2 * math.log1p(tolerance)
    least, most = min([-band, *changes]), max([band, *changes])
    return 1.05 * max(min([least, *ends]), 2 * least), 1.05 * min(max([most, *ends]), 2 * most)


def _log(change: float) -> float:
    return math.log1p(max(change, -0.999))


def _legend(axes: Axes, result: GateResult, page: Sequence[ForestRow]) -> None:
    shown = {finding.verdict for row in page for finding in row.findings}
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
    """Return what the plot does not show, and the notes of the run."""
    rows = [row for section in sections(result.findings) for row in section.rows]
    left_out = sum(not _can_draw(row) for row in rows)
    note = f"{counted(left_out, 'case')} without a change to draw: see the table"
    squeezed = f"the axis is compressed beyond {100 * WIDEST_LINEAR * result.tolerance:.3g} %"
    return [squeezed, *[note] * bool(left_out), *map(one_line, result.notes)]


def _clipped(text: str) -> str:
    return text if len(text) <= LONGEST_LABEL else f"{text[: LONGEST_LABEL - 1]}…"
