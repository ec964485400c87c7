"""Print the tables of docs/performance.md about one H100, from docs/data/h100, as Markdown."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import geometric_mean, median
from typing import Any, Final

from benchmarks.workloads.grid import MaskCase, by_name
from sparsebench.pruning.masks.pattern import is_constant

ROOT: Final = Path(__file__).parents[1]
DATA: Final = ROOT / "docs" / "data" / "h100"

SQUARE: Final = (4096, 4096)
NM: Final[dict[tuple[object, object], str]] = {((1, 4), 2): "2:4", ((1, 8), 4): "4:8"}
KERNELS: Final = ("FillFunctor", "write_keys", "count_bytes", "write_blocks")

# Milliseconds on one thread of another host, two cores of an AMD EPYC virtual machine: README.md
# for the long grid's median, the table under "Figures" of docs/performance.md for 4096x4096.
CPU_LONG_GRID: Final = 0.023
CPU_SQUARE: Final = {
    ".5, (1, 4)": 9.5,
    ".5, (4, 1)": 11.0,
    ".5, (16, 16)": 6.8,
    ".9, (1, 4)": 9.4,
    ".9, (4, 1)": 10.3,
    ".9, (16, 16)": 6.5,
    "2:4": 7.9,
    "4:8": 8.4,
}

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Record:
    """The measured rows.

    Attributes:
        llm: a row per case and dtype.
        seed: a row per case.
        profile: per case, rows of name, calls in five steps, microseconds per step.
    """

    llm: list[Row]
    seed: list[Row]
    profile: dict[str, list[tuple[str, int, float]]]


def read(folder: Path = DATA) -> Record:
    """Return the record in ``folder``."""
    llm, seed, facts = (
        json.loads((folder / name).read_text(encoding="utf-8"))
        for name in ("llm.json", "seed.json", "facts_profile.json")
    )
    return Record(llm["llm"], seed["seed"], facts["profile"])


def tables(record: Record) -> dict[str, str]:
    """Return the tables by title, in the order of the document."""
    return {
        "4096x4096, float32": square_times(record, "float32"),
        "4096x4096, bfloat16": square_times(record, "bfloat16"),
        "Other shapes, bfloat16": other_times(record),
        "Kernels": kernel_times(record),
        "Memory": memory(record),
        "Seed grid": seed_times(record),
        "CUDA and CPU": beside_cpu(record),
    }


def square_times(record: Record, dtype: str) -> str:
    """Return the times at 4096x4096, and torch.ao's."""
    head = ["level, block", "copy", "replay", "replay, copies", "eager", "eager / replay"]
    lines = [
        [*_times(row), _us(row["torch_ao"]), _digits(row["torch_ao"] / row["copy"], 0)]
        for row in record.llm
        if row["dtype"] == dtype and by_name(row["case"]).shape == SQUARE
    ]
    return markdown([*head, "torch.ao", "torch.ao, copies"], lines)


def other_times(record: Record) -> str:
    """Return the times at the other shapes."""
    head = ["shape", "level, block", "copy", "replay", "replay, copies", "eager", "eager / replay"]
    lines = [
        [_sides(case.shape), *_times(row)]
        for row in record.llm
        if (case := by_name(row["case"])).shape != SQUARE
    ]
    return markdown(head, lines)


def _times(row: Row) -> list[str]:
    copy, step, graph = row["copy"], row["step"], row["graph"]
    ratios = _digits(graph / copy, 2), _digits(step / graph, 2)
    return [pattern(by_name(row["case"])), _us(copy), _us(graph), ratios[0], _us(step), ratios[1]]


def kernel_times(record: Record) -> str:
    """Return the profiler's time per kernel and step, beside the graph's replay."""
    replay = {row["case"]: row["graph"] for row in record.llm if row["dtype"] == "float32"}
    lines = []
    for name, events in record.profile.items():
        parts = [sum(us for event, _, us in events if kernel in event) for kernel in KERNELS]
        shown = [_us(part) if part else "none" for part in parts]
        lines.append([pattern(by_name(name)), *shown, _us(sum(parts)), _us(replay[name])])
    head = ["level, block", "fill", "`write_keys`", "`count_bytes`, 4 launches", "`write_blocks`"]
    return markdown([*head, "sum", "replay"], lines)


def memory(record: Record) -> str:
    """Return the temporary memory of a step in multiples of the weight's size.

    A value below another level's, whose buffers are equally large, is marked as too low.
    """
    peaks = {(by_name(row["case"]), row["dtype"]): row for row in record.llm}
    largest: dict[tuple[object, ...], float] = {}
    for (case, dtype), row in peaks.items():
        key = (case.shape, case.block, case.zeros, dtype)
        largest[key] = max(largest.get(key, 0.0), row["peak_over_weight"])
    shapes = list(dict.fromkeys(case.shape for case, _ in peaks))
    columns = [(shapes[0], "float32"), *((shape, "bfloat16") for shape in shapes)]

    lines: dict[str, list[str]] = {}
    for column in columns:
        for (case, dtype), row in peaks.items():
            if (case.shape, dtype) != column:
                continue
            own, line = row["peak_over_weight"], lines.setdefault(pattern(case), [])
            low = own < largest[case.shape, case.block, case.zeros, dtype]
            line.append(_digits(own, 4 if own else 0) + ("†" if low else ""))
            if "ao_peak" in row:
                line.append(_digits(row["ao_peak"], 1))
    head = ["level, block"]
    for shape, dtype in columns:
        head.append(f"{_sides(shape)}, {dtype}")
        head += ["torch.ao"] if shape == SQUARE else []
    return markdown(head, [[name, *line] for name, line in lines.items()])


def seed_times(record: Record) -> str:
    """Return medians over the seed grid, and torch.ao's wall time over ours on the same cases."""
    groups: dict[str, list[Row]] = {
        name: [] for name in ("constant mask", "1 launch", "7 launches")
    }
    for row in record.seed:
        case = by_name(row["case"])
        constant = is_constant(case.level, case.block, case.zeros)
        inside_blocks = "1 launch" if case.level >= 1 else "7 launches"
        groups["constant mask" if constant else inside_blocks].append(row)
    lines = []
    for name, rows in {"all": record.seed, **groups}.items():
        medians = [_us(median(row[field] for row in rows)) for field in ("wall", "launch", "graph")]
        ratios = [row["ao_wall"] / row["wall"] for row in rows if "ao_wall" in row]
        shown = [_digits(f(ratios), 2) for f in (geometric_mean, min, max)]
        lines.append([name, str(len(rows)), *medians, str(len(ratios)), *shown])
    head = ["cases", "number", "wall", "launch", "replay", "torch.ao runs"]
    return markdown([*head, "torch.ao / ours", "lowest", "highest"], lines)


def beside_cpu(record: Record) -> str:
    """Return CUDA's times beside those of a CPU on another host."""
    grid = median(row["wall"] for row in record.seed if "long" in by_name(row["case"]).tags)
    lines = [["long grid, median", _us(grid), "wall", _digits(1e3 * CPU_LONG_GRID, 0)]]
    for row in record.llm:
        name = pattern(case := by_name(row["case"]))
        if case.shape == SQUARE and row["dtype"] == "float32":
            shown = _us(row["step"]), "eager, events", _digits(1e3 * CPU_SQUARE[name], 0)
            lines.append([f"4096x4096, {name}", *shown])
    return markdown(["float32 weight", "CUDA, one H100", "as", "CPU of another host"], lines)


def pattern(case: MaskCase) -> str:
    """Return for example ``.5, (1, 4)``, or ``2:4``."""
    if (case.block, case.zeros) in NM:
        return NM[case.block, case.zeros]
    return f"{case.level:g}".removeprefix("0") + f", {case.block}"


def markdown(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("|" + "|".join(row) + "|" if row[0] == "---" else _line(row) for row in rows)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _us(microseconds: float) -> str:
    return _digits(microseconds, 0 if microseconds >= 100 else 1)


def _digits(value: float, digits: int) -> str:
    return f"{value:,.{digits}f}"


def _sides(shape: tuple[int, int]) -> str:
    return f"{shape[0]}x{shape[1]}"


def main() -> None:
    """Print all tables."""
    for title, table in tables(read()).items():
        print(f"{title}\n\n{table}\n")


if __name__ == "__main__":
    main()
