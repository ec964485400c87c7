from pathlib import Path

import numpy as np
import pandas as pd

from sparsebench.analysis.history import commit_order, short_hash
from sparsebench.analysis.points import BenchmarkHistory, benchmark_history
from sparsebench.report.figures import canvas
from sparsebench.report.figures.exact_changes import (
    ExactChangesFigure,
    changed_points,
    draw_exact_changes,
    exact_changes_figure,
)
from sparsebench.report.figures.plots import plot
from tests.synthetic import commit_place, hashes, history


def digests(commits: int = 5) -> pd.DataFrame:
    return history(
        "step.Short.track_digest", commits=commits, axes={"n": ["1", "2"]}, type="track",
        unit="sha256/48", direction="exact", value=7.0,
    ).assign(samples=None)  # fmt: skip


def history_of(frame: pd.DataFrame) -> BenchmarkHistory:
    return benchmark_history("step.Short.track_digest", frame, commit_order(frame))


def figure_of(frame: pd.DataFrame) -> ExactChangesFigure:
    return exact_changes_figure(history_of(frame))


def test_a_changed_value_is_a_bar_at_its_commit_and_a_note() -> None:
    frame = digests()
    frame.loc[(commit_place(frame) >= 3) & (frame["case"] == "n=2"), "value"] = 8.0
    data = figure_of(frame)
    with canvas.style():
        (axes,) = draw_exact_changes(data).axes
    heights = [patch.get_height() for patch in axes.patches]
    assert heights == [0, 0, 0, 1, 0]
    assert axes.get_title(loc="left") == "1 of 2 cases changed, at 1 commit"
    assert data.notes == (f"{short_hash(hashes(5)[3])}: n 2 changed",)
    assert data.table["commit"].tolist() == [hashes(5)[3]]


def test_a_commit_without_a_value_hides_no_change() -> None:
    frame = digests()
    frame.loc[commit_place(frame) == 2, ["value", "status"]] = [np.nan, "failed"]
    frame.loc[commit_place(frame) >= 3, "value"] = 8.0
    assert list(changed_points(history_of(frame).points)["x"]) == [3, 3]
    assert figure_of(frame).notes[-1] == "2 of 10 points failed"


def test_another_version_of_the_benchmark_is_no_change() -> None:
    frame = digests()
    frame.loc[commit_place(frame) >= 3, ["value", "benchmark_version"]] = [8.0, "v2"]
    assert changed_points(history_of(frame).points).empty


def test_a_figure_without_changes_says_so() -> None:
    with canvas.style():
        (axes,) = draw_exact_changes(figure_of(digests())).axes
    assert [text.get_text() for text in axes.texts] == ["no change"]
    assert figure_of(digests()).alt.endswith("none of 2 cases changed at any of 5 commits")
    assert figure_of(digests(1)).alt.endswith("2 cases at one commit: nothing yet to compare with")


def test_every_benchmark_of_every_project_gets_its_files(tmp_path: Path) -> None:
    frame = pd.concat(
        [digests(2), history(commits=2), history("a/b.time_x", commits=2, project="other")],
        ignore_index=True,
    )
    written = list(plot(frame, tmp_path, ["svg"], []))
    assert all(path.read_text().startswith("<?xml") for path in written)
    names = [path.name for path in written]
    assert names[1:] == [
        "sparsebench.step.Short.time_step.svg",
        "sparsebench.step.Short.track_digest.svg",
    ]
    assert names[0].startswith("other.a_b.time_x-")
