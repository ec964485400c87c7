"""The code that Triton compiles for an H100 (compute capability 9.0); no GPU is needed.

``python -m tests.pruning.kernels.compiled_triton`` prints registers and spills as the table of
docs/performance.md; with ``--json`` it prints the code, too. It is a process of its own, because a
process that interprets kernels cannot compile them.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from sparsebench.pruning.kernels import triton_path, triton_scores, triton_select, triton_write
from sparsebench.pruning.masks.pattern import pattern_of

HOPPER = GPUTarget("cuda", 90, 32)
ELEMENTS = {"bfloat16": "*bf16", "float32": "*fp32", "float64": "*fp64"}
SHAPE = (4096, 4096)
PATTERNS = {  # of the LLM grid: level, block, zeros
    "0.5, (1, 4)": (0.5, (1, 4), None),
    "0.5, (4, 1)": (0.5, (4, 1), None),
    "0.5, (16, 16)": (0.5, (16, 16), None),
    "0.5, (1, 4), 2 zeros": (0.5, (1, 4), 2),
    "2:4": (1.0, (1, 4), 2),
    "4:8": (1.0, (1, 8), 4),
}
TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
Kernel = dict[str, Any]  # name, pattern, dtype, ptx, registers, spilled bytes per thread


def compiled() -> Iterator[Kernel]:
    """Yield each kernel, for each pattern and dtype that need a code of their own."""
    for dtype in ELEMENTS:
        fixed: dict[str, Any] = {"TILE": triton_path.COUNT_TILE}
        yield _compile(triton_select.count_bytes, "all", dtype, fixed)
        for name, (level, block, zeros) in PATTERNS.items():
            pattern = pattern_of(SHAPE, level, block, zeros)
            plan = triton_path.launch_plan(pattern)
            sides = {"HEIGHT": plan.height, "WIDTH": plan.width, "NORM": "l2"}
            selects = pattern.selected < pattern.blocks
            ranks = pattern.zeros < plan.height * plan.width
            if selects and not ranks:
                fixed = {**sides, "TILE": triton_path.KEY_TILE}
                yield _compile(triton_scores.write_keys, name, dtype, fixed)
            fixed = {**sides, "PADDED_SIZE": plan.padded_size, "TILE": plan.tile}
            fixed |= {"SELECTS": selects, "RANKS": ranks, "MAX_PROGRAMS": triton_path.MAX_PROGRAMS}
            yield _compile(triton_write.write_blocks, name, dtype, fixed)


def _compile(kernel: Any, pattern: str, dtype: str, fixed: dict[str, Any]) -> Kernel:
    """Return the PTX of a kernel for weights of a dtype, and what the assembler says of it."""
    pointers = {
        "weight": ELEMENTS[dtype],
        "mask": ELEMENTS[dtype],
        "keys": "*u64" if dtype == "float64" else "*u32",
        "totals": "*i32",
        "ties": "*i32",
    }
    if not fixed.get("SELECTS", True):  # there are no buffers
        pointers = {name: pointers[name] for name in ("weight", "mask")}
        fixed = fixed | dict.fromkeys(("keys", "totals", "ties"))
    types = {
        name: "constexpr" if name in fixed else pointers.get(name, "i32")
        for name in kernel.arg_names
    }
    source = ASTSource(kernel, types, fixed)
    binary = triton.compile(source, target=HOPPER, options=triton_path.OPTIONS)
    registers, spilled = _resources(binary.asm["cubin"])
    return {
        "kernel": kernel.__name__,
        "pattern": pattern,
        "dtype": dtype,
        "ptx": binary.asm["ptx"],
        "registers": registers,
        "spilled": spilled,
    }


def _resources(cubin: bytes) -> tuple[int, int]:
    """Return registers per thread, and bytes of local memory and stack, where spills go."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [str(TOOLS / "cuobjdump"), "--dump-resource-usage", file.name]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+) .*LOCAL:(\d+)", text)
    assert found, text
    return int(found[1]), int(found[2]) + int(found[3])


def table(kernels: list[Kernel]) -> str:
    """Return registers per thread as a Markdown table, with spills where there are any."""
    lines = [f"| kernel | pattern | {' | '.join(ELEMENTS)} |", "|---|---|---|---|---|"]
    cells: dict[tuple[str, str], list[str]] = {}
    for each in kernels:
        spills = f" ({each['spilled']} bytes spilled)" if each["spilled"] else ""
        row = cells.setdefault((each["kernel"], each["pattern"]), [])
        row.append(f"{each['registers']}{spills}")
    lines += [
        f"| `{name}` | {pattern} | {' | '.join(row)} |" for (name, pattern), row in cells.items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    found = list(compiled())
    print(json.dumps(found) if "--json" in sys.argv else table(found))  # noqa: T201  # a command
