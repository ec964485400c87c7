"""`sparsebench bisect`: find the commit that made a case slower or changed its result."""

from functools import partial

import click
from rich.console import Console

from sparsebench.cli.gate_options import Target, case_options
from sparsebench.cli.progress import rounds, say
from sparsebench.gate.bisection import BisectionStep, bisect
from sparsebench.gate.findings import Finding, GateResult, Side, worst_first
from sparsebench.gate.runner import Progress, run
from sparsebench.gate.verdicts import gate_result
from sparsebench.project.commits import resolve
from sparsebench.report.text.gate_format import change_text

HELP = """Find the commit that made a case slower or changed its result, by gates against GOOD.

\b
  sparsebench bisect v1.0 --case 'step.Short.track_digest'
  sparsebench bisect v1.0 main --case 'Long.time_step.*level=0.9,block=1x4' --tolerance 2%

Searches the commits after GOOD up to BAD, first parents only, halving the range with each gate. Of
several matching cases the worst counts. Finished gates are measured again; built commits are
reused. Exit codes: 0 found, 2 bad input or nothing to find, 3 narrowed down to several commits.
"""


@click.command(help=HELP, short_help="Find the commit that caused a regression.")
@click.argument("good")
@click.argument("bad", default="HEAD")
@case_options
def command(target: Target, good: str, bad: str) -> int:
    """Gate commit after commit against the good one, and name the first bad one."""
    console = Console(stderr=True)
    base, last = target.commit(good, "GOOD"), target.commit(bad, "BAD")
    span = resolve(target.project.repository, f"{base.hash}..{last.hash}")
    commits = [Side(commit.hash, commit.subject) for commit in span]
    with target.asv.alone():
        bisection = bisect(
            commits, partial(_gate, target, base, console), partial(_print_step, console)
        )
    out = Console()
    if len(bisection.candidates) == 1:
        culprit = bisection.candidates[0]
        say(out, f"first bad commit: {culprit.hash} {culprit.subject}")
        return 0
    say(out, "one of these commits; those before the last are undecided:")
    for side in bisection.candidates:
        say(out, f"  {side.short} {side.subject}")
    return 3


def _gate(target: Target, base: Side, console: Console, head: Side) -> GateResult:
    with rounds(console) as show_round:
        progress = Progress(partial(say, console), show_round)
        return gate_result(run(target.project, target.request(base, head), progress))


def _print_step(console: Console, step: BisectionStep) -> None:
    worst: Finding = worst_first(step.result.findings)[0]
    say(
        console,
        f"{step.commit.short} {step.worst}, {change_text(worst)}: {step.commit.subject}",
    )
