"""The grid: mask cases, the named grids they form, and their selection."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import product

Shape = tuple[int, int]


@dataclass(frozen=True, order=True)
class MaskCase:
    """One point of the grid; its name is stable and gives every field but the tags.

    Attributes:
        shape: (rows, cols) of the weight.
        level: fraction of blocks that get zeros.
        block: (rows, cols) of a block.
        zeros: zeros inside a selected block; None: all of it.
        tags: the grids that the case belongs to.
    """

    shape: Shape
    level: float
    block: Shape
    zeros: int | None
    tags: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """For example ``shape=128x128,level=0.3,block=1x4,zeros=2``, or ``zeros=all``."""
        return ",".join(f"{field}={_text(getattr(self, field))}" for field in FIELDS)

    def __str__(self) -> str:
        return self.name


FIELDS = [field.name for field in fields(MaskCase) if field.name != "tags"]


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    return "all" if value is None else f"{value:g}"


def _cross(
    tags: Iterable[str],
    shapes: Sequence[Shape],
    levels: Sequence[float],
    blocks: Sequence[Shape],
    zeros: Sequence[int | None],
) -> list[MaskCase]:
    return [MaskCase(*point, frozenset(tags)) for point in product(shapes, levels, blocks, zeros)]


# Short and long are the grid of PyTorch's own operator benchmark for this sparsifier.
SHORT = [
    MaskCase((32, 16), 0.3, (4, 1), 2, frozenset({"short", "seed"})),
    MaskCase((32, 16), 0.6, (1, 4), 4, frozenset({"short", "seed"})),
    MaskCase((17, 23), 0.9, (1, 1), 1, frozenset({"short", "seed"})),
]
LONG = _cross(
    {"long", "seed"},
    shapes=[(128, 128), (255, 324)],
    levels=[0.0, 1.0, 0.3, 0.6, 0.9, 0.99],
    blocks=[(1, 4), (1, 8), (4, 1), (8, 1)],
    zeros=[0, 1, 2, 3, 4, None],
)
LLM_SHAPES = [(4096, 4096), (11008, 4096), (4096, 14336)]
LLM = _cross(
    {"llm"}, LLM_SHAPES, levels=[0.5, 0.9], blocks=[(1, 4), (4, 1), (16, 16)], zeros=[None]
)
NM = _cross({"llm", "nm", "2:4"}, LLM_SHAPES, [1.0], [(1, 4)], [2]) + _cross(
    {"llm", "nm", "4:8"}, LLM_SHAPES, [1.0], [(1, 8)], [4]
)
ALL = [*SHORT, *LONG, *LLM, *NM]


def by_name(name: str) -> MaskCase:
    """Return the case of that name; KeyError if the grid has none."""
    return _BY_NAME[name]


def select(
    cases: Iterable[MaskCase] = ALL, tag: str | None = None, **values: object
) -> list[MaskCase]:
    """Return the cases with the given tag and field values, in grid order.

    >>> [case.name for case in select(tag="nm", shape=(4096, 4096))]
    ['shape=4096x4096,level=1,block=1x4,zeros=2', 'shape=4096x4096,level=1,block=1x8,zeros=4']

    Raises:
        ValueError: a field that cases do not have, or a tag that none of them has.
    """
    cases = list(cases)
    unknown = set(values) - set(FIELDS)
    if unknown:
        raise ValueError(
            f"select: fields are {', '.join(FIELDS)}, got {', '.join(sorted(unknown))}"
        )
    tags = frozenset().union(*(case.tags for case in cases))
    if tag is not None and tag not in tags:
        raise ValueError(f"select: tags are {', '.join(sorted(tags))}, got tag={tag!r}")
    return [
        case
        for case in cases
        if (tag is None or tag in case.tags)
        and all(getattr(case, field) == value for field, value in values.items())
    ]


_BY_NAME = {case.name: case for case in ALL}
assert len(_BY_NAME) == len(ALL), "two cases share a name"
