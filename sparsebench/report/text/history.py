"""Findings of a history: as a table for a terminal, and as plain values for JSON."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from itertools import compress, groupby
from typing import Any, Final

import pandas as pd
from rich import box
from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from sparsebench.analysis.history import HistoryFindings, NewSeries, Shift, Step, short_hash
from sparsebench.analysis.units import counted, human
from sparsebench.stats import Estimate

JSON_VERSION: Final = 2  # 1 had no version, and "went away" for "reverted"
MOST_NEW: Final = 6  # lines on new series


def listing(history: HistoryFindings, limit: int, gpus: Mapping[str, str] | None = None) -> Group:
    """Return the findings for rich to print.

    Args:
        history: the findings.
        limit: at most so many groups of steps; 0: all.
        gpus: name of a machine to the name of its GPU.
    """
    groups = _groups(history.steps)
    shown = groups[:limit] if limit else groups
    parts: list[Any] = [_table(shown, history.steps)] if shown else []
    doubtful = any(group[0].change.warnings for group in shown)
    notes = [*_notes(history, len(groups) - len(shown), doubtful=doubtful)]
    machines = {step.machine for step in history.steps} | {s.machine for s in history.shifts}
    for machine, gpu in sorted((gpus or {}).items()):
        if machine in machines and gpu not in machine:
            notes.append(f"{machine} has the GPU {gpu}")
    return Group(*parts, *(Text(note) for note in notes))


def as_plain(history: HistoryFindings) -> dict[str, Any]:
    """Return the findings for JSON: full commit hashes, times in ISO 8601."""
    plain = {key: _plain(value) for key, value in dataclasses.asdict(history).items()}
    return {"version": JSON_VERSION, **plain}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    return None if value is pd.NaT else value


def _groups(steps: Sequence[Step]) -> list[list[Step]]:
    """Return the steps grouped: cases of a benchmark that changed in one direction at one commit.

    Groups, and the steps within each, are sorted most important first.
    """
    order: dict[tuple[Any, ...], list[Step]] = {}
    for step in steps:
        key = (
            step.project, step.machine, step.env_name, step.benchmark, step.commit, step.worse,
            step.undone_at, step.status,
        )  # fmt: skip
        order.setdefault(key, []).append(step)
    return list(order.values())


def _table(groups: Sequence[list[Step]], steps: Sequence[Step]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("change", no_wrap=True)
    table.add_column("at commit", no_wrap=True)
    table.add_column("benchmark", overflow="fold")
    hosts = [(step.project, step.machine, step.env_name) for step in steps]
    differ = [len(set(names)) > 1 for names in zip(*hosts, strict=True)]
    for group in groups:
        table.add_row(_change(group[0]), _when(group[0]), _subject(group, differ))
    return table


def _change(step: Step) -> str:
    verdict = "worse" if step.worse else "better"
    status = "" if step.status == "there" else ", reverted"
    return f"{_percent(step.change)}\n{verdict}{status}{'*' if step.change.warnings else ''}"


def _when(step: Step) -> str:
    date = "" if pd.isna(step.date) else f"{step.date:%Y-%m-%d}"
    until = f"\nuntil {short_hash(step.undone_at)}" if step.undone_at else ""
    return f"{short_hash(step.after_commit)}..{short_hash(step.commit)}\n{date}{until}"


def _subject(group: Sequence[Step], differ: Sequence[bool]) -> str:
    """Return the benchmark, its most important case and levels, and the number of other cases.

    Project, machine and environment come first if they ``differ`` between steps.
    """
    first = group[0]
    values = f"{human(first.before, first.unit)} -> {human(first.after, first.unit)}"
    others = f" (+{counted(len(group) - 1, 'case')})" if len(group) > 1 else ""
    host = compress((first.project, first.machine, first.env_name), differ)
    where = f"{', '.join(host)}\n" if any(differ) else ""
    case = f"{first.case}: " if first.case else ""
    return escape(f"{where}{first.benchmark}\n{case}{values}{others}")


def _percent(change: Estimate) -> str:
    """Return "+12.3 % (11 to 14)", with the interval in brackets."""
    interval = change.interval
    around = f" ({100 * interval.low:.3g} to {100 * interval.high:.3g})" if interval else ""
    return f"{100 * change.value:+.3g} %{around}"


def _notes(history: HistoryFindings, hidden: int, *, doubtful: bool) -> Iterator[str]:
    """Yield notes on what the table leaves out and on doubtful steps."""
    if not history.steps and (history.short < history.series or not history.series):
        yield f"no lasting change in {history.series} series"
    if hidden:
        yield f"{hidden} more; --limit 0 shows all"
    if doubtful:
        yield "* fewer than 8 values on one side: the next values may change it"
    yield from map(_shift_note, history.shifts)
    yield from _new_notes(history.new_series)
    if history.short:
        yield f"{history.short} of {history.series} series are too short: 8 values are needed"
    if history.unfit:
        yield f"{history.unfit} series left out: a value is not positive and finite, so no ratio"


def _shift_note(shift: Shift) -> str:
    where = f"{short_hash(shift.after_commit)}..{short_hash(shift.commit)}"
    reason = f" ({shift.reason})" if shift.reason else ""
    return (
        f"{shift.machine}, {shift.env_name}: all {shift.series} series changed together at "
        f"{where}, the median one by {_percent(shift.change)}{reason}: subtracted; {shift.moved} "
        "that changed by another amount are not listed"
    )


def _new_notes(new_series: Sequence[NewSeries]) -> Iterator[str]:
    """Yield one line per machine, commit and reason, the newest first."""
    lines = [
        f"{machine}: {sum(new.count for new in group)} series are new at {short_hash(commit)}: "
        f"{reason}"
        for (machine, commit, reason), group in (
            (key, list(rows))
            for key, rows in groupby(
                new_series, key=lambda new: (new.machine, new.commit, new.reason)
            )
        )
    ]
    yield from lines[:MOST_NEW]
    if len(lines) > MOST_NEW:
        yield f"and {len(lines) - MOST_NEW} more; --json lists them"
