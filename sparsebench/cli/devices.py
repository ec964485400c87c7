"""`sparsebench devices`: compare two sides case by case, as a table and as heat maps."""

from pathlib import Path

import click
from rich.console import Console

from sparsebench.analysis.comparison import Comparison, compare
from sparsebench.analysis.copy_floor import floor_ratios
from sparsebench.analysis.sides import COMPARABLE, choose_sides, with_known_builds
from sparsebench.cli import options
from sparsebench.errors import SparsebenchError
from sparsebench.report.figures import canvas
from sparsebench.report.figures.heat_map import describe_heat_map, draw_heat_map, why_no_heat_map
from sparsebench.report.text.comparison import comparison_text
from sparsebench.results import latest, read

HELP = """Compare two devices, machines, GPUs, torch versions, implementations or dtypes by case.

A is the base: a ratio B/A above 1 means that B is slower, or needs more. Without A and B the column
--by (default: device) must have two values; with them and without --by it is the column that has
both. The newest values of cases that are equal in all other columns are compared. Below each table
follow the geometric mean with its interval and, along shape, level and other sizes, the crossing
point from which one side is faster; at the end the ratio to the time of copying the weight.

\b
  sparsebench devices                        # cpu against cuda, where both were measured
  sparsebench devices torch.ao sparsebench   # implementations
  sparsebench devices laptop server --benchmark Long
  sparsebench devices --by torch 2.12.0 2.13.0 --all

Exit code 2 if there is nothing to compare; the message lists what can be compared.
"""


@click.command(help=HELP, short_help="Compare two devices, machines, implementations, ...")
@click.argument("sides", nargs=-1, metavar="[A B]")
@click.option("--by", type=click.Choice(COMPARABLE), help="The column that A and B are values of.")
@options.dataset
@options.into
@options.benchmark
@options.machine
@click.option("--commit", metavar="HASH", help="Values of this commit instead of the newest.")
@options.formats
@click.option("--all", "complete", is_flag=True, help="Print all cases instead of the extremes.")
def command(
    sides: tuple[str, ...],
    by: str | None,
    dataset: str,
    into: Path,
    benchmark: str | None,
    machine: tuple[str, ...],
    commit: str | None,
    formats: tuple[str, ...],
    complete: bool,
) -> None:
    """Print the comparison, then the path of each heat map."""
    frame = read(dataset, benchmark=benchmark, machine=machine or None, commit=commit)
    measured = with_known_builds(frame[frame["status"] != "skipped"])
    compared = choose_sides(measured, sides, by)
    newest = latest(measured)
    comparison = compare(newest, compared)
    if not comparison.groups:
        raise SparsebenchError(
            f"{compared.a}, {compared.b}: no case has a value on both sides; "
            f"`sparsebench show` lists what each of them has"
        )
    Console().print(comparison_text(comparison, complete=complete))
    for ratio in floor_ratios(newest, compared):
        click.echo(ratio.text)
    _draw(comparison, into, formats)


def _draw(comparison: Comparison, into: Path, formats: tuple[str, ...]) -> None:
    sides = comparison.sides
    drawn = {}
    for group in comparison.groups:
        if reason := why_no_heat_map(group):
            click.echo(f"no heat map for {group.name}: {reason}", err=True)
        else:
            drawn[f"{sides.a}-{sides.b}.{group.name}"] = group
    names = canvas.safe_names(list(drawn))
    for title, group in drawn.items():
        with canvas.style():
            figure, alt = draw_heat_map(group, sides), describe_heat_map(group, sides)
            for path in canvas.save(figure, into, names[title], alt, formats):
                click.echo(path)
