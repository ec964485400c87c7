"""``sparsebench bench``: asv over commits, then ingest, plots and a summary, in one command."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
from rich.console import Console

from sparsebench.analysis.summary import summarise
from sparsebench.cli import EXIT_BAD_INPUT, options
from sparsebench.cli.history import search_history
from sparsebench.cli.progress import busy, percentages, say
from sparsebench.project.asv_command import Asv, AsvOutcome
from sparsebench.project.commits import Commit, resolve, uncommitted_changes
from sparsebench.project.pending import (
    BenchmarkSelection,
    Shard,
    missing,
    select,
    set_aside_damaged,
    shard_of,
)
from sparsebench.project.settings import Project, load_project
from sparsebench.report.figures.plots import plot
from sparsebench.report.text.summary import footnotes, summary_table
from sparsebench.results import ingest, read
from sparsebench.results.dataset.storage import open_store

_EXAMPLES: Final = """\b
Examples:
  scripts/bench                                 three newest commits, short grid
  scripts/bench --grid long --commits main~5..main --device cpu
  scripts/bench --commits v1.0,HEAD             two commits
  scripts/bench --bench 'Linear.time_forward'   any of asv's benchmarks
  scripts/bench --shard 2/8 --machine fleet     the second of eight parts
"""


@dataclass(frozen=True)
class BenchPlan:
    """What one call measures, and where results go."""

    project: Project
    pattern: str
    commits: list[Commit]
    device: str | None
    shard: Shard | None
    asv: Asv
    dataset: str
    figures: Path


def _plain_name(_: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Check that ``value`` can be the name of a folder."""
    if value is not None and not re.fullmatch(r"\w[\w.@ -]*", value):
        raise click.BadParameter(
            f"must be a word of letters, digits, '.', '-', '_', got {value!r}", param=parameter
        )
    return value


def _shard(_: click.Context, parameter: click.Parameter, value: str | None) -> Shard | None:
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", value) if value else None
    if value and (not match or not 1 <= int(match[1]) <= int(match[2])):
        raise click.BadParameter(f"must be I/N with 1 <= I <= N, got {value!r}", param=parameter)
    return Shard(int(match[1]), int(match[2])) if match else None


@click.command(name="bench", epilog=_EXAMPLES)
@click.option("--grid", metavar="NAME", help="A grid named in pyproject.toml.  [default: short]")
@click.option("--bench", metavar="REGEX", help="Select benchmarks by asv's names instead.")
@click.option(
    "--commits",
    metavar="REVISIONS",
    help="Commits and ranges in git's syntax.  [default: HEAD and up to two before it]",
)
@click.option("--device", metavar="NAME", help="Only cases on this device: cpu or cuda.")
@click.option(
    "--shard",
    metavar="I/N",
    callback=_shard,
    help="Measure the I-th of N parts of equal duration; ingest their results together.",
)
@click.option(
    "--machine",
    metavar="NAME",
    callback=_plain_name,
    help="Store under this machine name.  [default: this machine's]",
)
@options.dataset_option(default=None)
@click.option(
    "--figures",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder for the figures.  [default: results/figures]",
)
def command(
    grid: str | None,
    bench: str | None,
    commits: str | None,
    device: str | None,
    shard: Shard | None,
    machine: str | None,
    dataset: str | None,
    figures: Path | None,
) -> int:
    """Measure commits with asv, store the results, draw them, and print a summary.

    Run it in any asv project. Cases with a stored value are not measured again, so an
    interrupted run continues with the same command. Benchmarks are read from the working tree,
    the code that they measure from each commit.
    """
    if grid and bench:
        raise click.UsageError("--grid and --bench exclude each other; give one")
    project = load_project(Path.cwd())
    plan = BenchPlan(
        project=project,
        pattern=bench or project.pattern(grid),
        commits=resolve(project.repository, commits),
        device=device,
        shard=shard,
        asv=Asv(project.root, machine, project.root / ".asv" / "bench.log"),
        dataset=dataset or str(project.root / "results" / "parquet"),
        figures=figures or project.root / "results" / "figures",
    )
    return run_plan(plan, Console(stderr=True))


def run_plan(plan: BenchPlan, console: Console) -> int:
    """Measure, store and draw what ``plan`` says, and return the exit code."""
    _warn_of_uncommitted(plan.project, console)
    with plan.asv.alone():
        selection = _discover(plan, console)
        _measure(plan, selection, console)
    return _store_and_show(plan, selection, console)


def _discover(plan: BenchPlan, console: Console) -> BenchmarkSelection:
    """Build environments and find the benchmarks; the first time this installs PyTorch."""
    plan.asv.ensure_machine()
    with busy(console, "Building environments and finding benchmarks ..."):
        plan.asv.discover([plan.commits[-1].hash])
    selection = select(plan.project.results, plan.pattern, plan.device)
    if plan.shard is None:
        return selection
    return shard_of(selection, plan.project.results, plan.shard)


def _measure(plan: BenchPlan, selection: BenchmarkSelection, console: Console) -> None:
    """Measure each commit's benchmarks without a value; asv stores them when a commit is done."""
    folder = plan.project.results / plan.asv.machine_name
    environments = list(plan.project.environments)
    for number, commit in enumerate(plan.commits, start=1):
        label = f"{commit.short} ({number} of {len(plan.commits)})"
        for path in set_aside_damaged(folder, commit.hash, environments):
            say(console, f"{label}: a damaged result file was renamed to {_relative(path)}")
        todo = missing(selection, folder, commit.hash, environments)
        if not todo:
            say(console, f"{label}: measured already")
            continue
        with percentages(console, label) as progress:
            outcome = plan.asv.measure(commit.hash, selection.asv_pattern(todo), progress)
        say(console, f"{label}: {_outcome_text(outcome, len(todo), plan)}")


def _outcome_text(outcome: AsvOutcome, count: int, plan: BenchPlan) -> str:
    if outcome is AsvOutcome.NOT_BUILT:
        return f"does not build, nothing measured; see {_relative(plan.asv.log)}"
    ending = (
        f"; some failed, see {_relative(plan.asv.log)}" if outcome is AsvOutcome.SOME_FAILED else ""
    )
    return f"{count} {'benchmark' if count == 1 else 'benchmarks'} measured{ending}"


def _store_and_show(plan: BenchPlan, selection: BenchmarkSelection, console: Console) -> int:
    """Ingest, plot, print the summary and all paths; return 2 if no case has a value."""
    report = ingest([plan.project.results / plan.asv.machine_name], plan.dataset)
    for problem in report.problems:
        say(console, problem)
    frame = read(plan.dataset, project=plan.project.name)
    frame = frame[frame["benchmark"].isin(selection.cases)]
    findings = search_history(frame)
    with busy(console, "Drawing ..."):
        figures = list(plot(frame, plan.figures, ("png", "svg"), findings.steps))
    hashes = [commit.hash for commit in plan.commits]
    own = frame[frame["machine"] == plan.asv.machine_name]
    if plan.device:
        own = own[own["device"] == plan.device]
    summaries = summarise(own, hashes)
    out = Console()
    out.print(summary_table(summaries))
    for footnote in footnotes(summaries):
        out.print(footnote, style="dim", highlight=False)
    values = int((frame["status"] == "ok").sum())
    out.print(_paths(plan, values, len(figures)), highlight=False, soft_wrap=True)
    return 0 if any(summary.cases for summary in summaries) else EXIT_BAD_INPUT


def _paths(plan: BenchPlan, values: int, figures: int) -> str:
    newest = plan.commits[-1]
    return "\n".join(
        [
            "",
            f"commit    {newest.short} {newest.subject}",
            f"machine   {plan.asv.machine_name}",
            f"dataset   {_dataset(plan.dataset)}  ({values:,} values of these benchmarks)",
            f"figures   {_relative(plan.figures)}  ({figures} files)",
            f"asv       {_relative(plan.project.results)}  (asv publish, compare, show work on it)",
            f"log       {_relative(plan.asv.log)}",
        ]
    )


def _dataset(location: str) -> str:
    """Return a folder relative to the current one, or a URI without its credentials."""
    store = open_store(location)
    return _relative(Path(store.root)) if store.local else store.shown


def _relative(path: Path) -> str:
    """Return ``path`` relative to the current folder if it is inside."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _warn_of_uncommitted(project: Project, console: Console) -> None:
    changed = uncommitted_changes(project.repository)
    if changed:
        say(
            console,
            f"note: {changed} files have uncommitted changes; commits are measured as committed, "
            "with the benchmarks of the working tree",
        )
