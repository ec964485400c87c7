"""`sparsebench calibrate`: measure the gate's error rates on this machine."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from sparsebench.cli import options
from sparsebench.cli.gate_options import Share, Target, target_options
from sparsebench.cli.progress import rounds, say
from sparsebench.files import write_text
from sparsebench.gate.calibration import Experiment, Trial, calibrate
from sparsebench.gate.runner import Progress
from sparsebench.project.installations import existing_installation
from sparsebench.report.figures.power_curve import plot_power
from sparsebench.report.text.calibration import calibration_markdown, calibration_text

HELP = """Measure the gate's error rates on this machine: false alarms, and detected slow-downs.

\b
  sparsebench calibrate --tag short --runs 100
  sparsebench calibrate --bench 'step.Long.time_step.*random' --runs 2 --tries 1
  sparsebench calibrate --tag short --effects 10% --one-case 20 --runs 0

Both sides are copies of one commit (by default HEAD). In A/A runs neither is slowed. In the other
runs each measured call of one side gets extra work that takes the given share of its time. asv's
own rule (factor 1.1, Mann-Whitney p < 0.002) is applied to the same samples.
"""


class Shares(click.ParamType[tuple[float, ...]]):
    """Several shares, separated by commas."""

    name = "shares"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        """Return the shares in ``value``."""
        if isinstance(value, tuple):
            return value
        return tuple(Share().convert(part.strip(), param, ctx) for part in str(value).split(","))


@click.command(help=HELP, short_help="Measure the gate's error rates on this machine.")
@click.argument("revision", default="HEAD")
@target_options
@click.option(
    "--runs", type=click.IntRange(0), default=10, show_default=True, help="A/A gates to run."
)
@click.option(
    "--effects",
    type=Shares(),
    metavar="SHARES",
    default="3%,5%,10%,20%",
    show_default=True,
    help="Slow-downs to inject.",
)
@click.option(
    "--tries",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    help="Gates per slow-down, every case slowed.",
)
@click.option(
    "--one-case",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Gates per slow-down, one case slowed, another each time.",
)
@click.option(
    "--python",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Measure what this interpreter imports, on both sides; asv installs nothing.",
)
@click.option(
    "--markdown",
    "as_markdown",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The table as Markdown.",
)
@click.option(
    "--figures", type=click.Path(path_type=Path), metavar="DIR", help="Folder for a power curve."
)
@options.formats
def command(
    target: Target,
    revision: str,
    runs: int,
    effects: tuple[float, ...],
    tries: int,
    one_case: int,
    python: Path | None,
    as_markdown: Path | None,
    figures: Path | None,
    formats: tuple[str, ...],
) -> int:
    """Run the experiments, print the table, and write the files."""
    console = Console(stderr=True)
    experiments = [
        Experiment(0.0, runs),
        *(Experiment(effect, tries) for effect in effects),
        *(Experiment(effect, one_case, one_case=True) for effect in effects),
    ]
    experiments = [experiment for experiment in experiments if experiment.runs]
    if not experiments:
        raise click.UsageError("nothing to run: --runs, --tries and --one-case are all 0")
    side = target.commit(revision, "REVISION")
    request = target.request(side, side)
    installation = existing_installation(target.project, python) if python else None
    if installation:
        request = replace(request, environment=f"existing:{installation.python}")
    with target.asv.alone(), rounds(console) as show_round:
        progress = Progress(partial(say, console), show_round)
        calibration = calibrate(
            target.project,
            request,
            experiments,
            progress,
            partial(_print_trial, console),
            installation,
        )
    Console().print(calibration_text(calibration))
    if as_markdown:
        write_text(as_markdown, calibration_markdown(calibration))
    if figures:
        for path in plot_power(calibration, figures, formats):
            say(console, str(path))
    return 0


def _print_trial(console: Console, trial: Trial) -> None:
    say(
        console,
        f"{trial.kind}, {trial.effect:.0%}: gate detected {trial.gate.found} of {trial.slowed}, "
        f"{trial.gate.alarmed_runs} of {trial.runs} runs with a false alarm; asv's rule "
        f"detected {trial.asv.found}, {trial.asv.alarmed_runs} runs; {trial.undecided} undecided; "
        f"{trial.seconds:.0f} s per run",
    )
