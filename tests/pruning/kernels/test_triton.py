"""The Triton path against the oracle: on a GPU, else by Triton's interpreter; and its code."""

import importlib.metadata
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.workloads import devices
from sparsebench.pruning import kernels, masks
from sparsebench.pruning.kernels import only, write_mask
from sparsebench.pruning.masks.pattern import pattern_of
from tests import oracles

if importlib.util.find_spec("triton") is None:
    pytest.skip("triton is not installed", allow_module_level=True)

ON_GPU = "cuda" in devices.available()
DEVICE = "cuda" if ON_GPU else "cpu"
if not ON_GPU:  # read when Triton is imported, and nothing else here would compile with it
    os.environ["TRITON_INTERPRET"] = "1"

from sparsebench.pruning.kernels import triton_path  # noqa: E402  # after the line above

needs_gpu = pytest.mark.skipif(not ON_GPU, reason="needs a CUDA device")
DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
SPECIAL = [np.inf, -np.inf, np.nan, -0.0, 0.0, 1e-45, -1e-40, 6e-8, 3e38, 1.0, -1.0, 2.0]
ROOT = Path(__file__).parents[3]
Problem = tuple[tuple[int, int], float, tuple[int, int], int | None]
PROBLEMS: list[Problem] = [
    ((12, 18), 0.5, (1, 4), None),
    ((7, 18), 0.5, (1, 4), 2),
    ((13, 7), 0.7, (3, 2), 4),
    ((5, 16), 1.0, (1, 4), 2),
    ((9, 30), 0.4, (4, 1), 2),
    ((1, 29), 0.9, (1, 8), 3),
    ((23, 1), 0.3, (1, 1), 1),
    ((3, 5), 1.0, (9, 8), 7),
    ((2, 2), 0.5, (2, 1), 1),
]


@pytest.fixture(autouse=True)
def quiet() -> Any:
    """The interpreter computes with NumPy, which warns about infinities and NaN."""
    with np.errstate(all="ignore"):
        yield


def weights(shape: tuple[int, int], kind: str, dtype: torch.dtype) -> Tensor:
    generator = np.random.default_rng(shape[0] * shape[1])
    values = generator.standard_normal(shape)
    if kind == "special":
        values = generator.choice(SPECIAL, shape)
    elif kind == "ties":
        values = np.where(generator.random(shape) < 0.7, np.round(values), values)
    return torch.from_numpy(values).to(dtype)


def written(weight: Tensor, *pattern: Any, norm: masks.Norm = masks.l2) -> Any:
    mask = torch.full_like(weight, 3, device=DEVICE)
    with only("triton"):
        write_mask(mask, weight.to(DEVICE), norm, *pattern)
    assert set(mask.unique().tolist()) <= {0.0, 1.0}
    return mask.bool().cpu().numpy()


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the kernels that were launched, which shows that no other path was taken."""
    names: list[str] = []
    launch = triton_path.launch

    def record(kernel: Any, *arguments: Any) -> None:
        names.append(kernel.__name__)
        launch(kernel, *arguments)

    monkeypatch.setattr(triton_path, "launch", record)
    return names


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_the_mask_equals_the_oracle(
    problem: Problem, dtype: torch.dtype, launches: list[str]
) -> None:
    shape, *pattern = problem
    for kind in ("ties", "special"):
        weight = weights(shape, kind, dtype)
        keep = written(weight, *pattern)
        np.testing.assert_array_equal(keep, oracles.mask(weight, *pattern), kind)
    assert len(launches) == 2 * (1 if pattern[0] == 1 else 6 if dtype != torch.float64 else 10)


@pytest.mark.parametrize("level", [0.01, 0.35, 0.99])
@pytest.mark.parametrize(("block", "zeros"), [((1, 1), None), ((1, 2), 1)])
def test_spans_and_tiles_change_no_bit(
    block: tuple[int, int], zeros: int | None, level: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triton_path, "MAX_PROGRAMS", 4)
    monkeypatch.setattr(triton_path, "TILE_ELEMENTS", 64)
    monkeypatch.setattr(triton_path, "COUNT_TILE", 128)
    weight = weights((30, 41), "ties", torch.float32).round()  # so the threshold is a tie
    assert triton_path.launch_plan(pattern_of(weight.shape, level, block, zeros)).programs == 4
    keep = written(weight, level, block, zeros)
    np.testing.assert_array_equal(keep, oracles.mask(weight, level, block, zeros))


@pytest.mark.parametrize("dtype", DTYPES[:2], ids=str)
def test_signs_of_zero_and_nan_are_ignored(dtype: torch.dtype) -> None:
    nan = float("nan")
    weight = torch.tensor([[0.0, -0.0, 1.0, nan, -1.0, nan, nan, nan]], dtype=dtype)
    weight[0, 3::4].neg_()  # NumPy, and so the interpreter, makes negative ones of inf - inf
    for pattern in ((1.0, (1, 2), 1), (0.2, (1, 1), None), (0.8, (1, 1), None)):
        keep = written(weight, *pattern, norm=lambda w: w)
        np.testing.assert_array_equal(keep, oracles.mask(weight, *pattern, lambda w: w))


def test_other_norms_strides_and_masks(launches: list[str]) -> None:
    weight = weights((8, 6), "special", torch.float32)
    pattern = 0.5, (1, 2), 1
    for norm, slow in ((masks.l1, oracles.l1), (lambda w: -w, lambda w: -w)):
        keep = written(weight, *pattern, norm=norm)
        np.testing.assert_array_equal(keep, oracles.mask(weight, *pattern, slow))
    for mask in (torch.zeros(6, 8).t(), torch.zeros(8, 6, dtype=torch.bool)):
        target = mask.to(DEVICE)
        with only("triton"):
            write_mask(target, weight.t().contiguous().t().to(DEVICE), masks.l2, *pattern)
        np.testing.assert_array_equal(target.bool().cpu().numpy(), oracles.mask(weight, *pattern))
    assert len(launches) == 4 * 6


def test_blocks_too_large_for_a_tile_are_computed_by_torch(launches: list[str]) -> None:
    weight = weights((70, 40), "ties", torch.float32)
    pattern = 0.5, (35, 40), 1300
    np.testing.assert_array_equal(written(weight, *pattern), oracles.mask(weight, *pattern))
    assert launches == []


def test_autograd_detects_the_write() -> None:
    x = torch.ones(4, 4, requires_grad=True, device=DEVICE)
    mask = torch.ones(4, 4, device=DEVICE)
    product = x * mask
    with only("triton"):
        write_mask(mask, torch.rand(4, 4, device=DEVICE), masks.l2, 0.5, (1, 4), None)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.sum().backward()


@pytest.fixture(scope="module")
def compiled() -> dict[str, Any]:
    """The kernels compiled for compute capability 9.0 and their table, see `compiled_triton`."""
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.pruning.kernels.compiled_triton", "--json"],
        cwd=ROOT,
        env={**os.environ, "TRITON_INTERPRET": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_the_compiled_code_rounds_every_operation(compiled: dict[str, Any]) -> None:
    kernels = compiled["kernels"]
    assert {each["kernel"] for each in kernels} == {"write_keys", "count_bytes", "write_blocks"}
    assert len(kernels) == 2 * 4 * (4 * 3 + 2)  # shapes, dtypes, ranked patterns and N:M
    for each in kernels:
        floats = set(re.findall(r"\b(?:fma|mad|mul|add|div)\.[\w.]*f(?:32|64)\b", each["ptx"]))
        width = "f64" if each["dtype"] == "float64" else "f32"
        ranked = "2 zeros" in each["pattern"] or ":" in each["pattern"]
        expected = {
            "write_keys": {f"mul.rn.{width}", f"add.rn.{width}", f"div.rn.{width}"},
            "count_bytes": set(),
            "write_blocks": {f"mul.rn.{width}"} if ranked else set(),
        }
        assert floats == expected[each["kernel"]], (each["kernel"], each["pattern"])
        assert ".ftz" not in each["ptx"]  # denormals count


def test_no_kernel_spills(compiled: dict[str, Any]) -> None:
    assert {each["spilled"] for each in compiled["kernels"]} == {0}
    assert all(0 < each["registers"] <= 255 for each in compiled["kernels"])


def test_the_documented_registers_are_those_of_the_compiled_kernels(
    compiled: dict[str, Any],
) -> None:
    text = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    (version,) = re.findall(r"by Triton ([\d.]+) for compute capability 9\.0", text)
    if version != importlib.metadata.version("triton"):
        pytest.skip(f"documented for Triton {version}, whose assembler may use other registers")
    assert f"\n\n{compiled['table']}\n\n" in text


@needs_gpu
def test_a_graph_replays_the_mask_of_new_weights() -> None:
    weight, mask = torch.ones(64, 96, device=DEVICE), torch.zeros(64, 96, device=DEVICE)
    write_mask(mask, weight, masks.l2, 0.5, (1, 4), 2)  # compiles
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        write_mask(mask, weight, masks.l2, 0.5, (1, 4), 2)
    fresh = weights((64, 96), "ties", torch.float32)
    weight.copy_(fresh)
    graph.replay()
    keep = oracles.mask(fresh, 0.5, (1, 4), 2)
    np.testing.assert_array_equal(mask.bool().cpu().numpy(), keep)


@needs_gpu
def test_a_gpu_uses_triton(launches: list[str]) -> None:
    weight = torch.rand(8, 8, device=DEVICE)
    write_mask(torch.empty_like(weight), weight, masks.l2, 1.0, (1, 4), 2)
    assert kernels.is_interpreted() is False
    assert launches == ["write_blocks"]
