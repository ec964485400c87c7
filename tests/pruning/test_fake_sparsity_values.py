"""FakeSparsity's forward and backward select values, infinite and NaN ones included."""

import pytest
import torch

from sparsebench.pruning import FakeSparsity

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize("mask_dtype", [*DTYPES, torch.bool])
@pytest.mark.parametrize("dtype", DTYPES)
def test_pruned_entries_are_zero_and_the_others_unchanged(
    dtype: torch.dtype, mask_dtype: torch.dtype
) -> None:
    x = torch.tensor([[INF, NAN, -INF, 3.0], [INF, NAN, -2.0, -0.0]], dtype=dtype)
    mask = torch.tensor([[0, 0, 0, 0], [1, 1, 1, 1]]).to(mask_dtype)
    masked = FakeSparsity(mask)(x)
    assert masked.dtype == dtype
    assert masked[0].tolist() == [0.0] * 4
    torch.testing.assert_close(masked[1], x[1], equal_nan=True, rtol=0, atol=0)


@pytest.mark.parametrize("mask_dtype", [torch.float64, torch.bool])
def test_gradients_pass_where_the_mask_keeps(mask_dtype: torch.dtype) -> None:
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    masking = FakeSparsity((torch.arange(12).view(3, 4) % 3 > 0).to(mask_dtype))
    assert torch.autograd.gradcheck(masking, (x,))
    assert torch.autograd.gradgradcheck(lambda w: masking(w) ** 2, (x,))
