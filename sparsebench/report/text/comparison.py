"""A comparison as text: tables, which side is faster and by how much, and footnotes."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Final

import pandas as pd
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sparsebench.analysis.comparison import ComparedBenchmark, Comparison
from sparsebench.analysis.crossing import crossings
from sparsebench.analysis.sides import Sides
from sparsebench.analysis.units import counted, human
from sparsebench.stats import Estimate, Interval

MOST_ROWS: Final = 24  # per benchmark, unless all are requested
MOST_LISTED: Final = 5  # cases without a partner, unless all are requested

_WORDS: Final = {"seconds": ("slower", "faster"), "bytes": ("larger", "smaller")}


def comparison_text(comparison: Comparison, *, complete: bool = False) -> RenderableType:
    """Return all tables and footnotes for rich to print; ``complete`` prints all rows."""
    sides = comparison.sides
    head = Text(f"{sides.by}: A = {sides.a}, B = {sides.b}; B/A above 1: B takes more")
    tables = [part for group in comparison.groups for part in _section(group, sides, complete)]
    return Group(head, *tables, *map(Text, footnotes(comparison, complete=complete)))


def footnotes(comparison: Comparison, *, complete: bool = False) -> list[str]:
    """Return notes on cases without a partner or a value, and on other differences."""
    notes = []
    for name, lines in comparison.alone.items():
        notes += _listed(f"{counted(len(lines), 'case')} only on {name}", lines, complete)
    for name, lines in comparison.failed.items():
        notes += _listed(
            f"{counted(len(lines), 'case')} without a value on {name}", lines, complete
        )
    return [*notes, *comparison.differences]


def verdict(group: ComparedBenchmark, sides: Sides) -> str:
    """Return the result as a sentence: "B (gpu) against A (cpu): faster in all 9 cases; ...".

    A case counts as faster or slower if its whole interval does. The geometric mean follows; its
    interval is in the table, because it covers the variation between cases, not their uncertainty.
    """
    if not group.mean.value > 0:
        return "no ratio: no case has a positive value on both sides"
    if len(group.pairs) == 1:
        return _verdict_of_one(group, sides)
    mean = f"geometric mean {_factor(group.mean.value, group.unit)}"
    return f"B ({sides.b}) against A ({sides.a}): {_tally(group)}; {mean}"


def interval_text(interval: Interval | None) -> str:
    """Return "0.98-1.03"; "-" without an interval."""
    return f"{interval.low:.3g}-{interval.high:.3g}" if interval else "-"


def exact_verdict(group: ComparedBenchmark) -> str:
    """Return how many of an exact group's values are the same on both sides."""
    same = int((group.pairs["a"] == group.pairs["b"]).sum())
    return f"the same on both sides in {same} of {len(group.pairs)} cases"


def _verdict_of_one(group: ComparedBenchmark, sides: Sides) -> str:
    ratio = group.mean
    if ratio.interval and 1.0 in ratio.interval:
        span = f"{human(ratio.value, 'ratio')}, {interval_text(ratio.interval)}"
        return f"B ({sides.b}) and A ({sides.a}) cannot be distinguished ({span})"
    return f"B ({sides.b}) is {_factor(ratio.value, group.unit)} than A ({sides.a})"


def _tally(group: ComparedBenchmark) -> str:
    """Return "slower in 8, unclear in 4 of 12 cases", without zero counts."""
    more, less = _words(group.unit)
    total = int((group.pairs["ratio"] > 0).sum())
    kinds = [(more, group.above), (less, group.below), ("unclear", group.unclear)]
    counts = {word: int(members.sum()) for word, members in kinds}
    counts["without an interval"] = total - sum(counts.values())
    present = [(word, count) for word, count in counts.items() if count]
    if len(present) == 1:
        return f"{present[0][0]} in all {counted(total, 'case')}"
    return f"{', '.join(f'{word} in {count}' for word, count in present)} of {total} cases"


def _factor(ratio: float, unit: str | None) -> str:
    """Return "3.2x faster"; "1x" if three digits show no difference."""
    more, less = _words(unit)
    factor, word = (ratio, more) if ratio >= 1 else (1 / ratio, less)
    printed = human(factor, "ratio")
    return printed if printed == "1x" else f"{printed} {word}"


def _words(unit: str | None) -> tuple[str, str]:
    return _WORDS.get(unit or "", ("more", "less"))


def _section(group: ComparedBenchmark, sides: Sides, complete: bool) -> Iterator[RenderableType]:
    """Yield a benchmark's verdict and, unless values are exact, its table, mean and crossings."""
    sentence = exact_verdict(group) if group.exact else verdict(group, sides)
    yield Text.assemble("\n", (group.name, "bold"), f": {sentence}")
    if group.exact:
        different = group.pairs[group.pairs["a"] != group.pairs["b"]]
        yield from map(Text, _listed("different", list(different["case"]), complete))
        return
    cut = not complete and len(group.pairs) > MOST_ROWS
    yield _table(group, _extremes(group.pairs) if cut else [group.pairs])
    if cut:
        half = MOST_ROWS // 2
        yield Text(f"the {half} highest and {half} lowest of {len(group.pairs)}; --all prints all")
    if len(group.pairs) > 1:
        yield _mean_line(group.mean)
    yield from (Text(f"crossing along {crossing.text}") for crossing in crossings(group, sides))


def _table(group: ComparedBenchmark, parts: list[pd.DataFrame]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in group.dims:
        table.add_column(name, overflow="fold")
    for title in ("A", "B", "B/A", "95 %"):
        table.add_column(title, justify="right", no_wrap=True)
    for part in parts:
        for row in part.to_dict("records"):
            table.add_row(*(str(row[name]) for name in group.dims), *_numbers(row, group.unit))
        table.add_section()
    return table


def _extremes(pairs: pd.DataFrame) -> list[pd.DataFrame]:
    ordered = pairs.sort_values("ratio", ascending=False, kind="stable")
    return [ordered.head(MOST_ROWS // 2), ordered.tail(MOST_ROWS // 2)]


def _mean_line(mean: Estimate) -> Text:
    spread = f" ({interval_text(mean.interval)}, variation between cases)" if mean.interval else ""
    line = f"geometric mean of {counted(mean.count, 'case')}: {human(mean.value, 'ratio')}{spread}"
    return Text("; ".join([line, *mean.warnings]), style="bold")


def _numbers(row: Mapping[Hashable, object], unit: str | None) -> list[str]:
    a, b, ratio, low, high = (float(str(row[name])) for name in ("a", "b", "ratio", "low", "high"))
    has_interval = low <= high  # false for NaN
    interval = interval_text(Interval(low, high) if has_interval else None)
    return [human(a, unit), human(b, unit), human(ratio, "ratio"), interval]


def _listed(what: str, lines: Sequence[str], complete: bool) -> list[str]:
    if not lines:
        return []
    shown = lines if complete else lines[:MOST_LISTED]
    more = [f"  and {len(lines) - len(shown)} more; --all lists them"] * (len(shown) < len(lines))
    return [f"{what}:", *(f"  {line}" for line in shown), *more]
