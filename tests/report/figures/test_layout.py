import pandas as pd

from sparsebench.analysis.dimensions import dimensions
from sparsebench.report.figures.layout import MOST_COLOURS, MOST_PANELS, Layout, choose_layout
from tests.synthetic import LONG, SHORT, history


def layout_of(frame: pd.DataFrame) -> Layout:
    return choose_layout(dimensions(frame), frame["value"])


def test_few_cases_get_one_panel_each() -> None:
    assert layout_of(history()) == Layout(("shape", "block"), (), ())


def test_implementations_and_machines_become_colours() -> None:
    axes = {"case": SHORT, "implementation": ["sparsebench", "torch.ao"]}
    layout = layout_of(history(axes=axes, machines=["a", "b"]))
    assert layout == Layout(("shape", "block"), ("implementation", "machine"), ())


def test_the_long_grid_has_one_panel_per_shape_and_block() -> None:
    alone = layout_of(history(commits=1, axes={"case": LONG, "weights": ["ones", "random"]}))
    assert (alone.panels, alone.colours) == (("shape", "block"), ("level",))
    assert set(alone.summarised) == {"zeros", "weights"}
    both = layout_of(history(commits=1, axes={"case": LONG, "implementation": ["a", "b"]}))
    assert (both.panels, both.colours) == (("shape", "block"), ("implementation",))
    assert set(both.summarised) == {"level", "zeros"}


def test_panels_are_the_dimensions_that_explain_most_of_the_values() -> None:
    axes = {"x": list("abcde"), "n": ["1", "2", "3"], "mode": ["p", "q"]}
    frame = history("foreign.time_it", axes=axes, noise=0)
    by = {"x": 0.01, "n": 10.0, "mode": 3.0}
    factor = frame["params"].map(
        lambda params: (
            1
            + by["x"] * "abcde".index(params[0][1])
            + by["n"] * int(params[1][1])
            + by["mode"] * (params[2] == "'q'")
        )
    )
    layout = layout_of(frame.assign(value=factor.astype(float)))
    assert layout == Layout(("mode", "x"), ("n",), ())


def test_more_machines_than_colours_become_panels_or_are_summarised() -> None:
    machines = [f"m{number}" for number in range(MOST_COLOURS + 1)]
    assert layout_of(history("b.time_it", axes={"n": ["1"]}, machines=machines)).panels == (
        "machine",
    )
    crowd = [f"m{number}" for number in range(MOST_PANELS + 1)]
    layout = layout_of(history("b.time_it", axes={"n": ["1"]}, machines=crowd))
    assert layout.summarised == ("machine",)
