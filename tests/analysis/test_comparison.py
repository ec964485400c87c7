import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from sparsebench.analysis.comparison import ComparedBenchmark, Comparison, compare
from sparsebench.analysis.sides import Sides
from sparsebench.report.figures import canvas
from sparsebench.report.figures.heat_map import (
    choose_axes,
    describe_heat_map,
    draw_heat_map,
    why_no_heat_map,
)
from sparsebench.report.text.comparison import comparison_text, footnotes, verdict
from sparsebench.stats import Estimate, Interval
from tests.synthetic import LONG, SHORT, failed, hashes, history, slowed

IMPLEMENTATIONS = Sides("implementation", "torch.ao", "sparsebench")
GOLDEN = Path(__file__).parents[1] / "report" / "text" / "golden"
NONE = (np.nan, np.nan)  # no interval


def side(benchmark: str, implementation: str, cases: list[str], **columns: object) -> pd.DataFrame:
    axes = {"case": cases, "device": ["cpu"], "implementation": [implementation]}
    return history(benchmark, commits=1, axes=axes).assign(**columns)


def joined(*frames: pd.DataFrame) -> pd.DataFrame:
    return pd.concat(frames, ignore_index=True)


def printed(comparison: Comparison, *, complete: bool = False) -> str:
    console = Console(file=io.StringIO(), width=80, color_system=None)
    console.print(comparison_text(comparison, complete=complete))
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"


def test_implementations_are_matched_across_modules_case_by_case() -> None:
    ours = side("step.Short.time_step", "sparsebench", SHORT)
    theirs = side("reference.Short.time_step", "torch.ao", SHORT[::-1])
    theirs = slowed(theirs, theirs["shape"].notna(), 4)
    (group,) = compare(joined(ours, theirs), IMPLEMENTATIONS).groups
    assert group.name == "Short.time_step"
    assert group.dims == ("shape", "level", "block", "zeros")
    assert list(group.pairs["block"]) == ["1x1", "4x1", "1x4"]
    by_block = [frame.set_index("block")["value"] for frame in (ours, theirs)]
    np.testing.assert_allclose(
        group.pairs.set_index("block")["ratio"].sort_index(),
        (by_block[0] / by_block[1]).sort_index(),
    )
    inside = (group.pairs["low"] < group.pairs["ratio"]) & (
        group.pairs["ratio"] < group.pairs["high"]
    )
    assert inside.all()


def test_both_implementations_in_one_benchmark_are_matched_too() -> None:
    axes = {"device": ["cpu"], "implementation": ["sparsebench", "torch.ao"]}
    comparison = compare(history("life.Cycle.time_prepare", commits=1, axes=axes), IMPLEMENTATIONS)
    assert [(group.name, len(group.pairs)) for group in comparison.groups] == [
        ("life.Cycle.time_prepare", 1)
    ]


def test_foreign_benchmarks_of_one_method_name_are_never_mixed() -> None:
    axes = {"n": ["1"], "device": ["cpu"]}
    cpu = history("a.Foo.time_x", commits=1, axes=axes)
    cuda = history("b.Foo.time_x", commits=1, axes={"n": ["1"], "device": ["cuda"]})
    comparison = compare(joined(cpu, cuda), Sides("device", "cpu", "cuda"))
    assert comparison.groups == ()
    assert comparison.alone == {
        "cpu": ["a.Foo.time_x: n=1, device=cpu"],
        "cuda": ["b.Foo.time_x: n=1, device=cuda"],
    }


def test_the_partner_on_the_same_machine_is_preferred() -> None:
    axes = {"n": ["1"], "device": ["cpu", "cuda"]}
    frame = history("b.time_it", commits=1, axes=axes, machines=["one", "two"], noise=0)
    frame["value"] = [1.0, 2.0, 10.0, 30.0]
    frame["samples"] = None
    comparison = compare(frame, Sides("device", "cpu", "cuda"))
    (group,) = comparison.groups
    assert list(group.pairs["ratio"]) == [2, 3]
    assert comparison.differences == ()


def test_devices_of_different_machines_are_compared_and_it_is_reported() -> None:
    cpu = history("b.time_it", commits=1, axes={"n": ["1"], "device": ["cpu"]}, machines=["one"])
    cuda = history("b.time_it", commits=1, axes={"n": ["1"], "device": ["cuda"]}, machines=["two"])
    comparison = compare(joined(cpu, cuda.assign(torch="2.14.0")), Sides("device", "cpu", "cuda"))
    assert len(comparison.groups) == 1
    assert comparison.differences == (
        "1 pair with another machine: one against two",
        "1 pair with another torch: 2.13.0 against 2.14.0",
    )


def test_an_ambiguous_partner_is_none() -> None:
    cpu = history("b.time_it", commits=1, axes={"n": ["1"], "device": ["cpu"]}, machines=["one"])
    cuda = history(
        "b.time_it", commits=1, axes={"n": ["1"], "device": ["cuda"]}, machines=["x", "y"]
    )
    comparison = compare(joined(cpu, cuda), Sides("device", "cpu", "cuda"))
    assert comparison.groups == ()
    assert {name: len(lines) for name, lines in comparison.alone.items()} == {"cpu": 1, "cuda": 2}


def test_nothing_is_dropped_in_silence() -> None:
    ours = side("step.Short.time_step", "sparsebench", SHORT)
    theirs = side("reference.Short.time_step", "torch.ao", SHORT[:2])
    theirs = failed(theirs, theirs["block"] == "4x1")
    comparison = compare(joined(ours, theirs), IMPLEMENTATIONS)
    assert footnotes(comparison) == [
        "1 case only on sparsebench:",
        "  step.Short.time_step: shape=17x23, level=0.9, block=1x1, zeros=1, device=cpu, "
        "implementation=sparsebench",
        "1 case without a value on torch.ao:",
        "  reference.Short.time_step: shape=32x16, level=0.3, block=4x1, zeros=2, device=cpu, "
        "implementation=torch.ao",
    ]
    assert len(comparison.groups[0].pairs) == 1


def group_of(
    ends: list[tuple[float, float]], mean: Estimate, unit: str = "seconds"
) -> ComparedBenchmark:
    """A group with these intervals, each about its middle."""
    pairs = pd.DataFrame(ends, columns=["low", "high"])
    pairs["ratio"] = pairs.mean(axis=1).fillna(mean.value)
    return ComparedBenchmark("b.time_it", unit, "lower", (), {}, pairs, mean)


@pytest.mark.parametrize(
    ("mean", "end", "unit", "words"),
    [
        (
            Estimate(0.3125, Interval(0.3, 0.35), 9),
            (0.3, 0.35),
            "seconds",
            "B (gpu) is 3.2x faster than A (cpu)",
        ),
        (
            Estimate(1.02, Interval(0.9, 1.1), 9),
            (0.9, 1.1),
            "seconds",
            "B (gpu) and A (cpu) cannot be distinguished (1.02x, 0.9-1.1)",
        ),
        (Estimate(2.0, None, 1), NONE, "bytes", "B (gpu) is 2x larger than A (cpu)"),
        (
            Estimate(np.nan, None, 0),
            NONE,
            "s",
            "no ratio: no case has a positive value on both sides",
        ),
    ],
)
def test_the_direction_of_one_case_is_reported_in_words(
    mean: Estimate, end: tuple[float, float], unit: str, words: str
) -> None:
    assert verdict(group_of([end], mean, unit), Sides("device", "cpu", "gpu")) == words


@pytest.mark.parametrize(
    ("ends", "mean", "unit", "words"),
    [
        (
            [(4.4, 4.6)] * 8 + [(0.59, 0.61)] * 3 + [(0.9, 1.1)],
            Estimate(1.17, Interval(0.972, 1.41), 12),
            "seconds",
            "slower in 8, faster in 3, unclear in 1 of 12 cases; geometric mean 1.17x slower",
        ),
        (
            [(0.4, 0.6)] * 5,
            Estimate(0.5, Interval(0.4, 0.6), 5),
            "seconds",
            "faster in all 5 cases; geometric mean 2x faster",
        ),
        (
            [NONE, NONE, (1.0, 2.0)],
            Estimate(1.001, None, 3),
            "bytes",
            "unclear in 1, without an interval in 2 of 3 cases; geometric mean 1x",
        ),
    ],
)
def test_the_direction_of_many_cases_is_counted_not_averaged_away(
    ends: list[tuple[float, float]], mean: Estimate, unit: str, words: str
) -> None:
    found = verdict(group_of(ends, mean, unit), Sides("device", "cpu", "gpu"))
    assert found == f"B (gpu) against A (cpu): {words}"


def whole() -> Comparison:
    """Times with a failure and a case alone, and digests of which one differs."""
    tracked = {"type": "track", "unit": "sha256/48", "direction": "exact", "samples": None}
    ours = side("step.Short.time_step", "sparsebench", SHORT)
    theirs = side("reference.Short.time_step", "torch.ao", SHORT, commit_hash=hashes(2)[1])
    theirs = slowed(theirs, theirs["shape"].notna(), 3.0)
    digests = side("step.Short.track_digest", "sparsebench", SHORT[:2], value=[5.0, 6.0], **tracked)
    others = side(
        "reference.Short.track_digest", "torch.ao", SHORT[:2], value=[5.0, 7.0], **tracked
    )
    alone = side("step.Long.time_step", "sparsebench", LONG[:7])
    return compare(joined(ours, theirs, digests, others, alone), IMPLEMENTATIONS)


def test_the_printed_comparison_is_the_golden_one() -> None:
    assert printed(whole()) == (GOLDEN / "comparison.txt").read_text()


def long_comparison() -> Comparison:
    ours = side("step.Long.time_step", "sparsebench", LONG)
    theirs = side("reference.Long.time_step", "torch.ao", LONG[:-6])
    return compare(joined(ours, theirs), IMPLEMENTATIONS)


def test_of_many_cases_the_extremes_are_printed_and_all_on_demand() -> None:
    comparison = long_comparison()
    short, complete = printed(comparison), printed(comparison, complete=True)
    assert "the 12 highest and 12 lowest of 282; --all prints all" in short
    assert "  and 1 more; --all lists them" in short
    assert short.count("x324 ") + short.count("x128 ") == 24
    assert complete.count("x324 ") + complete.count("x128 ") == 282
    assert "--all" not in complete


def test_the_heat_map_has_a_panel_a_shape_and_every_ratio_in_its_cell() -> None:
    (group,) = long_comparison().groups
    axis = choose_axes(group)
    assert (axis.panels, axis.rows, axis.column) == (("shape",), ("block", "zeros"), "level")
    with canvas.style():
        figure = draw_heat_map(group, IMPLEMENTATIONS)
        figure.canvas.draw()
    left, right, bar = figure.axes
    assert [axes.get_title(loc="left") for axes in (left, right)] == [
        "shape 128x128",
        "shape 255x324",
    ]
    assert [label.get_text() for label in left.get_xticklabels()] == [
        "0",
        "0.3",
        "0.6",
        "0.9",
        "0.99",
        "1",
    ]
    rows = [label.get_text() for label in left.get_yticklabels()]
    assert rows[:2] == ["block 1x4 · zeros 0", "block 1x4 · zeros 1"]
    assert len(rows) == 24
    cells = left.collections[0].get_array()
    pairs = group.pairs[(group.pairs["shape"] == "128x128") & (group.pairs["block"] == "1x4")]
    one = pairs[(pairs["zeros"] == "1") & (pairs["level"] == "0.6")]["ratio"].item()
    assert cells[1, 2] == pytest.approx(np.log2(one))
    assert right.collections[0].get_array().mask.sum() == 6
    assert bar.get_ylabel() == "B/A: above 1x B takes longer"


def test_a_cell_whose_interval_holds_one_says_so() -> None:
    (group,) = long_comparison().groups
    doubtful = ((group.pairs["low"] <= 1) & (group.pairs["high"] >= 1)).sum()
    with canvas.style():
        figure = draw_heat_map(group, IMPLEMENTATIONS)
    words = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert sum(word.startswith("≈") for word in words) == doubtful > 0


def test_a_group_without_a_heat_map_says_why() -> None:
    times, digests = whole().groups
    assert why_no_heat_map(times) == "its 3 cases would be spread over 18 cells"
    assert why_no_heat_map(digests) == "exact values have no ratio"
    assert why_no_heat_map(long_comparison().groups[0]) is None
    axes = {"n": ["1", "2"], "device": ["cpu", "cuda"]}
    sides = Sides("device", "cpu", "cuda")
    (narrow,) = compare(history("b.time_it", commits=1, axes=axes), sides).groups
    assert why_no_heat_map(narrow) == "needs two parameters that vary, got n"


def test_the_heat_map_says_what_all_its_cells_have_in_common() -> None:
    cases = [case for case in LONG if "128x128" in case]
    axes = {"case": cases, "dtype": ["float32"], "device": ["cpu", "cuda"]}
    frame = history("step.Long.time_step", commits=1, axes=axes)
    elsewhere = frame["device"].eq("cuda")
    frame.loc[elsewhere, "torch"] = "2.14.0"
    (group,) = compare(frame, Sides("device", "cpu", "cuda")).groups
    assert group.constants == {
        "machine": "workstation",
        "environment": "virtualenv-py3.11",
        "shape": "128x128",
        "dtype": "float32",
        "commit": hashes(1)[0][:8],
    }
    with canvas.style():
        figure = draw_heat_map(group, Sides("device", "cpu", "cuda"))
    above = " ".join(figure.texts[1].get_text().split())
    assert above.endswith(
        "columns: level · machine workstation · environment virtualenv-py3.11 · "
        f"shape 128x128 · dtype float32 · commit {hashes(1)[0][:8]}"
    )
    assert above.startswith("B (cuda) against A (cpu): slower in ")


def test_one_torch_and_device_of_both_sides_are_constants_too() -> None:
    (group,) = long_comparison().groups
    assert (group.constants["torch"], group.constants["device"]) == ("2.13.0", "cpu")


def test_a_foreign_heat_map_takes_its_parameters_in_order() -> None:
    axes = {"n": ["1", "2"], "k": ["a", "b", "c"], "device": ["cpu", "cuda"]}
    comparison = compare(history("b.time_it", commits=1, axes=axes), Sides("device", "cpu", "cuda"))
    (group,) = comparison.groups
    axis = choose_axes(group)
    assert (axis.panels, axis.rows, axis.column, axis.averaged) == ((), ("n",), "k", ())
    assert describe_heat_map(group, comparison.sides).startswith(
        "Heat map of b.time_it, the ratio of 6 cases: "
    )
