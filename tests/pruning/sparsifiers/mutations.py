"""Random changes of a model, its masks and their memory between steps; run as a process of its own.

``python -m tests.pruning.sparsifiers.mutations SEED COUNT`` prints how the steps ended. After each
change a step either is refused in one line and leaves all masks as they were, or gives the mask of
the reference. Weights and masks lie between pages that no access survives.
"""

import ctypes
import mmap
import random
import sys
from collections import Counter
from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from sparsebench.errors import ConfigError
from sparsebench.pruning import WeightNormSparsifier, masks

SHAPES = [(8, 12), (5, 7), (1, 1), (600, 256)]
DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
PROT_NONE = 0
_maps: list[mmap.mmap] = []  # kept as long as the tensors in them


def guarded(values: Tensor) -> Tensor:
    """Return a copy whose last byte is the last one before a page without access."""
    size, page = values.numel() * values.element_size(), mmap.PAGESIZE
    pages = -(-size // page)
    memory = mmap.mmap(-1, (pages + 2) * page)
    _maps.append(memory)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for guard in (start, start + (pages + 1) * page):
        assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(guard), page, PROT_NONE) == 0
    offset = (pages + 1) * page - size
    copy = torch.frombuffer(memory, dtype=values.dtype, count=values.numel(), offset=offset)
    return copy.view(values.shape).copy_(values)


class Model:
    """Two prepared layers; changes are made to the second, so that the first shows all or none."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        shape, dtype = chance.choice(SHAPES), chance.choice(DTYPES)
        layers = [nn.Linear(shape[1], shape[0], bias=False, dtype=dtype) for _ in range(2)]
        self.model = nn.Sequential(*layers)
        pattern = chance.choice([(0.5, (1, 4), None), (0.3, (1, 1), None), (1.0, (1, 4), 2)])
        self.pattern: Any = pattern if shape != (1, 1) else (0.5, (1, 1), None)
        self.sparsifier = WeightNormSparsifier(*self.pattern)
        self.sparsifier.prepare(self.model, None)
        for layer in layers:
            lists: Any = layer.parametrizations
            lists.weight.original.data = guarded(lists.weight.original.data)
            lists.weight[0].mask = guarded(lists.weight[0].mask)
        self.step()

    @property
    def second(self) -> Any:
        lists: Any = self.model[1].parametrizations
        return lists.weight

    def step(self) -> str:
        """Take a step; return how it ended, after checking that."""
        masks_before = [self.mask(index) for index in range(2)]
        copies = [copied(mask) for mask in masks_before]
        try:
            self.sparsifier.step()
        except ConfigError as error:
            message = str(error)
        else:
            message = ""
        if message:
            assert "\n" not in message, message
            for index, before in enumerate(copies):
                assert before is None or same(self.mask(index), before), (index, message)
            return "refused"
        for index in range(2):
            lists: Any = self.model[index].parametrizations
            weight = lists.weight.original.detach()
            scores = masks.element_scores(weight.contiguous(), masks.l2)
            expected = masks.sparsity_mask(scores, *self.pattern)
            assert torch.equal(self.mask(index) != 0, expected != 0), index
            assert set(self.mask(index).unique().tolist()) <= {0, 1}
        return "stepped"

    def mask(self, index: int) -> Tensor:
        lists: Any = self.model[index].parametrizations
        mask: Tensor = lists.weight[0].mask
        return mask


def copied(mask: Tensor) -> Tensor | None:
    """Return a copy; None of a mask whose memory is gone."""
    needed = (mask.storage_offset() + prod(mask.shape)) * mask.element_size()
    return None if mask.is_meta or mask.untyped_storage().nbytes() < needed else mask.clone()


def same(mask: Tensor, before: Tensor) -> bool:
    return mask.shape == before.shape and torch.equal(mask, before)


def other_shape(chance: random.Random, shape: torch.Size) -> tuple[int, ...]:
    rows, cols = shape
    choices = [(rows + 1, cols), (rows, cols + 3), (cols, rows), (1, 1), (0, cols), (rows * cols,)]
    return chance.choice(choices)


def mask_of_another_shape(own: Model) -> None:
    mask = own.second[0].mask
    other = torch.ones(other_shape(own.chance, mask.shape), dtype=mask.dtype)
    own.second[0].mask = guarded(other) if other.numel() else other


def mask_data_of_another_shape(own: Model) -> None:
    mask = own.second[0].mask
    mask.data = torch.ones(other_shape(own.chance, mask.shape), dtype=mask.dtype)


def weight_of_another_shape(own: Model) -> None:
    original = own.second.original
    other = torch.rand(other_shape(own.chance, original.shape)).to(original.dtype)
    original.data = guarded(other) if other.numel() else other


def freed_mask(own: Model) -> None:
    own.second[0].mask = own.second[0].mask.clone()
    own.second[0].mask.untyped_storage().resize_(0)


def freed_weight(own: Model) -> None:
    own.second.original.data = own.second.original.data.clone()
    own.second.original.untyped_storage().resize_(0)


def halved_weight(own: Model) -> None:
    data = own.second.original.data.clone()
    data.untyped_storage().resize_(data.untyped_storage().nbytes() // 2)
    own.second.original.data = data


def mask_in_the_weight(own: Model) -> None:
    own.second[0].mask = own.second.original.data


def one_buffer_for_both(own: Model) -> None:
    weight = own.second.original.data
    flat = torch.empty(2 * weight.numel(), dtype=weight.dtype)
    flat[: weight.numel()] = weight.flatten()
    own.second.original.data = flat[: weight.numel()].view(weight.shape)
    own.second[0].mask = flat[weight.numel() :].view(weight.shape)


def expanded_mask(own: Model) -> None:
    mask = own.second[0].mask
    own.second[0].mask = torch.ones(1, mask.shape[-1], dtype=mask.dtype).expand(mask.shape)


def overlapping_mask(own: Model) -> None:
    mask = own.second[0].mask
    rows, cols = mask.shape
    own.second[0].mask = torch.ones(rows + cols, dtype=mask.dtype).as_strided((rows, cols), (1, 1))


def expanded_weight(own: Model) -> None:
    weight = own.second.original.data
    own.second.original.data = weight[:1].clone().expand(weight.shape)


def transposed(own: Model) -> None:
    for holder, name in ((own.second.original, "data"), (own.second[0], "mask")):
        if own.chance.random() < 0.7:
            tensor = getattr(holder, name)
            setattr(holder, name, tensor.t().contiguous().t())


def cast(own: Model) -> None:
    dtype = own.chance.choice([*DTYPES, torch.bool, torch.int64])
    if own.chance.random() < 0.5:
        own.second[0].mask = own.second[0].mask.to(dtype)
    elif dtype.is_floating_point:
        own.model[1].to(dtype)


def new_values(own: Model) -> None:
    own.second.original.data.normal_()


def to_meta(own: Model) -> None:
    own.second[0].mask = own.second[0].mask.to("meta")


CHANGES: list[Callable[[Model], None]] = [
    mask_of_another_shape,
    mask_data_of_another_shape,
    weight_of_another_shape,
    freed_mask,
    freed_weight,
    halved_weight,
    mask_in_the_weight,
    one_buffer_for_both,
    expanded_mask,
    overlapping_mask,
    expanded_weight,
    transposed,
    cast,
    new_values,
    to_meta,
]


def main(seed: int, count: int) -> None:
    """Print how often steps ended in which way, per change."""
    chance = random.Random(seed)
    torch.manual_seed(seed)
    seen: Counter[tuple[str, str]] = Counter()
    for _ in range(count):
        own = Model(chance)
        change = chance.choice(CHANGES)
        try:
            change(own)
        except (RuntimeError, TypeError, ValueError):
            continue  # torch itself refuses the change
        try:
            seen[change.__name__, own.step()] += 1
        except BaseException as error:
            error.add_note(f"after {change.__name__} of {own.second.original.shape}")
            raise
        if len(_maps) > 200:
            del own
            _maps.clear()
    for (name, end), number in sorted(seen.items()):
        print(name, end, number)  # noqa: T201  # the result of this process


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
