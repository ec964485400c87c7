from pathlib import Path

import numpy as np
import pandas as pd

from sparsebench.analysis.history import commit_order, short_hash
from sparsebench.report.figures import canvas
from sparsebench.report.figures.exact_changes import (
    change_notes,
    changed,
    describe_changes,
    draw_changes,
)
from sparsebench.report.figures.plots import plot
from sparsebench.report.figures.regression_data import Story, tell
from tests.synthetic import commit_place, hashes, history


def digests(commits: int = 5) -> pd.DataFrame:
    return history(
        "step.Short.track_digest", commits=commits, axes={"n": ["1", "2"]}, type="track",
        unit="sha256/48", direction="exact", value=7.0,
    ).assign(samples=None)  # fmt: skip


def told(frame: pd.DataFrame) -> Story:
    return tell("step.Short.track_digest", frame, commit_order(frame))


def test_a_changed_value_is_a_bar_at_its_commit_and_a_note() -> None:
    frame = digests()
    frame.loc[(commit_place(frame) >= 3) & (frame["case"] == "n=2"), "value"] = 8.0
    story = told(frame)
    with canvas.style():
        (axes,) = draw_changes(story).axes
    heights = [patch.get_height() for patch in axes.patches]
    assert heights == [0, 0, 0, 1, 0]
    assert axes.get_title(loc="left") == "1 of 2 cases changed, at 1 commit"
    assert change_notes(story) == [f"{short_hash(hashes(5)[3])}: n 2 changed"]


def test_a_commit_without_a_value_hides_no_change() -> None:
    frame = digests()
    frame.loc[commit_place(frame) == 2, ["value", "status"]] = [np.nan, "failed"]
    frame.loc[commit_place(frame) >= 3, "value"] = 8.0
    story = told(frame)
    assert list(changed(story.table)["x"]) == [3, 3]
    assert change_notes(story)[-1] == "2 of 10 points failed"


def test_another_version_of_the_benchmark_is_no_change() -> None:
    frame = digests()
    frame.loc[commit_place(frame) >= 3, ["value", "benchmark_version"]] = [8.0, "v2"]
    assert changed(told(frame).table).empty


def test_words_where_there_is_nothing_to_draw() -> None:
    with canvas.style():
        (axes,) = draw_changes(told(digests())).axes
    assert [text.get_text() for text in axes.texts] == ["no change"]
    assert describe_changes(told(digests())).endswith("none of 2 cases changed at any of 5 commits")
    assert describe_changes(told(digests(1))).endswith(
        "2 cases at one commit: nothing yet to compare with"
    )


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
