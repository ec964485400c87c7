"""`sparsebench bisect`: the commit that brought a regression."""

from functools import partial

import click
from rich.console import Console

from sparsebench.cli.gate_options import Target, case_target
from sparsebench.cli.progress import rounds, say
from sparsebench.gate.bisection import Step, bisect
from sparsebench.gate.findings import Finding, GateResult, Side, worst_first
from sparsebench.gate.result import result
from sparsebench.gate.runner import Progress, run
from sparsebench.project.commits import resolve
from sparsebench.report.text.gate_words import change_text

HELP = """Find the commit that made a case slower or changed its result, by gates against GOOD.

\b
  sparsebench bisect v1.0 --case 'step.Short.track_digest'
  sparsebench bisect v1.0 main --case 'Long.time_step.*level=0.9,block=1x4' --tolerance 2%

Looks at the commits after GOOD up to BAD, first parents only, halving the range with each gate. Of
several matching cases the worst counts. What was measured before is measured again, but not built
again. Exit codes: 0 found, 2 bad input or nothing to find, 3 narrowed down to several commits.
"""


@click.command(help=HELP, short_help="Find the commit that brought a regression.")
@click.argument("good")
@click.argument("bad", default="HEAD")
@case_target
def command(chosen: Target, good: str, bad: str) -> int:
    """Gate commit after commit against the good one, and name the first bad one."""
    console = Console(stderr=True)
    base, last = chosen.commit(good, "GOOD"), chosen.commit(bad, "BAD")
    span = resolve(chosen.project.repository, f"{base.hash}..{last.hash}")
    commits = [Side(commit.hash, commit.subject) for commit in span]
    with chosen.asv.alone():
        found = bisect(commits, partial(_gate, chosen, base, console), partial(_tell, console))
    out = Console()
    if len(found.candidates) == 1:
        culprit = found.candidates[0]
        say(out, f"first bad commit: {culprit.hash} {culprit.subject}")
        return 0
    say(out, "one of these commits; nothing could be said of those before the last:")
    for side in found.candidates:
        say(out, f"  {side.short} {side.subject}")
    return 3


def _gate(chosen: Target, base: Side, console: Console, head: Side) -> GateResult:
    with rounds(console) as tell:
        progress = Progress(partial(say, console), tell)
        return result(run(chosen.project, chosen.request(base, head), progress))


def _tell(console: Console, step: Step) -> None:
    worst: Finding = worst_first(step.result.findings)[0]
    say(
        console,
        f"{step.commit.short} {step.worst}, {change_text(worst)}: {step.commit.subject}",
    )
