"""The command ``scripts/roofline``: measure one part and print its table."""

import argparse

from benchmarks.roofline import fixed, growth, llm, passes, seed
from benchmarks.workloads.grid import LLM_SHAPES, Shape
from benchmarks.workloads.workload import DTYPES
from sparsebench.pruning.kernels import CPU_PATHS, only


def main() -> None:
    """Measure and print the part named on the command line."""
    options = _parser().parse_args()
    parts = {"llm": _llm, "seed": _seed, "growth": _growth, "passes": _passes, "fixed": _fixed}
    print(parts[options.part](options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/roofline",
        description="How far a step is from the speed of memory; run it on a quiet machine.",
    )
    subparsers = parser.add_subparsers(dest="part", required=True)
    parts = {  # help text and default rounds
        "llm": ("LLM shapes: step time in copies of the weight, and memory", 9),
        "seed": ("the seed grid compared with torch.ao.pruning", 7),
        "growth": ("time per element from 1024x1024 to 16384x8192", 9),
        "passes": ("time per pass, for the patterns of the LLM grid", 9),
        "fixed": ("time per layer, of the import and of the first step", 5),
    }
    add_argument = {}
    for part, (text, rounds) in parts.items():
        add = add_argument[part] = subparsers.add_parser(part, help=text).add_argument
        add("--rounds", type=int, default=rounds, help="the median of this many is printed")
    add = add_argument["llm"]
    add("--shape", type=_shape, nargs="+", default=LLM_SHAPES, help="for example 4096x4096")
    add("--dtype", choices=DTYPES, nargs="+", default=["float32"])
    add("--threads", type=int, nargs="+", default=[1, 2])
    add("--path", choices=CPU_PATHS, default=CPU_PATHS[0], help="path that computes the masks")
    add("--upstream", type=int, default=0, help="rounds of torch.ao.pruning; 0: not measured")
    add_argument["seed"]("--slowest", type=int, default=10, help="number of cases listed")
    add_argument["growth"]("--threads", type=int, default=1)
    add_argument["passes"](
        "--shape", type=_shape, default=LLM_SHAPES[0], help="for example 4096x4096"
    )
    return parser


def _shape(text: str) -> Shape:
    rows, cols = text.split("x")
    return int(rows), int(cols)


def _llm(options: argparse.Namespace) -> str:
    with only(options.path):
        steps = llm.measure(
            options.shape, options.dtype, options.threads, options.rounds, options.upstream
        )
        return llm.render(list(steps))


def _seed(options: argparse.Namespace) -> str:
    return seed.render(list(seed.measure(options.rounds)), options.slowest)


def _growth(options: argparse.Namespace) -> str:
    return growth.render(list(growth.measure(options.rounds, options.threads)))


def _passes(options: argparse.Namespace) -> str:
    return passes.render(list(passes.measure(options.shape, options.rounds)))


def _fixed(options: argparse.Namespace) -> str:
    first = fixed.first_step_seconds()
    return (
        f"step, per layer             {fixed.layer_seconds(options.rounds) * 1e6:.1f} us\n"
        f"import, on top of torch     {fixed.import_seconds(options.rounds) * 1e3:.0f} ms\n"
        f"first step of a process     {first:.2f} s; longer the first time, when it compiles"
    )


if __name__ == "__main__":
    main()
