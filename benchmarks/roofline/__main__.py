"""scripts/roofline: measure one part and print its table."""

import argparse

from benchmarks.roofline import fixed, growth, llm, passes, seed
from benchmarks.workloads.grid import LLM_SHAPES, Shape
from benchmarks.workloads.workload import DTYPES
from sparsebench.pruning.kernels import CPU_PATHS, only


def main() -> None:
    """Measure the part that the command line names."""
    options = _parser().parse_args()
    parts = {"llm": _llm, "seed": _seed, "growth": _growth, "passes": _passes, "fixed": _fixed}
    print(parts[options.part](options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/roofline",
        description="How far a step is from the speed of memory; run it on a quiet machine.",
    )
    parts = parser.add_subparsers(dest="part", required=True)
    big = parts.add_parser("llm", help="LLM shapes: a step in copies of its tensor, and its memory")
    big.add_argument("--shape", type=_shape, nargs="+", default=LLM_SHAPES, help="as 4096x4096")
    big.add_argument("--dtype", choices=DTYPES, nargs="+", default=["float32"])
    big.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    big.add_argument("--path", choices=CPU_PATHS, default=CPU_PATHS[0], help="that computes them")
    big.add_argument("--upstream", type=int, default=0, help="rounds of torch.ao.pruning")
    small = parts.add_parser("seed", help="the seed grid beside torch.ao.pruning")
    small.add_argument("--slowest", type=int, default=10, help="cases to list")
    size = parts.add_parser("growth", help="time per element from 1024x1024 to 16384x8192")
    size.add_argument("--threads", type=int, default=1)
    each = parts.add_parser("passes", help="time per pass of the patterns of the LLM grid")
    each.add_argument("--shape", type=_shape, default=LLM_SHAPES[0], help="as 4096x4096")
    rest = parts.add_parser("fixed", help="time per layer, of the import and of a first step")
    for part, rounds in ((big, 9), (small, 7), (size, 9), (each, 9), (rest, 5)):
        part.add_argument("--rounds", type=int, default=rounds, help="median of so many")
    return parser


def _shape(text: str) -> Shape:
    rows, cols = text.split("x")
    return int(rows), int(cols)


def _llm(options: argparse.Namespace) -> str:
    asked = options.shape, options.dtype, options.threads, options.rounds, options.upstream
    with only(options.path):
        return llm.rendered(list(llm.measured(*asked)))


def _seed(options: argparse.Namespace) -> str:
    return seed.rendered(list(seed.measured(options.rounds)), options.slowest)


def _growth(options: argparse.Namespace) -> str:
    return growth.rendered(list(growth.measured(options.rounds, options.threads)))


def _passes(options: argparse.Namespace) -> str:
    return passes.rendered(list(passes.measured(options.shape, options.rounds)))


def _fixed(options: argparse.Namespace) -> str:
    first = fixed.first_step_seconds()
    return (
        f"a layer's share of a step   {fixed.layer_seconds(options.rounds) * 1e6:.1f} us\n"
        f"import, on top of torch     {fixed.import_seconds(options.rounds) * 1e3:.0f} ms\n"
        f"first step of a process     {first:.2f} s, or what compiling takes the very first time"
    )


if __name__ == "__main__":
    main()
