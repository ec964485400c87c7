import pandas as pd
import pytest

from sparsebench.analysis.comparison import compare
from sparsebench.analysis.copy_floor import floor_ratios
from sparsebench.analysis.crossing import Crossing, crossings, size_of
from sparsebench.analysis.sides import Sides
from tests.synthetic import history, slowed

SIDES = Sides("device", "cpu", "cuda")
SHAPES = ["32x32", "128x128", "2048x2048"]


def crossed(factors: dict[str, float], levels: list[str]) -> list[Crossing]:
    """The crossings where cuda takes ``factors`` times as long, by shape or level."""
    axes = {"shape": SHAPES, "level": levels, "device": ["cpu", "cuda"]}
    frame = history("b.time_it", commits=1, axes=axes, noise=0.01, samples=20)
    frame["value"], cuda = 1e-3, frame["device"] == "cuda"
    frame["samples"] = [1e-3 * sample / sorted(sample)[10] for sample in frame["samples"]]
    for value, factor in factors.items():
        here = (frame["shape"] == value) | (frame["level"].astype(str) == value)
        frame = slowed(frame, cuda & here, factor)
    (group,) = compare(frame, SIDES).groups
    return crossings(group, SIDES)


def test_the_side_that_wins_at_large_shapes_does_so_from_a_shape_on() -> None:
    planted = {"32x32": 5.0, "128x128": 0.5, "2048x2048": 0.1}
    assert crossed(planted, ["0.3", "0.9"]) == [
        Crossing("shape", "cuda", before="32x32", start="128x128", lines=2)
    ]


def test_levels_count_too_and_one_case_has_its_own_interval() -> None:
    found = crossed({"0.3": 0.2, "0.9": 3.0}, ["0.3", "0.9"])
    assert [one.text for one in found] == [
        "level: cpu wins from 0.9 on, not yet at 0.3 (3 cases each)"
    ]


def test_where_the_faster_side_does_not_change_there_is_no_crossing() -> None:
    assert crossed(dict.fromkeys(SHAPES, 2.0), ["0.3", "0.9"]) == []
    assert crossed({"32x32": 1.0, "128x128": 1.0, "2048x2048": 1.0}, ["0.3", "0.9"]) == []


@pytest.mark.parametrize(
    ("text", "size"),
    [("0.9", 0.9), ("128x128", 16384), ("3x4x5", 60), ("1e3", 1000), ("ones", None), ("", None)],
)
def test_sizes_order_values_and_words_have_none(text: str, size: float | None) -> None:
    assert size_of(text) == size


def test_the_distance_from_the_floor_is_over_the_copy_in_the_same_place() -> None:
    axes = {"shape": SHAPES, "device": ["cpu", "cuda"], "dtype": ["float32"]}
    copies = history("floor.Copy.time_copy", commits=1, axes=axes).assign(value=1e-6)
    steps = history("b.time_it", commits=1, axes=axes).assign(value=3e-6)
    steps.loc[steps["device"] == "cuda", "value"] = 7e-6
    found = floor_ratios(pd.concat([copies, steps], ignore_index=True), SIDES)
    assert [one.text for one in found] == [
        "b.time_it on cpu: 3x the time of copying the weight",
        "b.time_it on cuda: 7x the time of copying the weight",
    ]
    assert found[0].ratio.count == 3
    assert floor_ratios(steps, SIDES) == []
    assert floor_ratios(steps.iloc[:0], SIDES) == []
