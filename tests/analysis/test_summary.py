import io
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from sparsebench.analysis.history import commit_order
from sparsebench.analysis.summary import BenchmarkSummary, summarise
from sparsebench.report.text.summary import footnotes, summary_table
from tests.synthetic import LONG, SHORT, commit_place, failed, history, slowed

GOLDEN = Path(__file__).parents[1] / "report" / "text" / "golden"
DIGEST = {"type": "track", "unit": "sha256/48", "direction": "exact"}


def times(commits: int = 2) -> pd.DataFrame:
    """Without noise, so that every ratio between commits is one."""
    return history(commits=commits, noise=0)


def digests(values: list[float], commits: int = 2) -> pd.DataFrame:
    """The three cases' values, oldest commit first."""
    return history("step.Short.track_digest", commits=commits).assign(
        value=values, samples=None, **DIGEST
    )


def lines(*frames: pd.DataFrame) -> dict[str, BenchmarkSummary]:
    frame = pd.concat(frames, ignore_index=True)
    return {line.name: line for line in summarise(frame, commit_order(frame))}


def cells(line: BenchmarkSummary) -> list[str]:
    return [str(next(iter(column.cells))) for column in summary_table([line]).columns]


def test_a_line_holds_the_newest_median_and_its_ratio_to_the_commit_before() -> None:
    frame = times(3)
    frame = slowed(frame, commit_place(frame) == 2, 2.0)
    (line,) = lines(frame).values()
    newest = frame[commit_place(frame) == 2]["value"]
    assert (line.cases, line.failed, line.unit) == (3, 0, "seconds")
    assert line.median == newest.median()
    assert line.before == pytest.approx(2.0)
    assert (line.reference, line.exact, line.changed) == (None, False, None)


def test_the_ratio_to_the_reference_takes_the_cases_that_both_have() -> None:
    theirs = history(
        "reference.Short.time_step",
        commits=2,
        noise=0,
        axes={"case": SHORT, "device": ["cpu"], "implementation": ["torch.ao"]},
    )
    theirs = slowed(theirs, theirs["shape"] == "32x16", 4.0)
    theirs = failed(theirs, theirs["shape"] == "17x23")
    ours = times().assign(value=1e-3)
    theirs["value"] = theirs["value"].where(theirs["value"].isna(), 4e-3)
    found = lines(ours, theirs)
    assert found["step.Short.time_step"].reference == pytest.approx(0.25)
    assert found["reference.Short.time_step"].reference is None
    assert found["reference.Short.time_step"].failed == 1


def test_another_machine_is_no_commit_before() -> None:
    frame = times()
    frame.loc[commit_place(frame) == 0, "machine"] = "elsewhere"
    (line,) = lines(frame).values()
    assert line.before is None


def test_what_failed_or_timed_out_is_counted_and_skips_are_not() -> None:
    frame = times()
    newest = commit_place(frame) == 1
    frame = failed(frame, newest & (frame["block"] == "4x1"))
    frame = failed(frame, newest & (frame["block"] == "1x4"), "timeout")
    frame = failed(frame, newest & (frame["block"] == "1x1"), "skipped")
    (line,) = lines(frame).values()
    assert (line.cases, line.failed, line.before) == (0, 2, None)
    assert cells(line)[1:] == ["0", "2", "-", "-", "-"]


@pytest.mark.parametrize(
    ("values", "changed", "cell"),
    [
        ([1, 2, 3, 1, 2, 3], 0, "same"),
        ([1, 2, 3, 1, 8, 9], 2, "2 changed"),
    ],
)
def test_digests_are_compared_case_by_case(values: list[float], changed: int, cell: str) -> None:
    (line,) = lines(digests(values)).values()
    assert (line.exact, line.changed) == (True, changed)
    assert (line.before, line.reference) == (None, None)
    assert cells(line)[2:] == ["exact", cell, "-"]


def test_digests_of_one_commit_are_not_called_the_same() -> None:
    (line,) = lines(digests([1, 2, 3], commits=1)).values()
    assert (line.exact, line.changed) == (True, None)
    assert cells(line)[2:] == ["exact", "-", "-"]


def test_digests_that_failed_at_either_commit_are_not_called_changed() -> None:
    frame = digests([1, 2, 3, 1, 2, 3])
    before = failed(frame, commit_place(frame) == 0)
    (line,) = lines(before).values()
    assert (line.changed, cells(line)[-2]) == (None, "-")
    partly = failed(frame, (commit_place(frame) == 0) & (frame["block"] == "1x1"))
    (line,) = lines(partly).values()
    assert (line.cases, line.changed) == (3, 0)
    newest = failed(frame, commit_place(frame) == 1)
    (line,) = lines(newest).values()
    assert (line.cases, line.failed, line.changed) == (0, 3, None)


def test_one_commit_needs_no_footnote() -> None:
    found = lines(times(1), digests([1, 2, 3], commits=1))
    assert footnotes(list(found.values())) == []


def test_the_printed_summary_is_the_golden_one() -> None:
    theirs = history(
        "reference.Short.time_step",
        commits=2,
        seed=1,
        axes={"case": SHORT, "device": ["cpu"], "implementation": ["torch.ao"]},
    )
    long = history("step.Long.time_prepare_and_step", commits=2, axes={"case": LONG})
    long = failed(long, long["case"].str.contains("zeros=all") & (commit_place(long) == 1))
    memory = history("step.Short.peakmem_step", commits=2, unit="bytes", value=3.5e8)
    memory = memory[commit_place(memory) == 1]
    frame = pd.concat(
        [history(commits=2), theirs, long, memory, digests([1, 2, 3, 1, 2, 4])], ignore_index=True
    )
    found = summarise(frame, commit_order(frame))
    console = Console(file=io.StringIO(), width=80, color_system=None)
    console.print(summary_table(found))
    for note in footnotes(found):
        console.print(note, highlight=False)
    assert isinstance(console.file, io.StringIO)
    text = "".join(f"{line.rstrip()}\n" for line in console.file.getvalue().splitlines())
    assert text == (GOLDEN / "summary.txt").read_text()
    assert max(map(len, text.splitlines())) <= 80
