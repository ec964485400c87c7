"""Golden digests: the expected mask of every grid case, and the comparison with computed masks.

``tests/data/golden_digests.tsv`` has one row per case and kind of weights, and one column per dtype
with the first 64 bits of the mask's digest. It was computed by the slow oracles: ``oracles.mask``,
and ``oracles.mask_by_sorting`` for the LLM grid. ``scripts/verify`` runs this module.
"""

import argparse
import csv
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from math import inf
from pathlib import Path
from platform import machine, processor
from typing import NoReturn

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
class GoldenMask:
    """The mask that a digest belongs to."""

    case: str
    weights: str
    dtype: str

    def __str__(self) -> str:
        return f"{self.case} {self.weights} {self.dtype}"


Table = dict[GoldenMask, str]


def read(path: Path | None = None) -> Table:
    """Return the digest of every mask in the file, by default TABLE.

    Raises:
        SparsebenchError: the file has other columns.
    """
    path = path or TABLE
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, dialect="excel-tab")
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise SparsebenchError(f"{path}: the first line must be {', '.join(COLUMNS)}")
        return {
            GoldenMask(row["case"], row["weights"], dtype): row[dtype]
            for row in reader
            for dtype in workload.DTYPES
        }


def write(table: Table, path: Path | None = None) -> None:
    """Write the digests of ``table``, cases in grid order, by default to TABLE."""
    with (path or TABLE).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, dialect="excel-tab", lineterminator="\n")
        writer.writerow(COLUMNS)
        for case in grid.ALL:
            for kind in weights.KINDS:
                row = [
                    table.get(GoldenMask(case.name, kind, dtype), "") for dtype in workload.DTYPES
                ]
                if any(row):
                    writer.writerow([case.name, kind, *row])


def golden_masks(grids: Iterable[str]) -> Iterator[GoldenMask]:
    """Yield all masks of the named grids."""
    for name in grids:
        for case in grid.select(tag=name):
            for kind in weights.KINDS:
                yield from (GoldenMask(case.name, kind, dtype) for dtype in workload.DTYPES)


def by_oracle(mask: GoldenMask) -> str:
    """Return the digest of the mask that the oracle computes."""
    case = grid.by_name(mask.case)
    oracle = oracles.mask_by_sorting if "llm" in case.tags else oracles.mask
    weight = weights.weights(case.shape, mask.weights, workload.DTYPES[mask.dtype])
    keep = oracle(weight, case.level, case.block, case.zeros)
    return digest.digest(torch.from_numpy(keep))[:DIGITS]


def by_step(mask: GoldenMask, device: str, path: str | None) -> str:
    """Return the digest of the mask after a step; ``path`` None: the default path."""
    with ExitStack() as stack:
        if path is not None:
            stack.enter_context(only(path))
        case = grid.by_name(mask.case)
        stepped = workload.build(case, device, mask.dtype, mask.weights)
        stepped.step()
        return digest.digest(stepped.mask)[:DIGITS]


@dataclass(frozen=True)
class DigestReport:
    """The number of masks compared, and each that differs with its expected and actual digest.

    ``left``: the number of masks for which the time did not suffice.
    """

    compared: int
    different: list[tuple[GoldenMask, str, str]]
    left: int = 0


def check_device(device: str, path: str | None) -> None:
    """Raise SparsebenchError if ``path`` does not serve ``device``, as another would be used."""
    if device == "cuda" and path == "compiled":
        raise SparsebenchError(f"--implementation: {path} computes on cpu only, got --device=cuda")
    if device == "cpu" and path == "triton" and not is_interpreted():
        raise SparsebenchError(
            "--implementation: triton computes on cuda, got --device=cpu; "
            "set TRITON_INTERPRET=1 to run its kernels on cpu, slowly"
        )


def verify(
    table: Table, grids: Sequence[str], device: str, path: str | None, seconds: float = inf
) -> DigestReport:
    """Compute every mask of the named grids and compare it with the table, for some seconds.

    Raises:
        SparsebenchError: the table has no digest of a mask.
    """
    end = time.monotonic() + seconds
    masks = list(golden_masks(grids))
    compared, different = 0, []
    for mask in masks:
        if time.monotonic() >= end:
            break
        if not table.get(mask):
            raise SparsebenchError(f"{TABLE}: must have a digest of {mask}; add it with --rebuild")
        actual, compared = by_step(mask, device, path), compared + 1
        if actual != table[mask]:
            different.append((mask, table[mask], actual))
    return DigestReport(compared, different, len(masks) - compared)


class _Parser(argparse.ArgumentParser):
    """Raises for bad input, which is then one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        raise SparsebenchError(message.removeprefix("argument "))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="verify",
        description="Compare the masks of this machine with the golden digests, bit for bit.",
        epilog="Exit codes: 0 all equal, 1 a mask differs, 2 bad input.",
    )
    add = parser.add_argument
    add("--device", choices=["cpu", "cuda"], default="cpu", help="default: cpu")
    text = "path that computes the masks; by default the one that a user gets"
    add("--implementation", choices=PATHS, help=text)
    text = "repeatable; default: short and long; llm takes minutes and 3 GB of memory"
    add("--grid", dest="grids", choices=GRIDS, action="append", help=text)
    add("--seconds", type=float, default=inf, help="begin no mask after this time")
    text = "compute the digests of the grids by the oracle and write the table"
    add("--rebuild", action="store_true", help=text)
    return parser


def run(options: argparse.Namespace) -> int:
    """Verify, or rebuild the table; return the exit code."""
    grids = options.grids or ["short", "long"]
    if options.rebuild:
        previous = read() if TABLE.exists() else {}
        write({**previous, **{mask: by_oracle(mask) for mask in golden_masks(grids)}})
        return 0
    if options.device not in devices.available():
        raise SparsebenchError("--device: cuda must be available, but no CUDA device was found")
    check_device(options.device, options.implementation)
    print(f"torch {torch.__version__}, NumPy {numpy.__version__}, {processor() or machine()}")
    report = verify(read(), grids, options.device, options.implementation, options.seconds)
    for mask, expected, actual in report.different:
        print(f"{mask}: expected {expected}, got {actual}")
    left = f"; {report.left} not compared, as the time was over" if report.left else ""
    differ = len(report.different) or "none"
    print(f"{report.compared} masks on {options.device}: {differ} differ{left}")
    return 1 if report.different else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    try:
        return run(_parser().parse_args(argv))
    except SystemExit as end:  # --help
        return int(end.code or 0)
    except SparsebenchError as error:
        print(f"verify: {error}", file=sys.stderr)
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
