"""The pages of comparisons of two devices, machines, implementations, versions or dtypes."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

import pandas as pd
from matplotlib.figure import Figure

from sparsebench.analysis.comparison import ComparedBenchmark, Comparison, compare
from sparsebench.analysis.copy_floor import floor_ratios
from sparsebench.analysis.crossing import crossings
from sparsebench.analysis.sides import Sides, values_of
from sparsebench.analysis.units import human
from sparsebench.report.figures import canvas
from sparsebench.report.figures.heat_map import describe_heat_map, draw_heat_map, why_no_heat_map
from sparsebench.report.site.newest import estimate_of
from sparsebench.report.site.output import Output
from sparsebench.report.site.page import SiteContext, page
from sparsebench.report.site.page_cache import WrittenPage, page_key
from sparsebench.report.site.pictures import PageImage, show
from sparsebench.report.site.site_data import row_digests
from sparsebench.report.site.table import Cell, Column, Table, columns
from sparsebench.report.text.comparison import (
    exact_verdict,
    footnotes,
    interval_text,
    verdict,
)
from sparsebench.stats import Estimate, geometric_mean

COMPARED: Final = ("device", "machine", "implementation", "torch", "gpu", "dtype")
MOST_VALUES: Final = 6  # of a column: 15 pairs
MOST_ROWS: Final = 600  # of one comparison; the CSV beside its heat map has all


@dataclass(frozen=True)
class HeatMap:
    """The ratio of each case over shape, level and block."""

    group: ComparedBenchmark
    sides: Sides

    def table(self) -> pd.DataFrame:
        """Return one row per case: its parameters, both values, the ratio and its interval."""
        return self.group.pairs.drop(columns="case").assign(unit=self.group.unit)

    def alt(self) -> str:
        """Return a description of the heat map."""
        return describe_heat_map(self.group, self.sides)

    def draw(self) -> Figure:
        """Return the heat map."""
        return draw_heat_map(self.group, self.sides)


@dataclass(frozen=True)
class DeviceTask:
    """Two sides to make a page of; ``rows`` has the newest row per case."""

    sides: Sides
    file: str
    rows: pd.DataFrame

    @property
    def path(self) -> str:
        """The page's path, relative to the site."""
        return f"devices/{self.file}.html"

    def key(self, site: SiteContext) -> str:
        """Return the hash of what the page is made from."""
        digests = sorted(row_digests(self.rows).items())
        return page_key(site, self.sides, self.file, digests)


@dataclass(frozen=True)
class ComparisonSection:
    """One benchmark of a comparison on its page, at ``#anchor``."""

    name: str
    anchor: str
    verdict: str
    crossings: tuple[str, ...]
    picture: PageImage | None
    no_picture_reason: str
    table: Table | None


@dataclass(frozen=True)
class ComparisonSummary:
    """What the list of comparisons shows of one; without benchmarks there is no page."""

    sides: Sides
    path: str
    benchmarks: int
    cases: int
    mean: Estimate

    @classmethod
    def of(cls, plain: dict[str, Any]) -> "ComparisonSummary":
        """Return the summary from plain values, as a manifest has them."""
        return cls(
            Sides(**plain["sides"]), plain["path"], plain["benchmarks"], plain["cases"],
            estimate_of(plain["mean"]),
        )  # fmt: skip


def pairs_to_compare(frame: pd.DataFrame) -> tuple[list[Sides], list[str]]:
    """Return all pairs of values of the compared columns, and a line per column cut short."""
    pairs, left_out = [], []
    for by in COMPARED:
        values = values_of(frame, by)
        if len(values) > MOST_VALUES:
            left_out.append(
                f"{by}: {len(values)} values, of which the first {MOST_VALUES} are compared; "
                f"`sparsebench devices --by {by} A B` compares any two"
            )
        pairs += [Sides(by, a, b) for a, b in combinations(values[:MOST_VALUES], 2)]
    return pairs, left_out


def make_device_page(
    task: DeviceTask, site: SiteContext, output: Output
) -> WrittenPage[ComparisonSummary]:
    """Write one comparison with its heat maps and data."""
    output = Output(output.root)
    sides = task.sides
    comparison = compare(task.rows, sides)
    groups = sorted(comparison.groups, key=_distance, reverse=True)
    names = canvas.safe_names([f"devices.{task.file}.{group.name}" for group in groups])
    sections = [
        _section(group, name, sides, site, output)
        for group, name in zip(groups, names.values(), strict=True)
    ]
    if sections:
        content = page(
            "pair.html",
            site,
            task.path,
            title=f"{sides.b} against {sides.a}",
            sides=sides,
            command=_command(site, sides),
            contents=_contents(groups, sections),
            sections=sections,
            floors=[ratio.text for ratio in floor_ratios(task.rows, sides)],
            notes=footnotes(comparison),
        )
        output.write(task.path, content)
    pictures = [section.picture for section in sections if section.picture]
    drawn = sum(picture.drawn for picture in pictures)
    cases = sum(len(group.pairs) for group in groups)
    summary = ComparisonSummary(sides, task.path, len(sections), cases, _mean(comparison))
    files = frozenset(output.written)
    reused = len(pictures) - drawn
    return WrittenPage(task.path, task.key(site), summary, files, drawn, reused)


def _distance(group: ComparedBenchmark) -> float:
    """Return the absolute log2 of the mean ratio; -1 without a ratio, which sorts last."""
    mean = group.mean.value
    return abs(math.log2(mean)) if mean > 0 else -1.0


def _contents(groups: Sequence[ComparedBenchmark], sections: Sequence[ComparisonSection]) -> Table:
    """Return a table of contents: one row per benchmark, linked to its section."""
    rows = tuple(
        (
            Cell(group.name, href=f"#{section.anchor}"),
            Cell(f"{len(group.pairs):,}", len(group.pairs)),
            _mean_cell(group),
            Cell(interval_text(group.mean.interval)),
            *(Cell(str(int(cases.sum())) if not group.exact else "-", int(cases.sum()))
              for cases in (group.above, group.below, group.unclear)),
        )
        for group, section in zip(groups, sections, strict=True)
    )  # fmt: skip
    numeric = ("cases", "geometric mean B/A", "above 1x", "below 1x", "unclear")
    return Table(
        "Benchmarks",
        columns("benchmark", *numeric[:2], "95 %", *numeric[2:], numeric=numeric),
        rows,
    )


def _mean_cell(group: ComparedBenchmark) -> Cell:
    if group.exact:
        same = int((group.pairs["a"] == group.pairs["b"]).sum())
        return Cell(f"same in {same} of {len(group.pairs)}")
    return Cell(human(group.mean.value, "ratio"), group.mean.value)


def pair_table(comparisons: list[ComparisonSummary]) -> Table:
    """Return a table with one row per comparison, linked to its page."""
    rows = tuple(
        (
            Cell(pair.sides.by),
            Cell(f"{pair.sides.b} against {pair.sides.a}", href=pair.path),
            Cell(human(pair.mean.value, "ratio"), pair.mean.value),
            Cell(interval_text(pair.mean.interval)),
            Cell(str(pair.benchmarks), pair.benchmarks),
            Cell(str(pair.cases), pair.cases),
        )
        for pair in comparisons
        if pair.benchmarks
    )
    numeric = ("geometric mean of times", "benchmarks", "cases")
    titles = ("by", "B against A", numeric[0], "95 %", *numeric[1:])
    return Table("Comparisons", columns(*titles, numeric=numeric), rows)


def _section(
    group: ComparedBenchmark, file: str, sides: Sides, site: SiteContext, output: Output
) -> ComparisonSection:
    no_picture_reason = "" if group.exact else why_no_heat_map(group) or ""
    picture = None
    if not (group.exact or no_picture_reason):
        heat_map, title = HeatMap(group, sides), "Ratio of each case"
        picture = show(heat_map, output, file, title, _command(site, sides))
    return ComparisonSection(
        name=group.name,
        anchor=file,
        verdict=exact_verdict(group) if group.exact else verdict(group, sides),
        crossings=tuple(crossing.text for crossing in crossings(group, sides)),
        picture=picture,
        no_picture_reason=no_picture_reason,
        table=None if group.exact else _table(group, sides),
    )


def _table(group: ComparedBenchmark, sides: Sides) -> Table:
    numbers = [Column(title, numeric=True) for title in (sides.a, sides.b, "B/A")]
    rows = tuple(
        (
            *(Cell(str(row[name])) for name in group.dims),
            *(Cell(human(row[side], group.unit), row[side]) for side in ("a", "b")),
            Cell(human(row["ratio"], "ratio"), row["ratio"], kind=_kind(row)),
            Cell(f"{row['low']:.3g}-{row['high']:.3g}" if row["low"] <= row["high"] else "-"),
        )
        for row in group.pairs.head(MOST_ROWS).to_dict("records")
    )
    cut = f"{MOST_ROWS} of {len(group.pairs)} cases; `sparsebench devices --all` prints all"
    return Table(
        f"{group.name}, case by case",
        (*map(Column, group.dims), *numbers, Column("95 %")),
        rows,
        (cut,) if len(group.pairs) > MOST_ROWS else (),
    )


def _kind(row: dict[Hashable, Any]) -> str:
    """Return the CSS class of a ratio whose interval is on one side of 1."""
    if row["low"] > 1:
        return "worse"
    return "better" if row["high"] < 1 else ""


def _command(site: SiteContext, sides: Sides) -> str:
    return site.plain_command("devices", sides.a, sides.b, "--by", sides.by)


def _mean(comparison: Comparison) -> Estimate:
    """Return the geometric mean over the cases of all timed groups."""
    timed = [group.pairs["ratio"] for group in comparison.groups if group.unit == "seconds"]
    return geometric_mean(pd.concat(timed) if timed else [])
