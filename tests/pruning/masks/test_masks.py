"""Masks against the slow oracle: every path and dtype, arbitrary values."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from sparsebench.errors import ConfigError
from sparsebench.pruning import WeightNormSparsifier, kernels, masks
from sparsebench.pruning.kernels import cpu, loops, only, write_mask
from sparsebench.pruning.masks import reference
from tests import oracles

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
NORMS: dict[str, tuple[masks.Norm, Callable[[Any], Any]]] = {
    "l1": (masks.l1, oracles.l1),
    "l2": (masks.l2, oracles.l2),
    "signed": (lambda w: -w, lambda w: -w),
}
# Few distinct values give ties; the special ones are edges of arithmetic and order.
TIES = st.sampled_from([-2.0, -1.0, -0.0, 0.0, 1.0, 2.0])
SPECIAL = st.sampled_from(
    [float("inf"), -float("inf"), float("nan"), -0.0, 0.0, 1e-45, -1e-40, 1e-38, 6e-8, 3e38, 1e30]
)
VALUES = st.one_of(TIES, SPECIAL, st.floats(width=32))
SIDE = st.integers(1, 9)


@st.composite
def problems(draw: st.DrawFn) -> tuple[Tensor, float, tuple[int, int], int | None]:
    rows, cols = draw(st.integers(0, 12)), draw(st.integers(0, 12))
    block = draw(SIDE), draw(SIDE)
    zeros = draw(st.one_of(st.none(), st.integers(0, block[0] * block[1])))
    level = draw(st.one_of(st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0]), st.floats(0, 1)))
    kind = draw(st.sampled_from([TIES, SPECIAL, VALUES]))
    values = draw(st.lists(kind, min_size=rows * cols, max_size=rows * cols))
    weight = torch.tensor(values, dtype=torch.float64).reshape(rows, cols)
    return weight.to(draw(st.sampled_from(DTYPES))), level, block, zeros


def strided(weight: Tensor, layout: str) -> Tensor:
    """Return the same values with other strides."""
    if layout == "transposed":
        return weight.t().contiguous().t()
    if layout == "sliced":
        spread = torch.full((weight.shape[0], 2 * weight.shape[1]), 7, dtype=weight.dtype)
        spread[:, ::2] = weight
        return spread[:, ::2]
    return weight


def written(weight: Tensor, norm: masks.Norm, *pattern: Any) -> Any:
    mask = torch.full_like(weight, 3)
    write_mask(mask, weight, norm, *pattern)
    assert set(mask.unique().tolist()) <= {0.0, 1.0}
    return mask.bool().numpy()


@settings(deadline=None, max_examples=100)
@given(problems(), st.sampled_from(sorted(NORMS)))
def test_sparsity_mask_equals_the_oracle(
    problem: tuple[Tensor, float, tuple[int, int], int | None], norm: str
) -> None:
    weight, *pattern = problem
    fast, slow = NORMS[norm]
    keep = masks.sparsity_mask(masks.element_scores(weight, fast), *pattern)
    np.testing.assert_array_equal(keep.numpy(), oracles.mask(weight, *pattern, slow))


@settings(deadline=None, max_examples=300)
@given(
    problems(),
    st.sampled_from(sorted(NORMS)),
    st.sampled_from(["contiguous", "transposed", "sliced"]),
    st.sampled_from(kernels.CPU_PATHS),
)
def test_every_path_equals_the_oracle(
    problem: tuple[Tensor, float, tuple[int, int], int | None], norm: str, layout: str, path: str
) -> None:
    weight, *pattern = problem
    fast, slow = NORMS[norm]
    with only(path):
        keep = written(strided(weight, layout), fast, *pattern)
    np.testing.assert_array_equal(keep, oracles.mask(weight, *pattern, slow))


@settings(deadline=None, max_examples=200)
@given(
    problems(),
    st.sampled_from(sorted(NORMS)),
    st.integers(1, 3),
    st.sampled_from([0, 1 << 16]),
    st.sampled_from([4, 64]),
)
def test_spans_and_samples_change_no_bit(
    problem: tuple[Tensor, float, tuple[int, int], int | None],
    norm: str,
    threads: int,
    unsampled: int,
    sample: int,
) -> None:
    weight, *pattern = problem
    fast, slow = NORMS[norm]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cpu, "SINGLE_CALL_ELEMENTS", 0)
        patch.setattr(cpu, "UNSAMPLED_BLOCKS", unsampled)
        patch.setattr(cpu, "SAMPLED_BLOCKS", sample)
        patch.setattr(torch, "get_num_threads", lambda: threads)
        keep = written(weight, fast, *pattern)
    np.testing.assert_array_equal(keep, oracles.mask(weight, *pattern, slow))


class HostTransferGuard(TorchDispatchMode):
    """Fails on every operator that copies between device and host, in either direction.

    A CUDA graph cannot capture such an operator.
    """

    FORBIDDEN = frozenset(
        [
            "_local_scalar_dense",
            "nonzero",
            "masked_select",
            "equal",
            "index",
            "lift_fresh",
            "unique_dim",
        ]
    )

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        assert func.overloadpacket.__name__ not in self.FORBIDDEN
        return func(*args, **(kwargs or {}))


@settings(deadline=None, max_examples=100)
@given(problems(), st.sampled_from(sorted(NORMS)))
def test_the_device_algorithm_never_transfers_to_the_host(
    problem: tuple[Tensor, float, tuple[int, int], int | None], norm: str
) -> None:
    weight, *pattern = problem
    fast, slow = NORMS[norm]
    mask = torch.full_like(weight, 3)
    with pytest.MonkeyPatch.context() as patch, only("torch"):
        patch.setattr(reference, "kth_smallest", reference.bisected_kth)
        with HostTransferGuard():
            write_mask(mask, weight, fast, *pattern)
    np.testing.assert_array_equal(mask.bool().numpy(), oracles.mask(weight, *pattern, slow))


@pytest.mark.parametrize("pattern", [(0.5, (1, 4), None), (1.0, (1, 4), 2), (0.9, (8, 8), 40)])
def test_a_step_never_transfers_to_the_host(
    pattern: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(32, 20), torch.nn.Linear(20, 9))
    sparsifier = WeightNormSparsifier(*pattern)
    sparsifier.prepare(model, None)
    monkeypatch.setattr(reference, "kth_smallest", reference.bisected_kth)
    with only("torch"), HostTransferGuard():
        sparsifier.step()
    for layer in model:
        keep = oracles.mask(layer.parametrizations.weight.original, *pattern)
        np.testing.assert_array_equal(layer.parametrizations.weight[0].mask.bool().numpy(), keep)


@pytest.mark.parametrize("read", [lambda x: x.sum().item(), lambda x: x[x > 0], torch.nonzero])
def test_a_host_transfer_is_detected(read: Callable[[Tensor], object]) -> None:
    with HostTransferGuard(), pytest.raises(AssertionError):
        read(torch.ones(3))


def random_weight(rows: int, cols: int, dtype: torch.dtype, seed: int = 0) -> Tensor:
    return torch.randn(rows, cols, generator=torch.Generator().manual_seed(seed)).to(dtype)


LARGE = [
    ((1, 4), None, 0.5),
    ((4, 1), None, 0.9),
    ((16, 16), None, 0.5),
    ((1, 1), 1, 0.3),
    ((1, 4), 2, 1.0),
    ((1, 8), 4, 1.0),
    ((8, 1), 3, 0.6),
    ((3, 5), 7, 0.5),
    ((8, 8), 9, 0.5),
]


@pytest.mark.parametrize("kind", ["random", "ones", "levels", "special"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("block", "zeros", "level"), LARGE)
def test_all_paths_agree_on_larger_tensors(
    block: tuple[int, int], zeros: int | None, level: float, dtype: torch.dtype, kind: str
) -> None:
    weight = random_weight(515, 389, dtype)
    if kind == "ones":
        weight.fill_(1)
    elif kind == "levels":  # quantized: most keys in the bracket are equal
        weight = (weight * 2).round()
    elif kind == "special":
        weight[::7, ::5] = float("nan")
        weight[::11] = 0
        weight[5] = float("inf")
    scores = masks.element_scores(weight)
    expected = masks.sparsity_mask(scores, level, block, zeros).numpy()
    for path in kernels.CPU_PATHS:
        with only(path):
            np.testing.assert_array_equal(written(weight, masks.l2, level, block, zeros), expected)


@pytest.mark.parametrize(("block", "zeros", "level"), LARGE[:3] + LARGE[4:6])
def test_the_two_oracles_agree(block: tuple[int, int], zeros: int | None, level: float) -> None:
    weight = random_weight(32, 48, torch.float32)
    weight[:, ::3] = 1
    problem = weight, level, block, zeros
    np.testing.assert_array_equal(oracles.mask(*problem), oracles.mask_by_sorting(*problem))


def rows_that_detect_fusing() -> Tensor:
    """Return rows of two blocks (1, 2) that a fused multiply-add would rank the other way."""
    generator = np.random.default_rng(0)
    a, b, c = generator.random((3, 20_000), dtype=np.float32)
    d = np.sqrt(np.maximum(a * a + b * b - c * c, 0))
    blocks = np.stack([a, b, c, d], axis=1).reshape(-1, 2, 2)
    squares = blocks * blocks
    rounded = squares.sum(axis=2)
    exact = blocks.astype(np.float64) ** 2
    fused = [(exact[..., i] + squares[..., 1 - i]).astype(np.float32) for i in (0, 1)]
    differs = rounded[:, 0] <= rounded[:, 1]
    for scores in fused:  # the instruction leaves either product unrounded
        differs &= scores[:, 0] > scores[:, 1]
    return torch.from_numpy(blocks[differs].reshape(-1, 4)[:24])


def test_no_fused_multiply_add() -> None:
    rows = rows_that_detect_fusing()
    assert len(rows) == 24
    for row in rows:
        wide = row.repeat(8, 1)
        tall = wide.t().contiguous()
        for weight, block in ((wide, (1, 2)), (tall, (2, 1))):
            for path in kernels.CPU_PATHS:
                with only(path):
                    keep = written(weight, masks.l2, 0.5, block, None)
                np.testing.assert_array_equal(keep, oracles.mask(weight, 0.5, block, None))


def test_an_unknown_path_suggests_a_similar_one() -> None:
    with pytest.raises(ConfigError, match="unknown path 'tritn'; near: triton"), only("tritn"):
        pass


@pytest.mark.filterwarnings("ignore:Dynamo")  # torch reports its graph breaks
def test_torch_compile_gives_the_same_mask() -> None:
    weight = random_weight(64, 48, torch.float32)
    mask = torch.zeros_like(weight)
    torch.compile(write_mask, backend="aot_eager")(mask, weight, masks.l2, 0.5, (1, 4), 2)
    np.testing.assert_array_equal(mask.bool().numpy(), oracles.mask(weight, 0.5, (1, 4), 2))


@pytest.mark.parametrize("dtype", [torch.bool, torch.int8, torch.float64])
def test_a_mask_of_another_dtype_holds_ones_and_zeros(dtype: torch.dtype) -> None:
    weight = random_weight(6, 8, torch.float32)
    mask = torch.zeros(6, 8, dtype=dtype)
    write_mask(mask, weight, masks.l2, 0.5, (1, 4), 2)
    np.testing.assert_array_equal(mask.bool().numpy(), oracles.mask(weight, 0.5, (1, 4), 2))


def test_a_strided_mask_is_written_through() -> None:
    weight = random_weight(8, 6, torch.float32)
    mask = torch.zeros(6, 8).t()
    write_mask(mask, weight, masks.l2, 0.5, (1, 2), None)
    np.testing.assert_array_equal(mask.bool().numpy(), oracles.mask(weight, 0.5, (1, 2), None))


@pytest.mark.parametrize("path", kernels.CPU_PATHS)
def test_autograd_detects_the_write(path: str) -> None:
    x = torch.ones(4, 4, requires_grad=True)
    mask = torch.ones(4, 4)
    product = x * mask
    with only(path):
        write_mask(mask, torch.rand(4, 4), masks.l2, 0.5, (1, 4), None)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.sum().backward()


def test_the_weight_is_not_changed() -> None:
    weight = random_weight(255, 324, torch.float32)
    before = weight.clone()
    written(weight, masks.l2, 0.6, (1, 8), 3)
    assert torch.equal(weight, before)


def test_an_interrupted_mask_is_all_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    mask = torch.zeros(64, 64)
    monkeypatch.setattr(cpu, "SINGLE_CALL_ELEMENTS", 0)
    monkeypatch.setattr(loops, "write", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_mask(mask, random_weight(64, 64, torch.float32), masks.l2, 0.5, (1, 4), None)
    assert bool((mask == 1).all())


@pytest.mark.parametrize("norm", [lambda w: w.sum(), lambda w: w > 0])
def test_a_wrong_norm_is_refused_and_the_mask_unchanged(norm: masks.Norm) -> None:
    mask = torch.full((4, 4), 5.0)
    with pytest.raises(ConfigError, match="must return floats of the weight's shape"):
        write_mask(mask, torch.rand(4, 4), norm, 0.5, (1, 4), None)
    assert bool((mask == 5).all())


def test_a_pattern_out_of_range_is_refused() -> None:
    mask = torch.ones(4, 4)
    with pytest.raises(ConfigError, match=r"zeros_per_block: must be an integer in \[0, 4\]"):
        write_mask(mask, torch.rand(4, 4), masks.l2, 0.5, (1, 4), 5)
