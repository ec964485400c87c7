"""`sparsebench history`: what became slower or faster over the commits, and is it still."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console

from sparsebench.analysis.history import (
    REASON_COLUMNS,
    HistoryFindings,
    Shift,
    explained,
    since,
)
from sparsebench.cli import options
from sparsebench.cli.searching import rows, searched
from sparsebench.errors import SparsebenchError
from sparsebench.report.text.history import as_plain, listing
from sparsebench.results import read
from sparsebench.stats.change_points import TOLERANCE

EXIT_CHANGED = 1

HELP: Final = """List regressions and improvements over the commits, most important first.

A change is listed when it lasted four snapshots, stands out from the series' own noise and
wandering, and its whole 95 % interval lies beyond --tolerance. What moved all series of a machine
at once is told below the table, once. A change of number, repeat, timer, runner, environment or of
the benchmark's code starts a new series.

\b
  sparsebench history
  sparsebench history --machine ci --since 2026-06-01 --limit 0
  sparsebench history --benchmark 'Long.*time' --fail-on worse
  sparsebench history --json - | jq '.steps[] | select(.worse)'

Exit codes: 0 done, 1 with --fail-on where such a change is still there, 2 bad input.
"""


@click.command(help=HELP, short_help="List regressions and improvements over commits.")
@options.dataset
@options.machine
@options.benchmark
@click.option("--since", "start", metavar="DATE|HASH", help="Only changes from then on.")
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0, max=10),
    default=TOLERANCE,
    show_default=True,
    help="The smallest relative change that matters.",
)
@click.option(
    "--fail-on",
    type=click.Choice(["worse", "any", "never"]),
    default="never",
    show_default=True,
    help="Which changes, if still there, end with exit code 1.",
)
@click.option("--limit", type=click.IntRange(min=0), default=20, show_default=True, metavar="N",
              help="At most N lines; 0: all.")  # fmt: skip
@click.option(
    "--json", "target", metavar="FILE", help="Write everything as JSON instead; - is stdout."
)
def command(
    dataset: Path,
    machine: tuple[str, ...],
    benchmark: str | None,
    start: str | None,
    tolerance: float,
    fail_on: str,
    limit: int,
    target: str | None,
) -> int:
    """Search, print, and judge."""
    frame = rows(dataset, benchmark, machine)
    if frame.empty:
        raise SparsebenchError(f"{dataset}: no rows match; `sparsebench show` lists what there is")
    commits = set(since(frame, start)["commit_hash"]) if start else None
    found = searched(frame, tolerance)
    if commits is not None:
        found = only_at(found, commits)
    found = replace(found, shifts=_explained(found.shifts, dataset))
    _write(found, limit, target)
    return EXIT_CHANGED if _fails(found, fail_on) else 0


def only_at(found: HistoryFindings, commits: set[str]) -> HistoryFindings:
    """Return the findings at ``commits``; all values before them were needed to find these."""
    return replace(
        found,
        steps=[step for step in found.steps if {step.commit, step.undone_at} & commits],
        shifts=_at(found.shifts, commits),
        new_series=_at(found.new_series, commits),
    )


def _at(found: Sequence[Any], commits: set[str]) -> list[Any]:
    return [one for one in found if one.commit in commits]


def _explained(shifts: list[Shift], dataset: Path) -> list[Shift]:
    """Return the shifts with their reasons; what these take is read of a few commits only."""
    if not shifts:
        return []
    commits = {commit for shift in shifts for commit in (shift.after_commit, shift.commit)}
    return explained(shifts, read(dataset, columns=REASON_COLUMNS, commit=sorted(commits)))


def _write(found: HistoryFindings, limit: int, target: str | None) -> None:
    if target is None:
        Console(highlight=False).print(listing(found, limit))
        return
    text = json.dumps(as_plain(found), indent=1, ensure_ascii=False, allow_nan=False)
    if target == "-":
        click.echo(text)
    else:
        Path(target).write_text(text + "\n", encoding="utf-8")


def _fails(found: HistoryFindings, fail_on: str) -> bool:
    return any(
        step.status == "there" and (step.worse or fail_on == "any")
        for step in (found.steps if fail_on != "never" else ())
    )
