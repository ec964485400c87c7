"""The grid, its weights, its workloads and their digests."""

from hashlib import sha256

import numpy as np
import pytest
import torch

from benchmarks.workloads import digest, grid, weights, workload
from benchmarks.workloads.memory import temporary_memory

SEED_GRID = [*grid.SHORT, *grid.LONG]


def test_the_seed_grid_has_291_cases_and_the_llm_grid_24() -> None:
    assert (len(grid.SHORT), len(grid.LONG)) == (3, 288)
    assert (len(grid.LLM), len(grid.NM)) == (18, 6)


def test_names_are_stable_and_identify_their_case() -> None:
    assert grid.SHORT[0].name == "shape=32x16,level=0.3,block=4x1,zeros=2"
    assert grid.LONG[5].name == "shape=128x128,level=0,block=1x4,zeros=all"
    assert [grid.by_name(case.name) for case in grid.ALL] == grid.ALL


def test_cases_are_selected_by_tag_and_field() -> None:
    chosen = grid.select(tag="long", shape=(255, 324), level=0.9, block=(8, 1))
    assert [case.zeros for case in chosen] == [0, 1, 2, 3, 4, None]
    assert grid.select(tag="2:4") == [case for case in grid.NM if case.block == (1, 4)]


def test_an_unknown_tag_or_field_lists_the_valid_ones() -> None:
    with pytest.raises(ValueError, match=r"tags are 2:4, 4:8, llm, long, nm, seed, short, got"):
        grid.select(tag="lnog")
    with pytest.raises(ValueError, match="fields are shape, level, block, zeros, got size"):
        grid.select(size=3)


def test_random_weights_are_the_documented_numbers() -> None:
    actual = weights.weights((4, 5), "random")
    raw = [int(value) for value in np.random.PCG64(weights.SEED).random_raw(20)]
    expected = [((value >> 40) - 2**23) * 2.0**-23 for value in raw]
    assert actual.flatten().tolist() == expected
    assert sha256(weights.weights((255, 324), "random").numpy().tobytes()).hexdigest() == (
        "26c3503017348a860f7921195a464859e1b621a2623fadddda336168a1b282e0"
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes_round_the_same_weights(dtype: torch.dtype) -> None:
    exact = weights.weights((64, 64), "random")
    actual = weights.weights((64, 64), "random", dtype)
    assert actual.dtype == dtype
    assert torch.equal(actual, exact.to(dtype))


def test_an_unknown_kind_of_weights_is_refused() -> None:
    with pytest.raises(ValueError, match="kind must be one of random, ones, got 'randn'"):
        weights.weights((2, 2), "randn")


def test_digest_depends_on_shape_and_bits_only() -> None:
    mask = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    expected = sha256(b"\2" + b"\0" * 7 + b"\3" + b"\0" * 7 + bytes([0b10101100])).hexdigest()
    assert digest.digest(mask) == expected
    assert digest.digest(mask.bool().T.contiguous().T) == expected
    assert digest.digest(mask.view(3, 2)) != expected
    assert digest.tracked(mask) == int(expected[:12], 16)
    assert float(digest.tracked(mask)) == digest.tracked(mask)


@pytest.mark.parametrize("case", SEED_GRID, ids=str)
def test_seed_masks_equal_upstream_where_that_runs(case: grid.MaskCase) -> None:
    built = workload.build(case)
    built.step()
    assert built.mask.shape == case.shape
    upstream = upstream_mask(case, "random")
    assert (upstream is not None) == workload.runs_upstream(case)
    if upstream is not None:
        assert digest.digest(built.mask) == digest.digest(upstream)


@pytest.mark.parametrize("case", [c for c in SEED_GRID if workload.runs_upstream(c)], ids=str)
def test_on_ones_as_many_blocks_are_pruned_as_upstream(case: grid.MaskCase) -> None:
    """All scores are equal, so upstream may prune other blocks, but as many."""
    built = workload.build(case, kind="ones")
    built.step()
    upstream = upstream_mask(case, "ones")
    assert upstream is not None
    assert pruned_blocks(built.mask, case) == pruned_blocks(upstream, case)


def test_upstream_runs_236_of_the_291_cases() -> None:
    assert sum(map(workload.runs_upstream, SEED_GRID)) == 236


@pytest.mark.parametrize("kind", weights.KINDS)
def test_masks_do_not_depend_on_the_number_of_threads(kind: str) -> None:
    case = grid.MaskCase((1024, 1536), 0.5, (1, 4), None)
    digests = set()
    previous = torch.get_num_threads()
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            built = workload.build(case, kind=kind)
            built.step()
            digests.add(digest.digest(built.mask))
    finally:
        torch.set_num_threads(previous)
    assert len(digests) == 1


def test_measured_sparsity_counts_elements() -> None:
    built = workload.build(grid.MaskCase((8, 8), 1.0, (1, 4), 1))
    built.step()
    assert built.measured_sparsity() == 0.25


def test_an_unknown_implementation_or_dtype_is_refused() -> None:
    with pytest.raises(ValueError, match=r"one of sparsebench, torch.ao, got 'torchao'"):
        workload.build(grid.SHORT[0], implementation="torchao")
    with pytest.raises(ValueError, match=r"dtype must be one of .*, got 'int8'"):
        workload.build(grid.SHORT[0], dtype="int8")
    for device in ("mps", "xpu"):
        with pytest.raises(ValueError, match=f"must be cpu or cuda, got '{device}'"):
            workload.build(grid.SHORT[0], device)


def test_the_device_named_cuda_of_rocm_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "hip", "6.4.43484")
    with pytest.raises(ValueError, match="NVIDIA's cuda, got 'cuda' of ROCm"):
        workload.build(grid.SHORT[0], "cuda")


def test_temporary_memory_is_the_sum_of_both_allocators_peaks() -> None:
    retained = []

    def call() -> None:
        large = torch.ones(1000, 1000)
        retained[:] = [large.sum() + torch.ones(500).sum()]
        np.ones(100_000).sum()

    assert temporary_memory(call, "cpu") == pytest.approx(4_000_000 + 800_000, rel=0.02)


def upstream_mask(case: grid.MaskCase, kind: str) -> torch.Tensor | None:
    """Return torch.ao's mask; None where its step or forward raises or the shape is wrong."""
    upstream = workload.build(case, kind=kind, implementation="torch.ao")
    try:
        upstream.step()
        _ = upstream.model.weight
    except (RuntimeError, ValueError, AssertionError):
        return None
    return upstream.mask if upstream.mask.shape == case.shape else None


def pruned_blocks(mask: torch.Tensor, case: grid.MaskCase) -> int:
    zeros = (mask == 0).float()[None]
    touched = torch.nn.functional.max_pool2d(zeros, case.block, ceil_mode=True)
    return int(touched.sum())
