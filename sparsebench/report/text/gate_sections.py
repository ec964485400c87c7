"""Findings grouped for reading: one section per benchmark, the worst benchmark first."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from sparsebench.analysis.dimensions import parameters
from sparsebench.gate.findings import Finding, Verdict, worst_first
from sparsebench.report.text.gate_format import (
    change_text,
    interval_text,
    one_line,
    rough_percent,
    values,
)
from sparsebench.stats import Estimate, geometric_mean

NUMBERS: Final = ("base", "head", "change", "interval", "MDE")


@dataclass(frozen=True)
class CaseRow:
    """One case: the parameters that differ within its benchmark, and its numbers as printed."""

    finding: Finding
    params: dict[str, str]
    numbers: dict[str, str]

    @property
    def label(self) -> str:
        """The parameters in one text."""
        return ", ".join(f"{name}={value}" for name, value in self.params.items())


@dataclass(frozen=True)
class BenchmarkSection:
    """One benchmark's cases, worst first; ``shared`` has the parameters that all share."""

    benchmark: str
    shared: dict[str, str]
    rows: tuple[CaseRow, ...]

    @property
    def shared_text(self) -> str:
        """The shared parameters in one text; "" for none."""
        return ", ".join(f"{name}={value}" for name, value in self.shared.items())

    @property
    def dims(self) -> list[str]:
        """The names of the parameters in which the cases differ."""
        return list(dict.fromkeys(name for row in self.rows for name in row.params))

    def only(self, rows: Sequence[CaseRow]) -> "BenchmarkSection":
        """Return the section with these rows only."""
        return BenchmarkSection(self.benchmark, self.shared, tuple(rows))


@dataclass(frozen=True)
class VerdictSummary:
    """Summary of one benchmark's cases, or of all timed cases.

    Attributes:
        cases: number of cases; ``unchanged``: number of unchanged ones.
        doubtful: number of unchanged cases with notes, which are not printed by default.
        detectable: median and maximum of the minimum detectable effects; None without any.
        exact: whether values are compared exactly.
        mean: geometric mean of head/base over the cases with a change; None without any.
    """

    name: str
    cases: int
    unchanged: int
    doubtful: int
    detectable: tuple[float, float] | None
    exact: bool
    mean: Estimate | None


def sections(findings: Sequence[Finding]) -> list[BenchmarkSection]:
    """Return one section per benchmark, in the order of their worst cases."""
    by_benchmark: defaultdict[str, list[Finding]] = defaultdict(list)
    for finding in worst_first(findings):
        by_benchmark[finding.benchmark].append(finding)
    return [_section(name, group) for name, group in by_benchmark.items()]


def notable(every: Sequence[BenchmarkSection]) -> list[BenchmarkSection]:
    """Return the sections without unchanged cases, and without empty sections."""
    changed = (s.only([r for r in s.rows if not is_unchanged(r)]) for s in every)
    return [section for section in changed if section.rows]


def is_unchanged(row: CaseRow) -> bool:
    """Return whether the case is unchanged."""
    return row.finding.verdict is Verdict.UNCHANGED


def used_numbers(rows: Sequence[CaseRow]) -> list[str]:
    """Return the columns of numbers that are not empty."""
    return [name for name in NUMBERS if any(row.numbers[name] not in ("", "-") for row in rows)]


def summaries(findings: Sequence[Finding]) -> list[VerdictSummary]:
    """Return one summary per benchmark in asv's order, last one of all times if several."""
    by_benchmark: defaultdict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        by_benchmark[finding.benchmark].append(finding)
    lines = [_summary(name, group) for name, group in by_benchmark.items()]
    timed = [f for f in findings if f.type.startswith("time")]
    if len({f.benchmark for f in timed}) > 1:
        lines.append(_summary("all times", timed))
    return lines


def _section(benchmark: str, findings: list[Finding]) -> BenchmarkSection:
    params = _parameter_texts(findings)
    shared = {
        name: value
        for name, value in params[0].items()
        if all(case.get(name) == value for case in params)
    }
    rows = [
        CaseRow(finding, {k: v for k, v in case.items() if k not in shared}, _numbers(finding))
        for finding, case in zip(findings, params, strict=True)
    ]
    return BenchmarkSection(one_line(benchmark), shared, tuple(rows))


def _parameter_texts(findings: list[Finding]) -> list[dict[str, str]]:
    """Return the cases' parameters; in asv's spelling if two cases would have equal texts."""
    texts = [parameters(finding.param_names, finding.params) for finding in findings]
    if len({tuple(case.items()) for case in texts}) < len({f.params for f in findings}):
        texts = [{"case": ", ".join(finding.params)} for finding in findings]
    return [{one_line(k): one_line(v) for k, v in case.items()} for case in texts]


def _numbers(finding: Finding) -> dict[str, str]:
    base, head = values(finding)
    detectable = "" if finding.detectable is None else rough_percent(finding.detectable)
    shown = (base, head, change_text(finding), interval_text(finding.interval), detectable)
    return dict(zip(NUMBERS, shown, strict=True))


def _summary(name: str, findings: list[Finding]) -> VerdictSummary:
    detectable = [finding.detectable for finding in findings if finding.detectable is not None]
    unchanged = [finding for finding in findings if finding.verdict is Verdict.UNCHANGED]
    compared = [f for f in findings if f.verdict not in (Verdict.GONE, Verdict.NEW)]
    ratios = [1 + f.change for f in findings if f.change is not None and f.type.startswith("time")]
    return VerdictSummary(
        name=one_line(name),
        cases=len(findings),
        unchanged=len(unchanged),
        doubtful=sum(bool(finding.notes) for finding in unchanged),
        detectable=(float(np.median(detectable)), max(detectable)) if detectable else None,
        exact=bool(compared) and all(finding.type == "track" for finding in compared),
        mean=geometric_mean(ratios) if ratios else None,
    )
