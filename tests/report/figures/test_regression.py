"""What the regression figures hold: panels, lines, bars, marks and labels."""

from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from sparsebench.analysis.history import commit_order, short_hash, steps
from sparsebench.analysis.points import benchmark_history, rows_by_group
from sparsebench.report.figures import canvas
from sparsebench.report.figures.regression import (
    HARNESS_NOTE,
    RegressionFigure,
    draw_regression,
    regression_figure,
)
from tests.synthetic import LONG, SHORT, commit_place, failed, hashes, history, slowed

ONE = {"n": ["1"]}
TWO = {"case": SHORT[:1], "implementation": ["sparsebench", "torch.ao"]}


def drawn(
    frame: pd.DataFrame, name: str = "step.Short.time_step"
) -> tuple[RegressionFigure, Figure]:
    rows = rows_by_group(frame)[name]
    data = regression_figure(benchmark_history(name, rows, commit_order(frame), steps(frame)))
    with canvas.style():
        figure = draw_regression(data)
        figure.canvas.draw()
    return data, figure


def curves(axes: Axes) -> list[np.ndarray]:
    """The data of every line that joins points, without marks and guides."""
    lines = [line for line in axes.lines if line.get_linestyle() == "-" and len(line.get_xdata())]
    return [np.asarray(line.get_ydata()) for line in lines]


def bars(axes: Axes) -> int:
    collections = [c for c in axes.collections if isinstance(c, LineCollection)]
    return sum(np.isfinite(path.vertices).all() for c in collections for path in c.get_paths())


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.texts)


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.subfigs[0].legends[0].get_texts()]


def test_one_commit_is_a_point_with_its_interval_in_each_panel() -> None:
    frame = history(commits=1)
    _, figure = drawn(frame)
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "shape 17x23 · block 1x1",
        "shape 32x16 · block 1x4",
        "shape 32x16 · block 4x1",
    ]
    for axes in figure.axes:
        assert [len(values) for values in curves(axes)] == [1]
        assert bars(axes) == 1
        assert [label.get_text() for label in axes.get_xticklabels()] == [short_hash(hashes(1)[0])]
    assert "machine workstation" in texts(figure)


def test_the_line_is_the_values_in_history_order() -> None:
    frame = history(commits=5, axes={"n": ["1"]})
    _, figure = drawn(frame.sample(frac=1, random_state=3))
    (axes,) = figure.axes
    np.testing.assert_array_equal(curves(axes), [frame["value"]])
    assert bars(axes) == 5


def test_five_hundred_commits_have_a_band_and_few_labels() -> None:
    _, figure = drawn(history(commits=500, axes={"n": ["1"]}))
    (axes,) = figure.axes
    assert len(curves(axes)[0]) == 167  # a point of three commits each
    assert bars(axes) == 0
    assert len(axes.collections) == 1  # the band
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert 4 <= len(labels) <= 7
    assert labels[-1] == short_hash(hashes(500)[-1])
    boxes = [label.get_window_extent() for label in axes.get_xticklabels()]
    width = figure.dpi * 8 / 72 * 1.2  # rotated text overlaps when its feet are closer than a line
    assert all(right.x1 - left.x1 > width for left, right in pairwise(boxes))


def test_compared_implementations_have_their_own_colour_and_offset() -> None:
    data, figure = drawn(history(commits=3, axes=TWO))
    (axes,) = figure.axes
    assert data.colours == ["sparsebench", "torch.ao"]
    assert legend(figure) == data.colours
    lines = [line for line in axes.lines if line.get_linestyle() == "-" and len(line.get_xdata())]
    assert len({line.get_color() for line in lines}) == 2
    assert len({float(np.asarray(line.get_xdata())[0]) for line in lines}) == 2


def test_a_benchmark_and_its_reference_share_a_figure() -> None:
    ours = history(axes={"case": SHORT, "implementation": ["sparsebench"]})
    theirs = history(
        "reference.Short.time_step", axes={"case": SHORT[:2], "implementation": ["torch.ao"]}
    )
    other = history("foreign.Short.time_step", implementation=None)
    groups = rows_by_group(pd.concat([theirs, ours, other], ignore_index=True))
    assert {name: len(rows) for name, rows in groups.items()} == {
        "foreign.Short.time_step": 9,
        "step.Short.time_step": 15,
    }


def test_another_harness_breaks_the_line() -> None:
    frame = history(commits=6, axes={"n": ["1"]})
    frame.loc[commit_place(frame) >= 4, "fingerprint"] = "number=10"
    data, figure = drawn(frame)
    (axes,) = figure.axes
    assert [len(values) for values in curves(axes)] == [4, 2]
    guides = [
        line.get_xdata()[0]
        for line in axes.lines
        if line.get_linestyle() == ":" or line.is_dashed()
    ]
    assert guides == [3.5]
    assert legend(figure) == ["new harness"]
    assert data.notes == (HARNESS_NOTE,)


def test_failures_are_marked_and_counted() -> None:
    frame = history(commits=4, axes={"n": ["1"]})
    frame = failed(failed(frame, commit_place(frame) == 1), commit_place(frame) == 2, "timeout")
    data, figure = drawn(frame)
    (axes,) = figure.axes
    marks = {str(line.get_marker()): list(line.get_xdata()) for line in axes.lines}
    assert (marks["x"], marks["P"]) == ([1], [2])
    assert legend(figure) == ["failed", "timeout"]
    assert data.notes == ("1 of 4 points failed", "1 of 4 points timed out")


def test_a_panel_in_which_everything_failed_says_so() -> None:
    frame = history(commits=2)
    _, figure = drawn(failed(frame, frame["shape"] == "17x23"))
    assert [text.get_text() for text in figure.axes[0].texts] == ["no value"]
    assert [text.get_text() for text in figure.axes[1].texts] == []


def long(commits: int, **axes: list[str]) -> pd.DataFrame:
    return history("step.Long.time_step", commits=commits, axes={"case": LONG, **axes}, noise=0.02)


def test_the_long_grid_is_eight_panels_below_an_overview_that_names_the_steps() -> None:
    frame = long(16)
    slow = frame["case"].eq("shape=255x324, level=0.6, block=4x1, zeros=2")
    moved = slowed(frame, slow & (commit_place(frame) >= 8), 1.5)
    data, figure = drawn(moved, "step.Long.time_step")
    overview, *panels = figure.axes
    assert len(panels) == 8
    assert overview.get_title(loc="left") == (
        "all 288 cases relative to their start; numbered: steps that were not reverted, at most 5"
    )
    named = overview.get_legend()
    assert named is not None
    (entry,) = (text.get_text().replace("\n", " ") for text in named.get_texts())
    (step,) = steps(moved)
    assert step.commit == hashes(16)[8]
    percent = f"{100 * step.change.value:+.3g} %"
    assert entry.startswith(f"1: {percent} at {short_hash(step.commit)}  shape")
    assert entry.endswith("shape 255x324 · level 0.6 · block 4x1 · zeros 2")
    assert legend(figure) == [f"level {level}" for level in ("0", "0.3", "0.6", "0.9", "0.99", "1")]
    for axes in panels:
        assert len(curves(axes)) == 6
    assert data.about.startswith("time, median of the cases")


def test_a_panels_line_is_the_median_of_its_cases() -> None:
    frame = long(2)
    _, figure = drawn(frame, "step.Long.time_step")
    cell = frame[frame["shape"].eq("128x128") & frame["block"].eq("1x4") & frame["level"].eq(0.3)]
    expected = cell.groupby("commit_date")["value"].median().to_numpy()
    assert any(np.allclose(values, expected) for values in curves(figure.axes[1]))


def test_panels_compare_only_cases_that_every_colour_has() -> None:
    ours = history(
        "step.Long.time_step", axes={"case": LONG, "implementation": ["sparsebench"]}, noise=0
    )
    theirs = history(
        "reference.Long.time_step",
        axes={"case": [case for case in LONG if "zeros=0" in case], "implementation": ["torch.ao"]},
        noise=0,
    )
    frame = pd.concat([ours, theirs], ignore_index=True)
    data, figure = drawn(frame, "step.Long.time_step")
    cell = ours[ours["shape"].eq("128x128") & ours["block"].eq("1x4") & ours["zeros"].eq(0)]
    expected = cell.groupby("commit_date")["value"].median().to_numpy()
    assert any(np.allclose(values, expected) for values in curves(figure.axes[1]))
    assert data.notes == ("240 cases that not every colour has are in the overview only",)


def test_without_an_overview_the_cases_that_are_not_drawn_are_named() -> None:
    axes = {"case": LONG, "implementation": ["sparsebench"]}
    ours = history(commits=1, axes=axes | {"dtype": ["float16", "bfloat16", "float32"]})
    axes = {"case": LONG, "implementation": ["torch.ao"], "dtype": ["float32"]}
    theirs = history("reference.Short.time_step", commits=1, axes=axes)
    frame = pd.concat([ours, theirs], ignore_index=True)
    data, figure = drawn(frame)
    assert data.overview is None
    assert data.notes == (
        "576 cases that not every colour has are not drawn: all of dtype bfloat16, float16",
    )
    assert "are not drawn" in texts(figure)


def test_no_text_leaves_the_saved_picture() -> None:
    _, figure = drawn(long(3), "step.Long.time_step")
    box = figure.get_tightbbox()
    for axes in figure.axes:
        for label in (*axes.get_xticklabels(), *axes.get_yticklabels(), axes.title):
            extent = label.get_window_extent().transformed(figure.dpi_scale_trans.inverted())
            if label.get_visible() and label.get_text() and extent.width:
                assert box.x0 - 0.02 <= extent.x0
                assert extent.x1 <= box.x1 + 0.02


def test_the_alternative_text_describes_the_figure() -> None:
    frame = history(commits=2, axes={"n": ["1"]}).assign(value=[1e-3, 2e-3])
    data, _ = drawn(frame)
    first, last = map(short_hash, hashes(2))
    assert data.alt == (
        f"step.Short.time_step over 2 commits, {first} to {last}; panels: 1. "
        "newest: median of the newest values 2 ms"
    )


def test_long_environment_names_are_shortened_and_leave_space_for_the_panel() -> None:
    names = [
        f"virtualenv-py3.{minor}-numpy2.1-a_very_long_requirement1.0" for minor in range(10, 18)
    ]
    parts = [history(commits=4, axes=ONE).assign(env_name=name) for name in names]
    _, figure = drawn(pd.concat(parts, ignore_index=True))
    assert legend(figure) == [f"py3.{minor}" for minor in range(10, 18)]
    (axes,) = figure.axes
    height = axes.get_window_extent().height / figure.dpi
    assert height > 1  # inch


def test_marks_of_failures_are_on_the_edge_clear_of_all_values() -> None:
    frame = history(commits=300, axes=ONE)
    _, figure = drawn(failed(frame, commit_place(frame) % 10 == 0))
    (axes,) = figure.axes
    (marks,) = [line for line in axes.lines if line.get_marker() == "x"]
    assert set(marks.get_ydata()) == {1.0}
    assert marks.get_transform() == axes.get_xaxis_transform()
    assert len(marks.get_xdata()) == 30
