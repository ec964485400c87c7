"""Print the code that Triton compiles for an H100; no GPU is needed.

It is a process of its own, because a process that interprets kernels cannot compile them.
"""

import json
import sys
from itertools import product

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from sparsebench.pruning.kernels import triton_path, triton_scores, triton_select, triton_write

HOPPER = GPUTarget("cuda", 90, 32)
ELEMENTS = {"bfloat16": "*bf16", "float32": "*fp32", "float64": "*fp64"}
BLOCK = {"HEIGHT": 1, "WIDTH": 4, "NORM": "l2"}
FIXED = {
    triton_scores.write_keys: {**BLOCK, "TILE": 256},
    triton_select.count_bytes: {"TILE": 1024},
    triton_write.write_blocks: {
        **BLOCK,
        "PADDED_SIZE": 4,
        "SELECTS": True,
        "RANKS": True,
        "TILE": 512,
        "MAX_PROGRAMS": 1024,
    },
}


def code(kernel: triton.JITFunction, dtype: str) -> str:
    """Return the PTX of a kernel for weights of a dtype; the assembler has accepted it."""
    pointers = {
        "weight": ELEMENTS[dtype],
        "mask": ELEMENTS[dtype],
        "keys": "*u64" if dtype == "float64" else "*u32",
        "totals": "*i32",
        "ties": "*i32",
    }
    fixed = FIXED[kernel]
    types = {
        name: "constexpr" if name in fixed else pointers.get(name, "i32")
        for name in kernel.arg_names
    }
    source = ASTSource(kernel, types, fixed)
    compiled = triton.compile(source, target=HOPPER, options=triton_path.OPTIONS)
    text: str = compiled.asm["ptx"]
    return text


if __name__ == "__main__":
    json.dump(
        {f"{k.__name__} {dtype}": code(k, dtype) for k, dtype in product(FIXED, ELEMENTS)},
        sys.stdout,
    )
