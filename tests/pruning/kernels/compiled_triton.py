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

import torch
import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from sparsebench.pruning.kernels import triton_path
from sparsebench.pruning.masks.pattern import pattern_of

HOPPER = GPUTarget("cuda", 90, 32)
DTYPES = {
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
    "float64": torch.float64,
}
SHAPES = [(4096, 4096), (255, 324)]  # sides that 16 divides (LLM grid), and does not (seed grid)
PATTERNS = {  # level, block, zeros
    "0.5, (1, 4)": (0.5, (1, 4), None),
    "0.5, (4, 1)": (0.5, (4, 1), None),
    "0.5, (16, 16)": (0.5, (16, 16), None),
    "0.5, (1, 4), 2 zeros": (0.5, (1, 4), 2),
    "2:4": (1.0, (1, 4), 2),
    "4:8": (1.0, (1, 8), 4),
}
TYPES = {
    torch.float16: "fp16",
    torch.bfloat16: "bf16",
    torch.float32: "fp32",
    torch.float64: "fp64",
    torch.int32: "i32",
    torch.uint32: "u32",
    torch.uint64: "u64",
}
ALIGNMENT = 16  # Triton compiles separate code for addresses and integers that this divides
TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
Kernel = dict[str, Any]  # name, shape, pattern, dtype, ptx, registers, spilled bytes per thread


def compiled() -> Iterator[Kernel]:
    """Yield each kernel that a step launches, for each shape, pattern and dtype."""
    for rows, cols in SHAPES:
        for name, (level, block, zeros) in PATTERNS.items():
            for dtype in DTYPES:
                weight = torch.empty(rows, cols, dtype=DTYPES[dtype], device="meta")
                for source in _launched(weight, level, block, zeros):
                    binary = triton.compile(source, target=HOPPER, options=triton_path.OPTIONS)
                    registers, spilled = _resources(binary.asm["cubin"])
                    yield {
                        "kernel": source.name,
                        "shape": f"{rows}x{cols}",
                        "pattern": name,
                        "dtype": dtype,
                        "ptx": binary.asm["ptx"],
                        "registers": registers,
                        "spilled": spilled,
                    }


def _launched(weight: Tensor, level: float, block: tuple[int, int], zeros: int | None) -> Any:
    """Return what a step compiles, without what it has compiled before: the launches' sources."""
    sources: dict[str, ASTSource] = {}

    def record(kernel: Any, programs: int, arguments: tuple[Any, ...]) -> None:
        source = _source(kernel, arguments)
        sources.setdefault(source.hash(), source)

    launch, triton_path.launch = triton_path.launch, record
    try:
        pattern = pattern_of(weight.shape, level, block, zeros)
        triton_path.prune(torch.empty_like(weight), weight, "l2", pattern)
    finally:
        triton_path.launch = launch
    return sources.values()


def _source(kernel: Any, arguments: tuple[Any, ...]) -> ASTSource:
    """Return what Triton compiles for a launch: types, constants, and what 16 divides.

    The rules are those of Triton's launcher: an integer of 1 is a constant, and torch's allocator
    aligns addresses. It cannot be asked itself, because it needs a driver.
    """
    types: dict[str, str] = {}
    constants: dict[str, Any] = {}
    attributes: dict[tuple[int], list[list[Any]]] = {}
    for parameter, value in zip(kernel.params, arguments, strict=True):
        is_tensor, specializes = isinstance(value, Tensor), not parameter.do_not_specialize
        is_one = specializes and not is_tensor and value == 1
        if parameter.is_constexpr or value is None or is_one:
            types[parameter.name] = "constexpr"
            constants[parameter.name] = value
            continue
        types[parameter.name] = f"*{TYPES[value.dtype]}" if is_tensor else "i32"
        if specializes and (is_tensor or value % ALIGNMENT == 0):
            attributes[(parameter.num,)] = [["tt.divisibility", ALIGNMENT]]
    return ASTSource(kernel, types, constants, attributes)


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
    """Return registers per thread as a Markdown table, with spills where there are any.

    Patterns whose kernels have the same registers share a row.
    """
    cells: dict[tuple[str, str, str], list[str]] = {}
    for each in kernels:
        spills = f" ({each['spilled']} bytes spilled)" if each["spilled"] else ""
        row = cells.setdefault((each["shape"], each["kernel"], each["pattern"]), [])
        row.append(f"{each['registers']}{spills}")
    patterns: dict[tuple[str, ...], list[str]] = {}
    for (shape, name, pattern), row in cells.items():
        patterns.setdefault((shape, f"`{name}`", " | ".join(row)), []).append(pattern)
    lines = [f"| shape | kernel | level, block | {' | '.join(DTYPES)} |", "|---" * 7 + "|"]
    lines += [
        f"| {shape} | {name} | {'; '.join(shared)} | {row} |"
        for (shape, name, row), shared in patterns.items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    found = list(compiled())
    result = json.dumps({"kernels": found, "table": table(found)})
    print(result if "--json" in sys.argv else table(found))  # noqa: T201  # a command
