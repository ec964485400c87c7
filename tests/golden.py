"""The golden digests: what the mask of every grid case must be, and where one is not.

``tests/data/golden_digests.tsv`` has a row a case and kind of weights, and a column a dtype with
the first 64 bits of the mask's digest. The slow oracle computed it: ``oracles.mask``, and for the
LLM grid its equivalent ``oracles.mask_by_sorting``. ``scripts/verify`` is this module's command.
"""

import csv
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from platform import machine, processor

import click
import numpy
import torch

from benchmarks.workloads import devices, digest, grid, weights, workload
from sparsebench.errors import SparsebenchError
from sparsebench.pruning.kernels import PATHS, is_interpreted, only
from tests import oracles

TABLE = Path(__file__).parent / "data" / "golden_digests.tsv"
DIGITS = 16
GRIDS = ("short", "long", "llm")
COLUMNS = ("case", "weights", *workload.DTYPES)


@dataclass(frozen=True, order=True)
class Mask:
    """Which mask a digest is of."""

    case: str
    weights: str
    dtype: str

    def __str__(self) -> str:
        return f"{self.case} {self.weights} {self.dtype}"


Table = dict[Mask, str]


def read(path: Path = TABLE) -> Table:
    """The digest of every mask.

    Raises:
        SparsebenchError: the file is no such table.
    """
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, dialect="excel-tab")
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise SparsebenchError(f"{path}: its first line must be {', '.join(COLUMNS)}")
        return {
            Mask(row["case"], row["weights"], dtype): row[dtype]
            for row in reader
            for dtype in workload.DTYPES
        }


def write(table: Table, path: Path = TABLE) -> None:
    """Write the masks that ``table`` has, by case in grid order."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, dialect="excel-tab", lineterminator="\n")
        writer.writerow(COLUMNS)
        for case in grid.ALL:
            for kind in weights.KINDS:
                row = [table.get(Mask(case.name, kind, dtype), "") for dtype in workload.DTYPES]
                if any(row):
                    writer.writerow([case.name, kind, *row])


def masks(grids: Iterable[str]) -> Iterator[Mask]:
    """All masks of some grids."""
    for name in grids:
        for case in grid.select(tag=name):
            for kind in weights.KINDS:
                yield from (Mask(case.name, kind, dtype) for dtype in workload.DTYPES)


def by_oracle(wanted: Mask) -> str:
    """The digest of the mask that the oracle computes."""
    case = grid.by_name(wanted.case)
    oracle = oracles.mask_by_sorting if "llm" in case.tags else oracles.mask
    weight = weights.weights(case.shape, wanted.weights, workload.DTYPES[wanted.dtype])
    keep = oracle(weight, case.level, case.block, case.zeros)
    return digest.digest(torch.from_numpy(keep))[:DIGITS]


def by_step(wanted: Mask, device: str, path: str | None) -> str:
    """The digest of the mask after a step; ``path`` None: the one that a user gets."""
    with ExitStack() as stack:
        if path is not None:
            stack.enter_context(only(path))
        case = grid.by_name(wanted.case)
        built = workload.build(case, device, wanted.dtype, wanted.weights)
        built.step()
        return digest.digest(built.mask)[:DIGITS]


@dataclass(frozen=True)
class Report:
    """What was compared, and each mask that differs with the digests expected and found."""

    compared: int
    different: list[tuple[Mask, str, str]]


def check_device(device: str, path: str | None) -> None:
    """SparsebenchError where the path computes on the other device, so that no other stands in."""
    if device == "cuda" and path == "compiled":
        raise SparsebenchError(f"--implementation: {path} computes on the cpu alone, got cuda")
    if device == "cpu" and path == "triton" and not is_interpreted():
        raise SparsebenchError(
            "--implementation: triton computes on cuda, got cpu; "
            "TRITON_INTERPRET=1 runs its kernels there, slowly"
        )


def verify(table: Table, grids: Sequence[str], device: str, path: str | None) -> Report:
    """Compute every mask of some grids and compare it with the table.

    Raises:
        SparsebenchError: the table lacks a mask.
    """
    compared, different = 0, []
    for wanted in masks(grids):
        if not table.get(wanted):
            raise SparsebenchError(f"{TABLE}: has no digest of {wanted}; rebuild it")
        found, compared = by_step(wanted, device, path), compared + 1
        if found != table[wanted]:
            different.append((wanted, table[wanted], found))
    return Report(compared, different)


@click.command()
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option(
    "--implementation",
    type=click.Choice(PATHS),
    help="One of the ways to the same bits; by default the one that a user gets.",
)
@click.option(
    "--grid",
    "grids",
    type=click.Choice(GRIDS),
    multiple=True,
    default=("short", "long"),
    show_default=True,
    help="Repeatable; llm takes minutes and 3 GB.",
)
@click.option("--rebuild", is_flag=True, help="Compute those grids' digests by the oracle instead.")
def command(device: str, implementation: str | None, grids: tuple[str, ...], rebuild: bool) -> int:
    """Compare the masks of this machine with the golden digests, bit for bit.

    Exit codes: 0 all equal, 1 a mask differs, 2 bad input.
    """
    if rebuild:
        former = read() if TABLE.exists() else {}
        write({**former, **{wanted: by_oracle(wanted) for wanted in masks(grids)}})
        return 0
    if device not in devices.available():
        raise SparsebenchError("--device: cuda needs a CUDA device, found none")
    check_device(device, implementation)
    click.echo(f"torch {torch.__version__}, NumPy {numpy.__version__}, {processor() or machine()}")
    report = verify(read(), grids, device, implementation)
    for mask, expected, found in report.different:
        click.echo(f"{mask}: expected {expected}, got {found}")
    click.echo(f"{report.compared} masks on {device}: {len(report.different) or 'none'} differ")
    return 1 if report.different else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    try:
        return int(command.main(args=argv, prog_name="verify", standalone_mode=False) or 0)
    except (SparsebenchError, click.ClickException) as error:
        text = error.format_message() if isinstance(error, click.ClickException) else str(error)
        click.echo(f"verify: {text}", err=True)
    except OSError as error:
        click.echo(f"{error.filename}: {error.strerror}", err=True)
    return 2


if __name__ == "__main__":
    sys.exit(main())
