"""Findings in the order people read them: a section a benchmark, the worst benchmark first."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from sparsebench.analysis.dimensions import parameters
from sparsebench.gate.findings import Finding, Verdict, worst_first
from sparsebench.report.text.gate_words import (
    change_text,
    interval_text,
    one_line,
    rough_percent,
    values,
)
from sparsebench.stats import Estimate, geometric_mean

NUMBERS: Final = ("base", "head", "change", "interval", "MDE")


@dataclass(frozen=True)
class Row:
    """One case: what tells it from its benchmark's others, and its numbers as printed."""

    finding: Finding
    params: dict[str, str]
    numbers: dict[str, str]

    @property
    def label(self) -> str:
        """The case in one text."""
        return ", ".join(f"{name}={value}" for name, value in self.params.items())


@dataclass(frozen=True)
class Section:
    """One benchmark's cases, worst first; ``shared`` are the parameters that all of them have."""

    benchmark: str
    shared: dict[str, str]
    rows: tuple[Row, ...]

    @property
    def shared_text(self) -> str:
        """The shared parameters in one text; "" for none."""
        return ", ".join(f"{name}={value}" for name, value in self.shared.items())

    @property
    def dims(self) -> list[str]:
        """The names of the parameters in which the cases differ."""
        return list(dict.fromkeys(name for row in self.rows for name in row.params))

    def only(self, rows: Sequence[Row]) -> "Section":
        """The same section with fewer rows."""
        return Section(self.benchmark, self.shared, tuple(rows))


@dataclass(frozen=True)
class Summary:
    """One benchmark, or all that are timed: how it did as a whole.

    Attributes:
        cases, unchanged: how many.
        doubtful: how many of the unchanged ones have notes, which are seen only where all are.
        detectable: the median and the highest minimum detectable effect; None where none has one.
        exact: whether the values are compared as they are, without noise.
        mean: geometric mean of head/base over the cases that have a change; None where none has.
    """

    name: str
    cases: int
    unchanged: int
    doubtful: int
    detectable: tuple[float, float] | None
    exact: bool
    mean: Estimate | None


def sections(findings: Sequence[Finding]) -> list[Section]:
    """A section a benchmark; the order is that of their worst cases."""
    by_benchmark: defaultdict[str, list[Finding]] = defaultdict(list)
    for finding in worst_first(findings):
        by_benchmark[finding.benchmark].append(finding)
    return [_section(name, found) for name, found in by_benchmark.items()]


def notable(found: Sequence[Section]) -> list[Section]:
    """The sections without their unchanged cases, and without those of which none is left."""
    kept = (s.only([r for r in s.rows if not is_unchanged(r)]) for s in found)
    return [section for section in kept if section.rows]


def is_unchanged(row: Row) -> bool:
    """Whether there is nothing to say of the case."""
    return row.finding.verdict is Verdict.UNCHANGED


def used_numbers(rows: Sequence[Row]) -> list[str]:
    """The columns of numbers in which any of the rows says something."""
    return [name for name in NUMBERS if any(row.numbers[name] not in ("", "-") for row in rows)]


def summaries(findings: Sequence[Finding]) -> list[Summary]:
    """A line a benchmark in asv's order; last all that are timed, if they are of two or more."""
    by_benchmark: defaultdict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        by_benchmark[finding.benchmark].append(finding)
    lines = [_summary(name, found) for name, found in by_benchmark.items()]
    timed = [f for f in findings if f.type.startswith("time")]
    if len({f.benchmark for f in timed}) > 1:
        lines.append(_summary("all times", timed))
    return lines


def _section(benchmark: str, found: list[Finding]) -> Section:
    params = _legible(found)
    shared = {
        name: value
        for name, value in params[0].items()
        if all(case.get(name) == value for case in params)
    }
    rows = [
        Row(finding, {k: v for k, v in case.items() if k not in shared}, _numbers(finding))
        for finding, case in zip(found, params, strict=True)
    ]
    return Section(one_line(benchmark), shared, tuple(rows))


def _legible(found: list[Finding]) -> list[dict[str, str]]:
    """The cases' parameters as words, or as asv spells them where that would mix two cases up."""
    words = [parameters(finding.param_names, finding.params) for finding in found]
    if len({tuple(case.items()) for case in words}) < len({f.params for f in found}):
        words = [{"case": ", ".join(finding.params)} for finding in found]
    return [{one_line(k): one_line(v) for k, v in case.items()} for case in words]


def _numbers(finding: Finding) -> dict[str, str]:
    base, head = values(finding)
    detectable = "" if finding.detectable is None else rough_percent(finding.detectable)
    shown = (base, head, change_text(finding), interval_text(finding.interval), detectable)
    return dict(zip(NUMBERS, shown, strict=True))


def _summary(name: str, found: list[Finding]) -> Summary:
    least = [finding.detectable for finding in found if finding.detectable is not None]
    unchanged = [finding for finding in found if finding.verdict is Verdict.UNCHANGED]
    compared = [f for f in found if f.verdict not in (Verdict.GONE, Verdict.NEW)]
    ratios = [1 + f.change for f in found if f.change is not None and f.type.startswith("time")]
    return Summary(
        name=one_line(name),
        cases=len(found),
        unchanged=len(unchanged),
        doubtful=sum(bool(finding.notes) for finding in unchanged),
        detectable=(float(np.median(least)), max(least)) if least else None,
        exact=bool(compared) and all(finding.type == "track" for finding in compared),
        mean=geometric_mean(ratios) if ratios else None,
    )
