"""`sparsebench gate`: compare two commits by paired measurement."""

from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from sparsebench.cli import options
from sparsebench.cli.gate_options import Target, target_options
from sparsebench.cli.progress import rounds, say
from sparsebench.files import write_text
from sparsebench.gate.findings import DEFAULT_FAIL_ON, Verdict
from sparsebench.gate.record import Record, lines, load_record
from sparsebench.gate.runner import Progress, run
from sparsebench.gate.verdicts import gate_result
from sparsebench.report.figures.gate_forest import plot_gate
from sparsebench.report.text.gate_json import to_json
from sparsebench.report.text.gate_markdown import markdown
from sparsebench.report.text.gate_table import gate_text

HELP = """Compare two commits by paired measurement: is anything slower, has a result changed?

\b
  sparsebench gate main                      # the working tree against main
  sparsebench gate v1.0 v1.1 --tag long
  sparsebench gate main --bench 'step.*level=0.9' --tolerance 2% --budget 5m
  sparsebench gate --replay gate.json        # the same verdicts from a stored record

Works in any asv project. Benchmarks are read from the working tree, the code that they measure from
each commit; without HEAD that is the working tree with its uncommitted changes. Two processes, one
per commit, measure each case alternately, over several fresh pairs of processes. An interrupted run
continues with the same command.

Exit codes: 0 pass, 1 a verdict that --fail-on names, 2 bad input or nothing measured, 3 undecided.
"""

_VERDICTS = {
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
        """Return the verdicts that ``value`` names."""
        if isinstance(value, frozenset):
            return value
        names = [name.strip() for name in str(value).split(",")]
        unknown = [name for name in names if name not in _VERDICTS]
        if names == ["none"]:
            return frozenset()
        if unknown:
            self.fail(f"must be of {', '.join(_VERDICTS)}, or none, got {unknown[0]!r}", param, ctx)
        return frozenset(_VERDICTS[name] for name in names)


@click.command(help=HELP, short_help="Compare two commits by paired measurement.")
@click.argument("base", required=False)
@click.argument("head", required=False)
@target_options
@click.option(
    "--fail-on",
    type=FailOn(),
    metavar="VERDICTS",
    default=",".join(word for word, verdict in _VERDICTS.items() if verdict in DEFAULT_FAIL_ON),
    show_default=True,
    help="Verdicts that fail the gate; also possible: gone, new, none.",
)
@click.option("--all", "complete", is_flag=True, help="List unchanged cases too.")
@click.option(
    "--json",
    "as_json",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="All findings and the record.",
)
@click.option(
    "--markdown",
    "as_markdown",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A comment for a pull request.",
)
@click.option(
    "--figures", type=click.Path(path_type=Path), metavar="DIR", help="Folder for a forest plot."
)
@options.formats
@click.option(
    "--into",
    type=click.Path(path_type=Path),
    metavar="DATASET",
    help="Folder to which all measured blocks are added as Parquet.",
)
@click.option(
    "--replay",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Judge a record of --json, --into or .asv/gate; nothing is measured.",
)
def command(
    target: Target | None,
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
    """Measure or load a record, judge it, print and write the results."""
    if replay and base:
        raise click.UsageError(
            "--replay judges a stored record; give it, or BASE [HEAD] to measure"
        )
    console = Console(stderr=True)
    record = load_record(replay) if replay else measure(target, base, head, console)
    findings = gate_result(record)
    Console().print(gate_text(findings, fail_on=fail_on, complete=complete), soft_wrap=False)
    if as_json:
        write_text(as_json, to_json(findings, fail_on, lines(record)))
    if as_markdown:
        write_text(as_markdown, markdown(findings, fail_on))
    if into:
        from sparsebench.gate import parquet  # loads Arrow only where it is needed

        say(console, str(parquet.write(record, into)))
    if figures:
        for path in plot_gate(findings, figures, formats, fail_on):
            say(console, str(path))
    return findings.exit_code(fail_on)


def measure(target: Target | None, base: str | None, head: str | None, console: Console) -> Record:
    """Measure two commits; without ``head`` the working tree against ``base``."""
    if base is None:
        raise click.UsageError("a base is needed: sparsebench gate BASE [HEAD], or --replay FILE")
    assert target
    before = target.commit(base, "BASE")
    after = target.commit(head, "HEAD") if head else target.work_tree()
    with target.asv.alone(), rounds(console) as show_round:
        progress = Progress(partial(say, console), show_round)
        return run(target.project, target.request(before, after), progress)
