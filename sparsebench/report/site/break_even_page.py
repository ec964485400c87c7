"""The page of break-even levels: a map, the ratios to dense, and tables."""

from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from sparsebench.analysis.break_even import (
    NEVER,
    BreakEven,
    as_table,
    fastest,
    ratio_at,
    varying_settings,
)
from sparsebench.analysis.dimensions import natural_order
from sparsebench.analysis.units import human
from sparsebench.report.figures.break_even import (
    describe_break_evens,
    draw_level_map,
    draw_ratio_curves,
)
from sparsebench.report.site.output import Output
from sparsebench.report.site.page import SiteContext, page
from sparsebench.report.site.pictures import PageImage, show
from sparsebench.report.site.table import Cell, Column, Table, columns

PATH = "break-even.html"


@dataclass(frozen=True)
class BreakEvenMap:
    """The level from which each format is faster than dense."""

    found: list[BreakEven]

    def table(self) -> pd.DataFrame:
        """Return one row per measured point."""
        return as_table(self.found)

    def alt(self) -> str:
        """Return a description of the map."""
        return describe_break_evens(self.found)

    def draw(self) -> Figure:
        """Return the map."""
        return draw_level_map(self.found)


@dataclass(frozen=True)
class RatioCurves(BreakEvenMap):
    """The ratios to dense from which the map is read."""

    def draw(self) -> Figure:
        """Return a figure with one panel per setting, one line per format and block."""
        return draw_ratio_curves(self.found)


def make_break_even_page(
    found: list[BreakEven], site: SiteContext, output: Output
) -> list[PageImage]:
    """Write the page with its pictures and data, and return the pictures."""
    command = site.command("report", {result.benchmark for result in found})
    pictures: list[PageImage] = []
    choices: list[Table] = []
    tables: list[Table] = []
    for number, benchmark in enumerate(dict.fromkeys(result.benchmark for result in found)):
        members = [result for result in found if result.benchmark == benchmark]
        name = f"break-even-{number}"
        pictures += [
            show(BreakEvenMap(members), output, name, f"{benchmark}: break-even level", command),
            show(RatioCurves(members), output, f"{name}-ratios", "Time against dense", command),
        ]
        choices.append(_choices(benchmark, members))
        tables.append(_table(benchmark, members))
        if any(result.curve["forwards"].notna().any() for result in members):
            tables.append(_forwards_table(benchmark, members))
    content = page(
        "break_even.html",
        site,
        PATH,
        title="Break-even",
        choices=choices,
        pictures=pictures,
        tables=tables,
    )
    output.write(PATH, content)
    return pictures


def _choices(benchmark: str, found: list[BreakEven]) -> Table:
    """Return the fastest format at each level, one row per setting and block shape."""
    names = list(varying_settings(found))
    levels = sorted({float(x) for result in found for x in result.curve["level"] if x > 0})
    blocks = natural_order({result.block for result in found if result.block})
    settings = [tuple(result.setting.get(name, "") for name in names) for result in found]
    rows: dict[tuple[str, ...], list[BreakEven]] = {
        (*setting, block): [] for setting in dict.fromkeys(settings) for block in blocks
    }
    for result, setting in zip(found, settings, strict=True):
        if result.block:
            rows[*setting, result.block].append(result)
    return Table(
        f"{benchmark}: what to use at a level",
        columns(*names, "zeros in blocks of", *(f"level {level:g}" for level in levels)),
        tuple(
            (*map(Cell, values), *(_choice(members, level) for level in levels))
            for values, members in rows.items()
            if members
        ),
        ("dense: no format is faster with confidence; 2x: takes half the time of dense",),
    )


def _choice(members: list[BreakEven], level: float) -> Cell:
    best = fastest(members, level)
    if best is None:
        return Cell("dense", 1.0)
    times = 1 / ratio_at(best, level)
    return Cell(f"{best.format}, {human(times, 'ratio')}", times, kind="better")


def _forwards_table(benchmark: str, found: list[BreakEven]) -> Table:
    """Return the number of forwards that pay for a mask, one row per setting, format and block."""
    settings = list(varying_settings(found))
    known = [result for result in found if result.curve["forwards"].notna().any()]
    levels = sorted({float(level) for result in known for level in result.curve["level"]})
    return Table(
        f"{benchmark}: forwards that pay for a mask",
        (
            *columns(*settings, "format", "block"),
            *(Column(f"level {level:g}", numeric=True) for level in levels),
        ),
        tuple(
            (
                *(Cell(result.setting.get(name, "")) for name in settings),
                *(Cell(result.format), Cell(result.block or "-")),
                *(_forwards_cell(result, level) for level in levels),
            )
            for result in known
        ),
        ("from so many forwards on, computing the mask once and they take less time than dense",),
    )


def _forwards_cell(result: BreakEven, level: float) -> Cell:
    numbers = result.curve.loc[result.curve["level"] == level, "forwards"].dropna()
    if numbers.empty:
        return Cell("-")
    number = float(numbers.iloc[0])
    return (
        Cell("never", number, kind="worse") if number == NEVER else Cell(f"{number:,.0f}", number)
    )


def _table(benchmark: str, found: list[BreakEven]) -> Table:
    settings = list(varying_settings(found))
    titles = (*settings, "format", "block")
    numbers = [Column("faster from level", numeric=True), Column("best vs dense", numeric=True)]
    return Table(
        f"{benchmark}: every format",
        (*map(Column, titles), *numbers, Column("at level")),
        tuple(_row(result, settings) for result in found),
    )


def _row(result: BreakEven, settings: list[str]) -> tuple[Cell, ...]:
    best = result.curve.sort_values("ratio").iloc[0]
    kind = "worse" if result.level == NEVER else "better" if result.high < NEVER else ""
    return (
        *(Cell(result.setting.get(name, "")) for name in settings),
        Cell(result.format),
        Cell(result.block or "-"),
        Cell(result.text, result.level, kind=kind),
        Cell(human(float(best["ratio"]), "ratio"), float(best["ratio"])),
        Cell(f"{best['level']:g}" if best["level"] else "-"),
    )
