"""A layer's inputs: their features, gathering them over time, and masking them."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Aggregate = Callable[[Tensor, Tensor], Tensor]
Feature = int | Sequence[int]
Mask = Tensor | list[Tensor]


def selected(x: Tensor, features: Sequence[Feature] | None, dim: int | None) -> Mask:
    """``x`` itself without ``features``, else a copy of each feature along ``dim``."""
    if features is None or dim is None:
        return x
    return [x.index_select(dim, index) for index in _indices(features, x)]


def aggregated(former: Mask | None, new: Mask, aggregate: Aggregate) -> Mask:
    """``former`` and ``new`` as one; the first input as it is, in memory of its own.

    A batch of another size (the last of an epoch) is aggregated row by row where ``aggregate``
    keeps the number of rows, as a sum or a maximum does, and rows without a partner stay. Where
    it does not, as a concatenation, it gets both as they are.
    """
    if former is None:
        return [part.clone() for part in new] if isinstance(new, list) else new.clone()
    if isinstance(new, list):
        return [_together(a, b, aggregate) for a, b in zip(former, new, strict=True)]
    assert isinstance(former, Tensor)
    return _together(former, new, aggregate)


def all_kept(new: Mask, dim: int | None) -> Mask:
    """A mask of ones that fits inputs like ``new`` in batches of any size."""
    if isinstance(new, list):
        return [torch.ones_like(part[:1] if dim != 0 else part) for part in new]
    return torch.ones_like(new[:1] if new.ndim > 1 else new)


def masked(x: Tensor, mask: Mask, features: Sequence[Feature] | None, dim: int | None) -> Tensor:
    """A copy of ``x`` that is 0 wherever the mask is; its dtype, and the rest of it, stay."""
    if features is None or dim is None:
        assert isinstance(mask, Tensor)
        return _zeroed(x, mask)
    for index, part in zip(_indices(features, x), mask, strict=True):
        x = x.index_copy(dim, index, _zeroed(x.index_select(dim, index), part))
    return x


def _zeroed(x: Tensor, mask: Tensor) -> Tensor:
    return x.masked_fill(mask.to(x.device) == 0, 0)


def _indices(features: Sequence[Feature], x: Tensor) -> list[Tensor]:
    return [torch.as_tensor(feature, device=x.device).reshape(-1) for feature in features]


def _together(former: Tensor, new: Tensor, aggregate: Aggregate) -> Tensor:
    rows = min(len(former), len(new))
    if former.shape == new.shape or former.shape[1:] != new.shape[1:]:
        return aggregate(former, new)
    shared = aggregate(former[:rows].clone(), new[:rows])
    if shared.shape != new[:rows].shape:
        return aggregate(former, new)
    longer = former if len(former) > rows else new
    return torch.cat([shared, longer[rows:]])
