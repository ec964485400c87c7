"""``sparsebench bench``: asv over commits, then ingest, plots and a summary, in one command."""

import re
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Final

import click
from rich.console import Console

from sparsebench import recorder
from sparsebench.analysis.summary import summarise
from sparsebench.cli import EXIT_BAD_INPUT, options
from sparsebench.cli.history import search_history
from sparsebench.cli.progress import busy, percentages, say
from sparsebench.errors import SparsebenchError
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
from sparsebench.project.settings import Project, load_project, with_torch
from sparsebench.report.figures.plots import plot
from sparsebench.report.text.summary import footnotes, summary_table
from sparsebench.results import ingest, read
from sparsebench.results.asv.recordings import load_recording
from sparsebench.results.dataset.storage import open_store

_EXAMPLES: Final = """\b
Examples:
  scripts/bench                                 three newest commits, short grid
  scripts/bench --grid long --commits main~5..main --device cpu
  scripts/bench --commits v1.0,HEAD             two commits
  scripts/bench --bench 'Linear.time_forward'   any of asv's benchmarks
  scripts/bench --torch 2.11 2.13               each commit with two PyTorch versions
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


class _BenchCommand(click.Command):
    """A command that takes ``--torch A B`` for ``--torch A --torch B``, which click does not."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        expanded: list[str] = []
        versions = False
        for argument in args:
            if argument.startswith("-"):
                versions = argument.partition("=")[0] == "--torch"
            elif versions and expanded[-1] != "--torch":
                expanded.append("--torch")
            expanded.append(argument)
        return super().parse_args(ctx, expanded)


@click.command(name="bench", epilog=_EXAMPLES, cls=_BenchCommand)
@click.option("--grid", metavar="NAME", help="A grid named in pyproject.toml.  [default: short]")
@click.option("--bench", metavar="REGEX", help="Select benchmarks by asv's names instead.")
@click.option(
    "--commits",
    metavar="REVISIONS",
    help="Commits and ranges in git's syntax.  [default: HEAD and up to two before it]",
)
@click.option(
    "--torch",
    multiple=True,
    metavar="VERSION ...",
    help="PyTorch versions instead of the one in asv.conf.json. The path of a Python interpreter "
    "measures HEAD as it is installed there.",
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
    torch: tuple[str, ...],
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
    pattern = bench or project.pattern(grid)
    if torch:
        project = with_torch(project, torch)
    plan = BenchPlan(
        project=project,
        pattern=pattern,
        commits=_commits(project, commits),
        device=device,
        shard=shard,
        asv=Asv(project.root, machine, project.root / ".asv" / "bench.log", project.config),
        dataset=dataset or str(project.root / "results" / "parquet"),
        figures=figures or project.root / "results" / "figures",
    )
    return run_plan(plan, Console(stderr=True))


def _commits(project: Project, revisions: str | None) -> list[Commit]:
    """Return the commits to measure: of an existing environment only HEAD."""
    if not project.existing:
        return resolve(project.repository, revisions)
    head = resolve(project.repository, "HEAD")
    if revisions is not None and resolve(project.repository, revisions) != head:
        raise SparsebenchError(
            f"--commits: must be HEAD with an interpreter in --torch, got {revisions!r}; "
            "an existing environment has one version of the package"
        )
    return head


def run_plan(plan: BenchPlan, console: Console) -> int:
    """Measure, store and draw what ``plan`` says, and return the exit code."""
    _warn_of_uncommitted(plan.project, console)
    for python in plan.project.existing.values():
        say(
            console,
            f"note: the package that {python} imports is measured as it is and stored "
            f"as commit {plan.commits[-1].short}",
        )
    with plan.asv.alone():
        selection = _discover(plan, console)
        _measure(plan, selection, console)
    return _store_and_show(plan, selection, console)


def _discover(plan: BenchPlan, console: Console) -> BenchmarkSelection:
    """Build environments and find the benchmarks; the first time this installs PyTorch."""
    plan.asv.ensure_machine()
    project = plan.project
    existing = [project.specifier(name) for name in project.existing]
    matrix = [] if existing and len(existing) == len(project.environments) else [None]
    with busy(console, "Building environments and finding benchmarks ..."):
        for environment in (*matrix, *existing):
            plan.asv.discover(plan.commits[-1].hash, environment)
    selection = select(project.results, plan.pattern, plan.device)
    if plan.shard is None:
        return selection
    return shard_of(selection, project.results, plan.shard)


def _measure(plan: BenchPlan, selection: BenchmarkSelection, console: Console) -> None:
    """Measure in each environment each commit's benchmarks that have no value there.

    asv stores a commit's values in an environment when all of them are measured.
    """
    project = plan.project
    folder = project.results / plan.asv.machine_name
    commits = enumerate(plan.commits, start=1)
    for (number, commit), name in product(commits, project.environments):
        label = f"{commit.short} ({number} of {len(plan.commits)})"
        if len(project.environments) > 1:
            label += f", torch {project.torch[name]}" if name in project.torch else f", {name}"
        for path in set_aside_damaged(folder, commit.hash, [name]):
            say(console, f"{label}: a damaged result file was renamed to {_relative(path)}")
        todo = missing(selection, folder, commit.hash, [name])
        if not todo:
            say(console, f"{label}: measured already")
            continue
        pattern, environment = selection.asv_pattern(todo), project.specifier(name)
        with percentages(console, label) as progress:
            outcome = plan.asv.measure(commit.hash, pattern, progress, environment)
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
    frame = frame[frame["benchmark"].isin(selection.cases.keys() | _recorded_as(plan, selection))]
    findings = search_history(frame)
    with busy(console, "Drawing ..."):
        figures = list(plot(frame, plan.figures, ("png", "svg"), findings.steps))
    hashes = [commit.hash for commit in plan.commits]
    own = frame[frame["machine"] == plan.asv.machine_name]
    own = own[own["env_name"].isin(plan.project.environments)]
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


def _recorded_as(plan: BenchPlan, selection: BenchmarkSelection) -> set[str]:
    """Return the names under which cases that a suite measures together are stored."""
    folder = plan.project.results / plan.asv.machine_name
    names = set()
    for commit, environment in product(plan.commits, plan.project.environments):
        recording = load_recording(folder / recorder.file_name(commit.hash, environment))
        cases = (*recording.cases, *recording.of_any_commit)
        names |= {case.benchmark for case in cases if case.asv_name in selection.cases}
    return names


def _paths(plan: BenchPlan, values: int, figures: int) -> str:
    newest = plan.commits[-1]
    versions = dict.fromkeys(plan.project.torch.values())
    return "\n".join(
        [
            "",
            f"commit    {newest.short} {newest.subject}",
            f"machine   {plan.asv.machine_name}",
            f"run       {plan.asv.run}",
            *([f"torch     {', '.join(versions)}"] if versions else []),
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
