"""`sparsebench history`: lasting changes over the commits."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Final

import click
import pandas as pd
from rich.console import Console

from sparsebench.analysis.history import (
    COLUMNS,
    REASON_COLUMNS,
    HistoryFindings,
    Shift,
    explained,
    since,
    survey,
)
from sparsebench.analysis.history.cache import SearchCache, default_path
from sparsebench.cli import options
from sparsebench.cli.progress import progress
from sparsebench.errors import SparsebenchError
from sparsebench.executor import available_cores
from sparsebench.files import write_text
from sparsebench.report.text.history import as_plain, listing
from sparsebench.results import read
from sparsebench.stats.change_points import TOLERANCE

EXIT_CHANGED = 1

HELP: Final = """List regressions and improvements over the commits, most important first.

A change is listed if it lasted four measured commits, exceeds the noise and drift of its series,
and its whole 95 % interval is beyond --tolerance. A change of all series of a machine is listed
once, below the table. Other settings (number, repeat, timer, runner), another environment or
changed benchmark code start a new series.

\b
  sparsebench history
  sparsebench history --machine ci --since 2026-06-01 --limit 0
  sparsebench history --benchmark 'Long.*time' --fail-on worse
  sparsebench history --json - | jq '.steps[] | select(.worse)'

Exit codes: 0 done, 1 with --fail-on if such a change is not reverted, 2 bad input.
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
    help="Which changes, unless reverted, end with exit code 1.",
)
@click.option("--limit", type=click.IntRange(min=0), default=20, show_default=True, metavar="N",
              help="At most N lines; 0: all.")  # fmt: skip
@click.option(
    "--json", "target", metavar="FILE", help="Write everything as JSON instead; - is stdout."
)
def command(
    dataset: str,
    machine: tuple[str, ...],
    benchmark: str | None,
    start: str | None,
    tolerance: float,
    fail_on: str,
    limit: int,
    target: str | None,
) -> int:
    """Search the history, print the findings, and return the exit code."""
    frame = read(
        dataset, columns=COLUMNS, categories=True, benchmark=benchmark, machine=machine or None
    )
    if frame.empty:
        raise SparsebenchError(f"{dataset}: no rows match; `sparsebench show` lists what there is")
    commits = set(since(frame, start)["commit_hash"]) if start else None
    findings = search_history(frame, tolerance)
    if commits is not None:
        findings = findings.at(commits)
    findings = replace(findings, shifts=_explained(findings.shifts, dataset))
    if target is None:
        gpus = _gpus(dataset, machine) if findings.steps or findings.shifts else {}
        Console(highlight=False).print(listing(findings, limit, gpus))
    else:
        text = json.dumps(as_plain(findings), indent=1, ensure_ascii=False, allow_nan=False)
        if target == "-":
            click.echo(text)
        else:
            write_text(Path(target), text + "\n")
    changed = fail_on != "never" and any(
        step.status == "there" and (step.worse or fail_on == "any") for step in findings.steps
    )
    return EXIT_CHANGED if changed else 0


def search_history(frame: pd.DataFrame, tolerance: float = TOLERANCE) -> HistoryFindings:
    """Return the findings of `survey` with the user's cache, on all cores, showing progress."""
    with progress("searching series") as count:
        return survey(
            frame,
            tolerance,
            cache=SearchCache(default_path()),
            processes=available_cores(),
            progress=count,
        )


def _gpus(dataset: str, machines: tuple[str, ...]) -> dict[str, str]:
    """Return the names of the GPUs of each machine that has any."""
    rows = read(dataset, columns=["machine", "gpu"], machine=machines or None)
    rows = rows.dropna(subset="gpu").drop_duplicates()
    names = rows.groupby("machine")["gpu"].agg(", ".join)
    return {str(name): str(gpu) for name, gpu in names.items()}


def _explained(shifts: list[Shift], dataset: str) -> list[Shift]:
    """Return the shifts with their reasons, for which only the rows of their commits are read."""
    if not shifts:
        return []
    commits = {commit for shift in shifts for commit in (shift.after_commit, shift.commit)}
    return explained(shifts, read(dataset, columns=REASON_COLUMNS, commit=sorted(commits)))
