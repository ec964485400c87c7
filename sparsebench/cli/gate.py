"""`sparsebench gate`: whether a commit made anything slower, or changed a result."""

from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from sparsebench.cli import options
from sparsebench.cli.gate_options import Target, target
from sparsebench.cli.progress import rounds, say
from sparsebench.cli.writing import write
from sparsebench.gate.findings import DEFAULT_FAIL_ON, Verdict
from sparsebench.gate.record import Record, lines
from sparsebench.gate.replay import load
from sparsebench.gate.result import result
from sparsebench.gate.runner import Progress, run
from sparsebench.report.figures.gate_forest import plot_gate
from sparsebench.report.text.gate_json import to_json
from sparsebench.report.text.gate_markdown import markdown
from sparsebench.report.text.gate_table import gate_text

HELP = """Compare two commits by paired measurement: is anything slower, has a result changed?

\b
  sparsebench gate main                      # the working tree against main
  sparsebench gate v1.0 v1.1 --tag long
  sparsebench gate main --bench 'step.*level=0.9' --tolerance 2% --budget 5m
  sparsebench gate --replay gate.json        # the same verdicts from what was kept

Works in any asv project. Benchmarks are read from the working tree, the code that they measure from
each commit; without HEAD that is the working tree with its uncommitted changes. Two processes, one
a commit, measure each case in turns, over several fresh pairs of processes. An interrupted run is
continued by the same command.

Exit codes: 0 pass, 1 a verdict that --fail-on names, 2 bad input or nothing measured, 3 undecided.
"""

_WORDS = {
    "regressed": Verdict.REGRESSED,
    "changed": Verdict.CHANGED_RESULT,
    "failed": Verdict.FAILED,
    "undecided": Verdict.UNDECIDED,
    "gone": Verdict.GONE,
    "new": Verdict.NEW,
}


class FailOn(click.ParamType[frozenset[Verdict]]):
    """Verdicts that fail the gate, separated by commas; ``none`` for none."""

    name = "verdicts"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> frozenset[Verdict]:
        """The verdicts that ``value`` names."""
        if isinstance(value, frozenset):
            return value
        words = [word.strip() for word in str(value).split(",")]
        unknown = [word for word in words if word not in _WORDS]
        if words == ["none"]:
            return frozenset()
        if unknown:
            self.fail(f"must be of {', '.join(_WORDS)}, or none, got {unknown[0]!r}", param, ctx)
        return frozenset(_WORDS[word] for word in words)


@click.command(help=HELP, short_help="Compare two commits by paired measurement.")
@click.argument("base", required=False)
@click.argument("head", required=False)
@target
@click.option(
    "--fail-on",
    type=FailOn(),
    metavar="VERDICTS",
    default=",".join(word for word, verdict in _WORDS.items() if verdict in DEFAULT_FAIL_ON),
    show_default=True,
    help="What fails the gate; also gone, new, none.",
)
@click.option("--all", "complete", is_flag=True, help="List the unchanged cases too.")
@click.option(
    "--json",
    "as_json",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="All of it, and the record.",
)
@click.option(
    "--markdown",
    "as_markdown",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A comment for a pull request.",
)
@click.option(
    "--figures", type=click.Path(path_type=Path), metavar="DIR", help="Where a forest plot goes."
)
@options.formats
@click.option(
    "--into",
    type=click.Path(path_type=Path),
    metavar="DATASET",
    help="A folder of gates, to which every block is added as Parquet.",
)
@click.option(
    "--replay",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Judge what --json, --into or .asv/gate kept; nothing is measured.",
)
def command(
    chosen: Target | None,
    base: str | None,
    head: str | None,
    fail_on: frozenset[Verdict],
    complete: bool,
    as_json: Path | None,
    as_markdown: Path | None,
    figures: Path | None,
    formats: tuple[str, ...],
    into: Path | None,
    replay: Path | None,
) -> int:
    """Measure or load, judge, show, write what was asked for."""
    if replay and base:
        raise click.UsageError("--replay judges what was kept; give it, or BASE [HEAD] to measure")
    console = Console(stderr=True)
    record = load(replay) if replay else _measured(chosen, base, head, console)
    found = result(record)
    Console().print(gate_text(found, fail_on=fail_on, complete=complete), soft_wrap=False)
    if as_json:
        write(as_json, to_json(found, fail_on, lines(record)))
    if as_markdown:
        write(as_markdown, markdown(found, fail_on))
    if into:
        from sparsebench.gate import parquet  # loads Arrow only where it is needed

        say(console, str(parquet.write(record, into)))
    if figures:
        for path in plot_gate(found, figures, formats, fail_on):
            say(console, str(path))
    return found.exit_code(fail_on)


def _measured(
    chosen: Target | None, base: str | None, head: str | None, console: Console
) -> Record:
    if base is None:
        raise click.UsageError("a base is needed: sparsebench gate BASE [HEAD], or --replay FILE")
    assert chosen
    before = chosen.commit(base, "BASE")
    after = chosen.commit(head, "HEAD") if head else chosen.work_tree()
    with chosen.asv.alone(), rounds(console) as tell:
        progress = Progress(partial(say, console), tell)
        return run(chosen.project, chosen.request(before, after), progress)
